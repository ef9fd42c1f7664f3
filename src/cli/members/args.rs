//! The command line of `parallax members`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

/// `parallax members`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum MembersCommand {
    /// Let a cluster join: make an account that may only read, take a token for it, hand it to the control plane, wait
    ///
    /// Every step finds what is there already, so that an attach that was interrupted goes on where it stopped, and one that
    /// is repeated changes nothing. The Secret has the shape of Istio's remote secrets.
    #[command(after_help = "\
Examples:
  parallax members attach west --context west-admin
  parallax members attach west --context west-admin --network net2 --home-context hub-admin
  parallax members attach west --context kind-west --server-address https://west-control-plane:6443
  parallax members attach west --context west-admin --dry-run=member | kubectl --context west-admin apply -f -")]
    Attach(AttachArgs),
    /// Let a member leave, with all that is its own, and take back what attach made
    ///
    /// With --drain its share of the traffic goes to the others first: it is removed once every proxy has taken that over.
    #[command(after_help = "\
Examples:
  parallax members detach west --context west-admin
  parallax members detach west --context west-admin --drain --timeout 5m
  parallax members detach west --context west-admin --dry-run
  parallax members detach west                         the cluster is gone; its account can't be removed")]
    Detach(DetachArgs),
    /// Give a member a new token; the old one is revoked once the control plane reads with the new one
    #[command(after_help = "\
Examples:
  parallax members rotate west --context west-admin
  parallax members rotate west --context west-admin --dry-run=member | kubectl --context west-admin apply -f -")]
    Rotate(RotateArgs),
    /// List the members, how each is doing and since when
    List,
    /// Tell all about the members or one of them; the exit code says whether they are synced
    #[command(after_help = "\
Examples:
  parallax members status
  parallax members status west -o json
  until parallax members status west >/dev/null 2>&1; do sleep 1; done")]
    Status {
        /// The member; all of them without
        #[arg(value_parser = dns_label)]
        name: Option<String>,
    },
}

/// Where the member's own API server is.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct MemberPlace {
    /// The kubeconfig with the member's context [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
}

/// Where the control plane looks for members.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HomePlace {
    /// The context of the cluster in which the control plane looks for members [default: the current context]
    #[arg(long, value_name = "CONTEXT")]
    pub home_context: Option<String>,
    /// The kubeconfig with that context [default: as --kubeconfig]
    #[arg(long, value_name = "FILE")]
    pub home_kubeconfig: Option<PathBuf>,
    /// The system namespace: of the Secret at home, and of the reader's account in the member
    #[arg(short, long, value_name = "NS", default_value = "istio-system", value_parser = dns_label)]
    pub namespace: String,
}

/// How long the control plane is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Patience {
    /// How long to wait for the control plane
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    pub timeout: Duration,
}

/// `parallax members attach`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct AttachArgs {
    /// The member's name in the mesh: a DNS label
    #[arg(value_parser = dns_label)]
    pub name: String,
    /// The kubeconfig context of an administrator of the member
    #[arg(long)]
    pub context: String,
    /// Where the member is.
    #[command(flatten)]
    pub member: MemberPlace,
    /// Where the control plane is.
    #[command(flatten)]
    pub home: HomePlace,
    /// The member's network, used where the label topology.istio.io/network on its system namespace says nothing
    #[arg(long, value_parser = label_value)]
    pub network: Option<String>,
    /// The address of the member's API server as the control plane reaches it [default: that of the context]
    #[arg(long, value_name = "URL", value_parser = server_address)]
    pub server_address: Option<String>,
    /// Take a token that ends after this long, instead of one that is valid until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub expires_in: Option<Duration>,
    /// Change nothing; print the manifests for the member, for home, or both
    #[arg(
        long,
        value_name = "all|member|home",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_enum,
        hide_possible_values = true
    )]
    pub dry_run: Option<DryRun>,
    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
    /// Do not wait for the control plane, nor ask it anything
    #[arg(long, conflicts_with = "dry_run")]
    pub no_wait: bool,
}

/// Which manifests are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Both.
    All,
    /// What is applied in the member.
    Member,
    /// What is applied where the control plane looks for members.
    Home,
}

