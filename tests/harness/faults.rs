//! The faults that tests show on real parts. `docs/faults.md` has a row for each, written from what their tests recorded.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// What fails. A test watches real Envoys from before it fails to its end, and records a row of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL, and the server is away for a minute.
    ApiServerKilled,
    /// What the watches would go on from was compacted away.
    VersionsGone,
    /// SIGSTOP of the API server.
    ApiServerPaused,
    /// SIGSTOP of etcd.
    EtcdPaused,
    /// SIGKILL of etcd.
    EtcdKilled,
    /// The role is changed while we read.
    KindForbidden,
    /// A kubeconfig whose token is refused takes the place of one that works.
    RotationRefused,
    /// A kubeconfig of another cluster does.
    RotationElsewhere,
    /// One that works does.
    Rotation,
    /// A link of the way goes down.
    NetworkSilent,
    /// A few bytes now and then.
    MemberTrickles,
    /// Writes all the time.
    MemberIsBusy,
    /// As after a disaster.
    ApiServerEmpty,
    /// SIGKILL of ours.
    ControlPlaneRestarted,
    /// SIGKILL of ours, while an API server is away.
    ControlPlaneKilled,
    /// No answer about a gateway's host name.
    DnsGone,
}

impl Fault {
    /// All of them, in the order of the page.
    pub const ALL: [Self; 16] = [
        Self::ApiServerKilled,
        Self::VersionsGone,
        Self::ApiServerPaused,
        Self::ApiServerEmpty,
        Self::EtcdKilled,
        Self::EtcdPaused,
        Self::KindForbidden,
        Self::RotationRefused,
        Self::RotationElsewhere,
        Self::Rotation,
        Self::NetworkSilent,
        Self::MemberTrickles,
        Self::MemberIsBusy,
        Self::DnsGone,
        Self::ControlPlaneRestarted,
        Self::ControlPlaneKilled,
    ];

    /// What fails, in the words of the page.
    pub fn title(self) -> &'static str {
        match self {
            Self::ApiServerKilled => "API server killed, and away for a minute",
            Self::VersionsGone => {
                "API server started again behind a silent network, and its etcd compacted: what watches go on from is gone (410)"
            }
            Self::ApiServerPaused => "API server paused, connections stay open; policy: demote after 2 s",
            Self::ApiServerEmpty => "API server back without its state, and Parallax restarted: an empty list",
            Self::EtcdKilled => "etcd killed under its API server, and away for a minute",
            Self::EtcdPaused => {
                "etcd paused: its API server answers, and watches send bookmarks; policy: demote after 2 s"
            }
            Self::KindForbidden => "RBAC forbids EndpointSlices while they are read (403)",
            Self::RotationRefused => "rotation to a token that is refused",
            Self::RotationElsewhere => "rotation to the kubeconfig of another cluster, by mistake",
            Self::Rotation => "rotation to a way through a proxy: no fault, and no gap",
            Self::NetworkSilent => "the network between Parallax and an API server drops everything, without a word",
            Self::MemberTrickles => "an API server gives 20 bytes a second, beside a healthy one",
            Self::MemberIsBusy => "a member changes more often than its budget allows, beside a healthy one",
            Self::DnsGone => "DNS fails, knows no such name, is silent: about a gateway's host name",
            Self::ControlPlaneRestarted => "Parallax killed, and started again; its member a folder",
            Self::ControlPlaneKilled => "Parallax killed while an API server is away, and started again",
        }
    }

    /// The test that shows it.
    pub fn test(self) -> &'static str {
        match self {
            Self::ApiServerKilled | Self::VersionsGone | Self::EtcdKilled | Self::KindForbidden => {
                "members_that_fail_for_a_minute_keep_their_endpoints"
            }
            Self::ApiServerPaused | Self::EtcdPaused => {
                "a_member_that_falls_silent_is_noticed_served_last_and_back_at_once"
            }
            Self::ApiServerEmpty => "an_api_server_that_comes_back_empty_empties_nobody_at_its_first_word",
            Self::NetworkSilent => "a_network_that_drops_everything_is_noticed_and_empties_nobody",
            Self::MemberTrickles | Self::MemberIsBusy => "a_slow_or_busy_member_costs_a_healthy_one_nothing",
            Self::RotationRefused | Self::RotationElsewhere | Self::Rotation => {
                "members_join_rotate_and_leave_by_secrets"
            }
            Self::DnsGone => "envoys_follow_a_gateways_host_name_and_its_nodes",
            Self::ControlPlaneRestarted => "envoys_keep_what_they_have_and_catch_up",
            Self::ControlPlaneKilled => "a_member_that_is_down_at_the_start_is_served_as_it_was_known",
        }
    }

    /// Writes its row of the page: a cell for each column but the first and the last.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(super) fn record(self, cells: [&str; 3]) -> anyhow::Result<()> {
        let [seen, noticed, over] = cells;
        let row = format!(
            "| {} | {seen} | {noticed} | {over} | `{}` |\n",
            self.title(),
            self.test()
        );
        let file = self.file()?;
        std::fs::create_dir_all(file.parent().expect("it is in a folder"))?;
        std::fs::write(&file, row).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The row that its test recorded.
    ///
    /// # Errors
    /// If there is none; the message says which test to run.
    pub fn recorded(self) -> anyhow::Result<String> {
        std::fs::read_to_string(self.file()?)
            .with_context(|| format!("nothing is recorded of {self:?}: run {}", self.test()))
    }

    fn file(self) -> anyhow::Result<PathBuf> {
        // Cargo says so to tests only, and only these record.
        let target = option_env!("CARGO_TARGET_TMPDIR").context("only tests record faults")?;
        Ok(Path::new(target).with_file_name("faults").join(format!("{self:?}.md")))
    }
}
