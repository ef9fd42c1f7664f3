//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::swarm::Dialect;
use crate::world::{self, Size};

pub(crate) const USAGE: &str = "\
cargo bench --bench mesh -- [BENCHMARK ...] [OPTIONS]

Benchmarks: B1 B2 B4 B5 B6 B7 B8 B9 B10 B12 B13 B14 B15 B16 cold dead slices size
  report    run the whole set and write docs/performance.md
  page      write docs/performance.md from what is in docs/performance/

Options:
  --clients N,N,..    numbers of proxies (B1, B6, B7, ..)
  --size S|M|L|XL     size of the mesh
  --dialect delta|sotw
  --tls               mutual TLS (some benchmarks run both ways)
  --repeat N          repetitions, 5 unless said
  --seconds N         how long loads last
  --rate N,N,..       changes a second (B2)
  --binary PATH       another parallax
  --target HOST:PORT --start COMMAND
                      another server: for each mesh the shell command is started anew, with the address in $TARGET and the
                      folder that has a kubeconfig for each member in $STATE, and ended afterwards; it should `exec` the server
  --target HOST:PORT --state FOLDER
                      the same by hand, for one mesh: it may be started once the kubeconfigs are in FOLDER
  --ready HOST:PORT/PATH
                      asked over HTTP whether another server has read everything; without it only its proxies tell
  --pid N             CPU and memory are of this process and not of the one that listens there
  --results FOLDER    where results go, docs/performance unless said
";

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) benches: Vec<String>,
    pub(crate) clients: Vec<usize>,
    pub(crate) size: Option<Size>,
    pub(crate) dialect: Dialect,
    pub(crate) tls: bool,
    pub(crate) repeat: usize,
    pub(crate) seconds: Option<u64>,
    pub(crate) rates: Vec<usize>,
    pub(crate) binary: PathBuf,
    pub(crate) foreign: Option<(SocketAddr, Option<u32>)>,
    /// Address and path.
    pub(crate) ready: Option<(SocketAddr, String)>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) start: Option<String>,
    pub(crate) results: PathBuf,
    pub(crate) tls_folder: Option<PathBuf>,
}

fn list(text: &str) -> anyhow::Result<Vec<usize>> {
    let numbers = text.split(',').map(str::parse);
    numbers
        .collect::<Result<_, _>>()
        .with_context(|| format!("{text:?} is no list of numbers"))
}

fn question(text: &str) -> anyhow::Result<(SocketAddr, String)> {
    let (address, path) = text.split_once('/').unwrap_or((text, ""));
    let address = address
        .parse()
        .with_context(|| format!("{text:?} is no HOST:PORT/PATH"))?;
    Ok((address, format!("/{path}")))
}

impl Options {
    pub(crate) fn read(mut words: impl Iterator<Item = String>) -> anyhow::Result<Self> {
        let mut options = Self {
            benches: Vec::new(),
            clients: Vec::new(),
            size: None,
            dialect: Dialect::Delta,
            tls: false,
            repeat: 5,
            seconds: None,
            rates: Vec::new(),
            binary: env!("CARGO_BIN_EXE_parallax").into(),
            foreign: None,
            ready: None,
            state: None,
            start: None,
            results: concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance").into(),
            tls_folder: None,
        };
        let (mut target, mut pid) = (None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match &*word {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--tls" => options.tls = true,
                "--clients" => options.clients = list(&value()?)?,
                "--rate" => options.rates = list(&value()?)?,
                "--repeat" => options.repeat = value()?.parse()?,
                "--seconds" => options.seconds = Some(value()?.parse()?),
                "--size" => options.size = Some(world::Size::of(&value()?).context("sizes are S, M, L and XL")?),
                "--dialect" => options.dialect = Dialect::of(&value()?).context("dialects are delta and sotw")?,
                "--binary" => options.binary = value()?.into(),
                "--target" => target = Some(value()?.parse()?),
                "--pid" => pid = Some(value()?.parse()?),
                "--ready" => options.ready = Some(question(&value()?)?),
                "--start" => options.start = Some(value()?),
                "--state" => options.state = Some(value()?.into()),
                "--results" => options.results = value()?.into(),
                "--tls-folder" => options.tls_folder = Some(value()?.into()),
                flag if flag.starts_with('-') => bail!("{flag} is no option\n\n{USAGE}"),
                bench => options.benches.push(bench.to_owned()),
            }
        }
        options.foreign = match (target, pid) {
            (None, None) => None,
            (Some(target), pid) => Some((target, pid)),
            (None, Some(_)) => bail!("--pid is of a --target"),
        };
        if options.foreign.is_none() && (options.start.is_some() || options.ready.is_some()) {
            bail!("--start and --ready are of a --target");
        }
        Ok(options)
    }

    pub(crate) fn clients_or(&self, usual: &[usize]) -> Vec<usize> {
        match self.clients.is_empty() {
            true => usual.to_vec(),
            false => self.clients.clone(),
        }
    }

    pub(crate) fn size_or(&self, usual: Size) -> Size {
        self.size.unwrap_or(usual)
    }
}