/// `parallax members detach`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DetachArgs {
    /// The member
    #[arg(value_parser = dns_label)]
    pub name: String,
    /// The kubeconfig context of an administrator of the member, to remove the account of the reader there
    #[arg(long)]
    pub context: Option<String>,
    /// Where the member is.
    #[command(flatten)]
    pub member: MemberPlace,
    /// Where the control plane is.
    #[command(flatten)]
    pub home: HomePlace,
    /// First take all traffic off it, and wait until every proxy has accepted that
    #[arg(long)]
    pub drain: bool,
    /// Leave the account of the reader in the member; its token is revoked all the same
    #[arg(long)]
    pub keep_account: bool,
    /// Change nothing; print what would be deleted at home, in the member, or both
    #[arg(
        long,
        value_name = "all|member|home",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_enum,
        hide_possible_values = true,
        conflicts_with_all = ["drain", "no_wait"]
    )]
    pub dry_run: Option<DryRun>,
    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
    /// Do not wait for the control plane, nor ask it anything
    #[arg(long, conflicts_with = "drain")]
    pub no_wait: bool,
}

/// `parallax members rotate`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct RotateArgs {
    /// The member
    #[arg(value_parser = dns_label)]
    pub name: String,
    /// The kubeconfig context of an administrator of the member
    #[arg(long)]
    pub context: String,
    /// Where the member is.
    #[command(flatten)]
    pub member: MemberPlace,
    /// Where the control plane is.
    #[command(flatten)]
    pub home: HomePlace,
    /// Take a token that ends after this long, instead of one that is valid until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = lifetime)]
    pub expires_in: Option<Duration>,
    /// Change nothing; print the manifests of a new token for the member, for home, or both
    #[arg(
        long,
        value_name = "all|member|home",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        value_enum,
        hide_possible_values = true,
        conflicts_with = "expires_in"
    )]
    pub dry_run: Option<DryRun>,
    /// How long to wait.
    #[command(flatten)]
    pub patience: Patience,
}

fn dns_label(text: &str) -> Result<String, String> {
    let ends_well = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = (1..=63).contains(&text.len())
        && text.starts_with(ends_well)
        && text.ends_with(ends_well)
        && text.chars().all(|c| ends_well(c) || c == '-');
    match is_label {
        true => Ok(text.to_owned()),
        false => Err("it is no DNS label: use 1 to 63 lower-case letters, digits and dashes, with a letter or digit at both ends, such as west-1".to_owned()),
    }
}

fn label_value(text: &str) -> Result<String, String> {
    let ends_well = |c: char| c.is_ascii_alphanumeric();
    let is_value = (1..=63).contains(&text.len())
        && text.starts_with(ends_well)
        && text.ends_with(ends_well)
        && text.chars().all(|c| ends_well(c) || matches!(c, '-' | '_' | '.'));
    match is_value {
        true => Ok(text.to_owned()),
        false => Err("it is no Kubernetes label value: use 1 to 63 letters, digits, dashes, dots and underscores, with a letter or digit at both ends".to_owned()),
    }
}

fn server_address(text: &str) -> Result<String, String> {
    let remedy = "write it as https://HOST:PORT";
    let uri: http::Uri = text.parse().map_err(|error| format!("{error}; {remedy}"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err(remedy.to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number and a unit (s, m, h or d), such as 90s".to_owned();
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

/// API servers give no token for less than ten minutes; ten years are a typing error.
fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime = duration(text)?;
    match lifetime.as_secs() {
        600..=315_360_000 => Ok(lifetime),
        _ => Err("a token may live from 10m to 3650d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for right in ["west", "w", "1-2", &"a".repeat(63)] {
            assert_eq!(dns_label(right).as_deref(), Ok(right));
        }
        for wrong in ["", "West", "west.1", "-west", "west-", "we st", &"a".repeat(64)] {
            assert!(dns_label(wrong).unwrap_err().contains("DNS label"), "{wrong}");
        }
        assert!(label_value("Net_1.a").is_ok());
        assert!(label_value("-net").is_err());
    }

    #[test]
    fn addresses_and_durations_are_checked_before_anything_is_done() {
        assert_eq!(server_address("https://a:6443/").as_deref(), Ok("https://a:6443"));
        for wrong in ["a:6443", "http://a", "https://", "https://a b"] {
            assert!(
                server_address(wrong).unwrap_err().contains("https://HOST:PORT"),
                "{wrong}"
            );
        }
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "2", "m", "2 m", "2w", "99999999999999999999s"] {
            duration(wrong).expect_err(wrong);
        }
        assert_eq!(lifetime("30d"), Ok(Duration::from_secs(2_592_000)));
        lifetime("5m").expect_err("too short");
    }
}
