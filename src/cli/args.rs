//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

use super::bootstrap::BootstrapArgs;
use super::ca::CaCommand;
use super::lint::LintArgs;
use super::members::MembersCommand;
use super::output::{ColorChoice, OutputFormat};
use crate::config::{Config, ConfigErrors, Listen, SettingsFile};

/// Above the options that only matter to commands that ask a server.
const HEADING: &str = "Options of get, explain, lint, watch and members";

const EXIT_CODES: &str = "\
Exit codes:
  0   it worked
  1   it failed
  2   the command line is wrong
  64  the settings file is wrong
  66  what was named is not there: a member, a kubeconfig, a context in it
  69  the server, or an API server, can't be reached
  75  it is not so yet: a member is not synced, or was not within --timeout
  77  an API server does not allow it

Examples:
  parallax serve --members ./members --listen 127.0.0.1:15010
  parallax serve --config parallax.yaml
  parallax check-config parallax.yaml
  parallax get proxies
  parallax explain web.shop:8080 --as web-7d9
  parallax explain web.shop --network net1 -o yaml
  parallax lint -f ./members
  parallax members attach west --context west-admin
  parallax watch";

/// An xDS control plane for a mesh of many Kubernetes clusters: the same service, seen from where you stand.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(name = "parallax", version, after_help = EXIT_CODES, max_term_width = 120)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command that looks in.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Global {
    /// The admin address of the server to ask: HOST:PORT, http://HOST:PORT or unix:PATH
    #[arg(
        long,
        global = true,
        env = "PARALLAX_SERVER",
        default_value = "127.0.0.1:15080",
        value_name = "ADDR",
        help_heading = HEADING
    )]
    pub server: String,
    /// Tables for people, JSON or YAML for programs [default: table]
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t = OutputFormat::Table,
        hide_default_value = true,
        hide_possible_values = true,
        value_name = "table|json|yaml",
        help_heading = HEADING
    )]
    pub output: OutputFormat,
    /// Colours; auto: on a terminal [default: auto]
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = ColorChoice::Auto,
        hide_default_value = true,
        hide_possible_values = true,
        value_name = "auto|always|never",
        help_heading = HEADING
    )]
    pub color: ColorChoice,
}

/// The commands.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the control plane
    ///
    /// Give either a settings file, or a folder that holds one folder of Kubernetes manifests for each member; networks and
    /// gateways then come from the labels in the manifests. SIGTERM drains; a second one ends at once.
    #[command(after_help = "\
Examples:
  parallax serve --members ./members
  parallax serve --members ./members --listen 127.0.0.1:15010 --admin 127.0.0.1:15080
  parallax serve --config parallax.yaml")]
    Serve(ServeArgs),
    /// Check a settings file: all mistakes at once, each with its line
    #[command(after_help = "\
Example:
  parallax check-config parallax.yaml")]
    CheckConfig {
        /// The settings file
        file: PathBuf,
    },
    /// Write what a plain Envoy beside a pod starts with
    ///
    /// YAML, or JSON with -o json. A token or certificate is read again when its file changes where --out is given.
    #[command(after_help = "\
Examples:
  parallax bootstrap --pod shop/web-1 --member west > envoy.yaml
  parallax bootstrap --pod shop/web-1 --member west --service-account web --xds parallax.istio-system.svc:15012 \\
    --ca /var/run/secrets/mesh/root-cert.pem --token /var/run/secrets/tokens/istio-token --out /etc/envoy")]
    Bootstrap(BootstrapArgs),
    /// Write what the Envoy of an east-west gateway starts with
    #[command(after_help = "\
Example:
  parallax gateway-bootstrap --pod istio-system/eastwest-1 --member west --network net2 --out /etc/envoy")]
    GatewayBootstrap(BootstrapArgs),
    /// Make the mesh's certificate authorities, and change their root
    #[command(subcommand)]
    Ca(CaCommand),
    /// List what a running server knows
    #[command(subcommand)]
    Get(GetCommand),
    /// Tell what becomes of every endpoint of a service for one viewer, and how each weight came about
    #[command(after_help = "\
Examples:
  parallax explain web.shop:8080 --as web-7d9    as a connected proxy sees it
  parallax explain web.shop --network net1       as anybody on net1 would
  parallax explain web.shop --member west --families v6")]
    Explain(ExplainArgs),
    /// Find what is wrong with the objects of the mesh: of a running server, or of files before anything runs
    ///
    /// Each is named by member, object and field, with what to do. The exit code is 1 where there are errors; warnings alone
    /// are none.
    #[command(after_help = "\
Examples:
  parallax lint                          what a running server reads
  parallax lint -f web.yaml              one file
  parallax lint -f ./members -o json     a folder of members, as serve --members takes it
  parallax lint --config parallax.yaml   the folders that a settings file names, with its networks")]
    Lint(LintArgs),
    /// Let member clusters join and leave, renew their credentials, and see how they fare
    #[command(subcommand)]
    Members(MembersCommand),
    /// Show changes as they happen, until interrupted
    #[command(after_help = "\
Examples:
  parallax watch
  parallax watch -o json | jq .services")]
    Watch,
}

