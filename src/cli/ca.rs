//! `parallax ca`: the mesh's root and its members' intermediates, in a folder.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::Failure;
use crate::identity::{
    Outcome, Renewal, RotationStep, SpiffeId, TrustDomain, Workshop, WorkshopError, issue_to_folder,
};
use crate::model::ClusterId;

/// `parallax ca`.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CaCommand {
    /// Make the mesh's root, where there is none
    #[command(after_help = "\
Example:
  parallax ca init --dir ca --trust-domain cluster.local")]
    Init {
        /// Where the root is kept.
        #[command(flatten)]
        dir: CaFolder,
        /// The name that the identities of the mesh begin with
        #[arg(long, default_value = "cluster.local", value_parser = trust_domain)]
        trust_domain: TrustDomain,
        /// How long the root is valid
        #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: u32,
    },
    /// Issue the intermediate of a member, laid out as Istio's cacerts
    ///
    /// One that is there and good is left as it is. Hand its folder to that member's control plane (`identity.ca` in the
    /// settings), and keep the root's key where no machine of the mesh can read it.
    #[command(after_help = "\
Examples:
  parallax ca issue-intermediate --member west
  parallax ca issue-intermediate --member west --renew")]
    IssueIntermediate {
        /// Where the root is kept.
        #[command(flatten)]
        dir: CaFolder,
        /// The member; its folder in --dir has the same name
        #[arg(long, value_parser = member)]
        member: ClusterId,
        /// Certify the member's key anew, though its certificate is still good
        #[arg(long)]
        renew: bool,
        /// How long it is valid, at most as long as the root
        #[arg(long, default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: u32,
    },
    /// Do the next step of a change of roots: widen, re-issue, shrink
    ///
    /// Each run does one step and tells what comes next. Between two steps hand the members' folders out, and wait until every
    /// workload has what changed: handshakes never fail on the way.
    #[command(after_help = "\
Example:
  parallax ca rotate-root --dir ca")]
    RotateRoot {
        /// Where the root is kept.
        #[command(flatten)]
        dir: CaFolder,
        /// How long the new root is valid
        #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: u32,
        /// How long the intermediates under it are valid
        #[arg(long, default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=36500))]
        intermediate_days: u32,
    },
    /// Issue a certificate for a workload without a service account token, or for a server
    ///
    /// Writes tls.crt, tls.key and ca.crt. A virtual machine attaches with them; with --host they are a server's too, such as
    /// those of parallax itself (`tls` in the settings).
    #[command(after_help = "\
Examples:
  parallax ca issue --from ca/west --namespace shop --service-account web --out web-vm
  parallax ca issue --from ca/west --namespace istio-system --service-account parallax --host parallax.istio-system.svc --out tls")]
    Issue {
        /// The folder of the authority, in Istio's or cert-manager's layout
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// The workload's namespace
        #[arg(long)]
        namespace: String,
        /// The workload's service account
        #[arg(long)]
        service_account: String,
        /// The name that the identities of the mesh begin with
        #[arg(long, default_value = "cluster.local", value_parser = trust_domain)]
        trust_domain: TrustDomain,
        /// A host name or IP address of the server; may be given several times
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// How long it is valid, at most as long as the authority
        #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=876_000))]
        hours: u32,
        /// The folder for the three files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// Where the root is kept.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct CaFolder {
    /// The folder with the root, and a folder for each member in it
    #[arg(long, default_value = "ca", value_name = "DIR")]
    pub dir: PathBuf,
}

fn trust_domain(text: &str) -> Result<TrustDomain, String> {
    TrustDomain::new(text).map_err(|error| error.to_string())
}

fn member(text: &str) -> Result<ClusterId, String> {
    ClusterId::new(text).map_err(|error| error.to_string())
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

/// Does what is asked, and says what was done and what comes next.
pub(super) fn run(command: CaCommand, out: &mut dyn Write) -> Result<(), Failure> {
    let said = done(command, Timestamp::now()).map_err(|error| Failure::Refused(error.to_string()))?;
    Ok(out.write_all(said.as_bytes())?)
}

fn done(command: CaCommand, now: Timestamp) -> Result<String, WorkshopError> {
    Ok(match command {
        CaCommand::Init {
            dir,
            trust_domain,
            days,
        } => {
            let outcome = Workshop::new(&dir.dir).init(&trust_domain, self::days(days), now)?;
            let dir = dir.dir.display();
            let made = match outcome {
                Outcome::Kept => "is there already; nothing changed",
                Outcome::Made => "is made",
                Outcome::Renewed => "is made, with the key of a run that broke off",
            };
            format!(
                "the root of {trust_domain} in {dir} {made}\nNext: parallax ca issue-intermediate --dir {dir} --member NAME, for each member\n"
            )
        }
        CaCommand::IssueIntermediate {
            dir,
            member,
            renew,
            days,
        } => {
            let renewal = if renew { Renewal::Asked } else { Renewal::NotAsked };
            let workshop = Workshop::new(&dir.dir);
            let made = match workshop.issue_intermediate(&member, renewal, self::days(days), now)? {
                Outcome::Made => "is made",
                Outcome::Renewed => "is certified anew, with the same key",
                Outcome::Kept => "is there already and good; nothing changed",
            };
            let folder = workshop.member_folder(&member);
            let folder = folder.display();
            format!(
                "the intermediate of {member} in {folder} {made}\nNext: set `identity.ca: {folder}` where parallax runs for {member}\n"
            )
        }
        CaCommand::RotateRoot {
            dir,
            days,
            intermediate_days,
        } => {
            let workshop = Workshop::new(&dir.dir);
            let step = workshop.rotate_root(self::days(days), self::days(intermediate_days), now)?;
            let dir = dir.dir.display();
            let again = format!("parallax ca rotate-root --dir {dir}");
            let hand_out = "Hand out the members' folders, and wait until every workload";
            match step {
                RotationStep::Widen => format!(
                    "step 1 of 3, widen: every root-cert.pem has the old root and the new one\n{hand_out} has both roots.\nNext, step 2, re-issue: {again}\n"
                ),
                RotationStep::Reissue => format!(
                    "step 2 of 3, re-issue: every member's intermediate is signed by the new root\n{hand_out} has a certificate under it: at the latest half a certificate's lifetime later.\nNext, step 3, shrink: {again}\n"
                ),
                RotationStep::Shrink => "step 3 of 3, shrink: only the new root is trusted; the old one's key is kept as retired-root-key-….pem\nHand out the members' folders. The change of roots is done.\n".to_owned(),
            }
        }
        CaCommand::Issue {
            from,
            namespace,
            service_account,
            trust_domain,
            hosts,
            hours,
            out,
        } => {
            let id = SpiffeId::new(trust_domain, &namespace, &service_account);
            let id = id.map_err(|error| WorkshopError::Name(error.to_string()))?;
            let lifetime = Duration::from_secs(u64::from(hours) * 3600);
            let not_after = issue_to_folder(&from, &id, &hosts, lifetime, &out, now)?;
            format!(
                "{id}: tls.crt, tls.key and ca.crt in {}, valid until {not_after:.0}\n",
                out.display()
            )
        }
    })
}
