//! The two clusters that a command is about.

use super::super::Failure;
use super::args::{HomePlace, MemberPlace};
use super::cluster::Cluster;

/// A member, and the cluster in which the control plane looks for members.
#[derive(Debug)]
pub(super) struct Sides {
    pub(super) member: Cluster,
    pub(super) home: Cluster,
    /// Which cluster the member is: the UID of its namespace `kube-system`.
    pub(super) member_uid: String,
    /// The same of home.
    pub(super) home_uid: String,
}

impl Sides {
    /// Reads the kubeconfigs, and asks both which clusters they are.
    pub(super) async fn open(member: &MemberPlace, context: &str, home: &HomePlace) -> Result<Self, Failure> {
        let at_home = open_home(member, home).await?;
        let member = Cluster::open(member.kubeconfig.as_deref(), Some(context)).await?;
        Ok(Self {
            member_uid: member.identity().await?,
            home_uid: at_home.identity().await?,
            member,
            home: at_home,
        })
    }
}

/// Reads the kubeconfig of home; nothing is asked yet.
pub(super) async fn open_home(member: &MemberPlace, home: &HomePlace) -> Result<Cluster, Failure> {
    let file = home.home_kubeconfig.as_deref().or(member.kubeconfig.as_deref());
    Cluster::open(file, home.home_context.as_deref()).await
}