/// `parallax serve`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["config", "members"]))]
pub struct ServeArgs {
    /// The settings file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder with one folder of manifests for each member
    #[arg(long, value_name = "DIR")]
    pub members: Option<PathBuf>,
    /// Where Envoys connect: IP:PORT or unix:PATH [default: 127.0.0.1:15010]
    #[arg(long, value_name = "ADDR", requires = "members", conflicts_with = "config")]
    pub listen: Option<Listen>,
    /// Where the commands of this program connect, and probes: IP:PORT or unix:PATH [default: 127.0.0.1:15080, or as the settings say]
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<Listen>,
}

impl ServeArgs {
    /// The settings file, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<SettingsFile> {
        let path = self.config.clone()?;
        let admin = self.admin.clone();
        Some(SettingsFile { path, admin })
    }

    /// The settings that these arguments mean.
    ///
    /// # Errors
    /// Every mistake in the settings file.
    pub fn settings(&self) -> Result<Config, ConfigErrors> {
        let mut config = match (self.file(), &self.members) {
            (Some(file), _) => file.load()?,
            (None, Some(dir)) => {
                let listen = self.listen.clone().unwrap_or_else(|| Config::default().listen);
                Config::for_members_folder(dir, listen)?
            }
            // The command line requires one of both.
            (None, None) => Config::default(),
        };
        if let Some(admin) = &self.admin {
            config.admin.listen = admin.clone();
        }
        Ok(config)
    }
}

/// `parallax get`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum GetCommand {
    /// The members, how fresh what is known of each is, and what is wrong with their objects
    Members,
    /// The services, merged over all members
    Services {
        /// Only this namespace
        #[arg(short, long)]
        namespace: Option<String>,
    },
    /// The endpoints of all services or of one, before any viewer's horizon
    #[command(after_help = "\
Examples:
  parallax get endpoints
  parallax get endpoints web.shop:8080 --network net2")]
    Endpoints {
        /// NAME.NAMESPACE, with :PORT or without
        service: Option<String>,
        /// Only this network
        #[arg(long)]
        network: Option<String>,
    },
    /// The networks with their members and gateways, and the gateways that can't be used
    Networks,
    /// Which settings are in force: of which file, since when, and what of the file is not and why
    Settings,
    /// The connected proxies: where each stands, and how far behind it is
    Proxies,
    /// All assignments as one viewer gets them
    #[command(after_help = "\
Examples:
  parallax get view --network net1
  parallax get view web.shop --as web-7d9 -o json")]
    View {
        /// NAME.NAMESPACE, with :PORT or without; all services without it
        service: Option<String>,
        /// Who looks.
        #[command(flatten)]
        viewer: ViewerArgs,
    },
}

/// `parallax explain`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ExplainArgs {
    /// NAME.NAMESPACE, with :PORT where the service has several
    pub service: String,
    /// Who looks.
    #[command(flatten)]
    pub viewer: ViewerArgs,
}

/// Who looks.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("viewer").required(true).multiple(true).args(["proxy", "network", "member"]))]
pub struct ViewerArgs {
    /// A connected proxy: its node id, its pod, or the beginning of either
    #[arg(long = "as", value_name = "PROXY", conflicts_with_all = ["network", "member", "families"])]
    pub proxy: Option<String>,
    /// A network; without it that of the member
    #[arg(long)]
    pub network: Option<String>,
    /// A member
    #[arg(long)]
    pub member: Option<String>,
    /// The address families that the viewer can use [default: dual]
    #[arg(long, value_parser = ["v4", "v6", "dual", "any"])]
    pub families: Option<String>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, String> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_tells_the_exit_codes() {
        let help = Cli::command().render_long_help().to_string();
        for line in [
            "64  the settings file is wrong",
            "69  the server, or an API server, can't be reached",
            "75  it is not so yet",
            "PARALLAX_SERVER",
        ] {
            assert!(help.contains(line), "{help}");
        }
    }

    #[test]
    fn serve_takes_a_file_or_a_folder() {
        for wrong in [
            "parallax serve",
            "parallax serve --config a --members b",
            "parallax serve --config a --listen 127.0.0.1:1",
            "parallax serve --members a --listen nowhere",
        ] {
            parse(wrong).expect_err(wrong);
        }
        let cli = parse("parallax serve --members dir --listen 127.0.0.1:7 --admin 127.0.0.1:8").unwrap();
        let Command::Serve(args) = cli.command else {
            panic!("not serve")
        };
        let config = args.settings().unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:7");
        assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8");
        assert_eq!(config.members_folder, Some(PathBuf::from("dir")));
    }

    #[test]
    fn a_viewer_is_a_proxy_or_a_place() {
        for wrong in [
            "parallax explain web.shop",
            "parallax explain web.shop --as a --network b",
            "parallax explain web.shop --families v4",
            "parallax explain web.shop --network a --families v5",
        ] {
            parse(wrong).expect_err(wrong);
        }
        for right in [
            "parallax explain web.shop --as a",
            "parallax explain web.shop:80 --network a --member b --families v4 -o json",
            "parallax --server unix:/tmp/x get view --member b",
        ] {
            parse(right).expect(right);
        }
    }
}
