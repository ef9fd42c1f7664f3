//! Every command but `serve`: asks, and prints the answer.

use std::io::Write;
use std::time::SystemTime;

use serde::Serialize;

use super::client::Server;
use super::output::{Layout, format};
use super::{
    Cli, Command, ExplainArgs, Failure, GetCommand, Global, Paint, ViewerArgs, bootstrap, ca, check, lint, members,
    render,
};
use crate::admin::proto as v1;

/// Runs one command and writes what it has to say; `serve` is not among them and does nothing here. `lint` asks a server here,
/// whatever files it names.
///
/// # Errors
/// With the exit code and a sentence for standard error.
pub async fn run(cli: Cli, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let printer = Printer {
        paint: cli.global.color.paint(),
        global: &cli.global,
    };
    match cli.command {
        Command::Serve(_) => Ok(()),
        Command::CheckConfig { file } => Ok(out.write_all(check::check(&file)?.as_bytes())?),
        Command::Bootstrap(args) => bootstrap::sidecar(&args, cli.global.output, out),
        Command::GatewayBootstrap(args) => bootstrap::gateway(&args, cli.global.output, out),
        Command::Ca(command) => ca::run(command, out),
        Command::Get(what) => get(what, &printer, out).await,
        Command::Explain(args) => explain(args, &printer, out).await,
        Command::Lint(_) => lint::run(&printer, out).await,
        Command::Members(command) => members::run(command, &printer, out).await,
        Command::Watch => watch(&printer, out).await,
    }
}

/// How answers are printed.
#[derive(Debug)]
pub(super) struct Printer<'a> {
    pub(super) paint: Paint,
    pub(super) global: &'a Global,
}

impl Printer<'_> {
    /// The server that `--server` names.
    pub(super) async fn connect(&self) -> Result<Server, Failure> {
        Server::connect(&self.global.server).await
    }

    /// Prints an answer in the form asked for.
    pub(super) fn print<M: Serialize>(
        &self,
        out: &mut (dyn Write + Send),
        message: &M,
        table: impl FnOnce(&M) -> String,
    ) -> Result<(), Failure> {
        Ok(out.write_all(format(message, self.global.output, Layout::Whole, table)?.as_bytes())?)
    }
}

async fn get(what: GetCommand, printer: &Printer<'_>, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let server = printer.connect().await?;
    let mut debug = server.debug.clone();
    let paint = printer.paint;
    let now = SystemTime::now();
    match what {
        GetCommand::Members => {
            let answer = server.answer(debug.list_members(v1::ListMembersRequest {})).await?;
            printer.print(out, &answer, |answer| render::members(answer, now, paint))
        }
        GetCommand::Services { namespace } => {
            let request = v1::ListServicesRequest {
                namespace: namespace.unwrap_or_default(),
            };
            let answer = server.answer(debug.list_services(request)).await?;
            printer.print(out, &answer, |answer| render::services(answer, paint))
        }
        GetCommand::Endpoints { service, network } => {
            let request = v1::ListEndpointsRequest {
                service: service.unwrap_or_default(),
                network: network.unwrap_or_default(),
            };
            let answer = server.answer(debug.list_endpoints(request)).await?;
            printer.print(out, &answer, |answer| render::endpoints(answer, paint))
        }
        GetCommand::Networks => {
            let answer = server.answer(debug.list_networks(v1::ListNetworksRequest {})).await?;
            printer.print(out, &answer, |answer| render::networks(answer, now, paint))
        }
        GetCommand::Settings => {
            let answer = server.answer(debug.get_settings(v1::GetSettingsRequest {})).await?;
            printer.print(out, &answer, |answer| render::settings(answer, now, paint))
        }
        GetCommand::Proxies => {
            let answer = server.answer(debug.list_proxies(v1::ListProxiesRequest {})).await?;
            printer.print(out, &answer, |answer| render::proxies(answer, now, paint))
        }
        GetCommand::View { service, viewer } => {
            let request = v1::GetViewRequest {
                service: service.unwrap_or_default(),
                viewer: Some(viewer_ref(viewer)),
            };
            let answer = server.answer(debug.get_view(request)).await?;
            printer.print(out, &answer, |answer| render::view(answer, paint))
        }
    }
}

async fn explain(args: ExplainArgs, printer: &Printer<'_>, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let server = printer.connect().await?;
    let request = v1::ExplainRequest {
        service: args.service,
        viewer: Some(viewer_ref(args.viewer)),
    };
    let answer = server.answer(server.debug.clone().explain(request)).await?;
    printer.print(out, &answer, |answer| render::explain(answer, printer.paint))
}

async fn watch(printer: &Printer<'_>, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let server = printer.connect().await?;
    let mut debug = server.debug.clone();
    let mut changes = server.answer(debug.watch_changes(v1::WatchChangesRequest {})).await?;
    // No limit on this wait: it ends when something changes, and nothing may change for days.
    while let Some(change) = changes.message().await.map_err(|status| server.failure(&status))? {
        let text = format(&change, printer.global.output, Layout::OneOfMany, render::change)?;
        out.write_all(text.as_bytes())?;
        out.flush()?;
    }
    Err(server.gone())
}

fn viewer_ref(args: ViewerArgs) -> v1::ViewerRef {
    v1::ViewerRef {
        proxy: args.proxy.unwrap_or_default(),
        network: args.network.unwrap_or_default(),
        member: args.member.unwrap_or_default(),
        families: args.families.unwrap_or_default(),
    }
}
