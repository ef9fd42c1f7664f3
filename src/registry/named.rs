//! Members that the settings name: they join, change and leave as the settings do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::run::read_member;
use super::{MemberOptions, MemberSource, Members, Problem};
use crate::model::ClusterId;
use crate::table::{EventSink, RegistryChange, RegistryEvent};

/// A member that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMember {
    /// Where it is read from.
    pub source: MemberSource,
    /// How it is treated.
    pub options: MemberOptions,
}

/// Where members say what they say.
pub struct Sinks {
    /// Members that are folders.
    pub folders: Arc<dyn EventSink>,
    /// Members that are API servers. It is told of everyone who leaves, for who is a folder now may have been one before.
    pub api_servers: Arc<dyn EventSink>,
    /// Forgets what was written down of a member that is no API server any more, which says nothing of what is served.
    pub forget: Arc<dyn Fn(&ClusterId) + Send + Sync>,
}

impl fmt::Debug for Sinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sinks").finish_non_exhaustive()
    }
}

impl Sinks {
    fn of(&self, source: &MemberSource) -> Arc<dyn EventSink> {
        match source {
            MemberSource::Folder { .. } => Arc::clone(&self.folders),
            _ => Arc::clone(&self.api_servers),
        }
    }
}

/// Reads the members that are wanted, the latest set of them, until cancelled. One that is no longer wanted leaves; one that is
/// read from elsewhere now keeps what is known of it until that is listed; other options take effect while it is read. Names that
/// are taken already are reported in [`Members::problems`], and read once they are free.
///
/// # Errors
/// When a reader broke off, which none should.
pub async fn run_named_members(
    mut wanted: watch::Receiver<BTreeMap<ClusterId, NamedMember>>,
    sinks: Sinks,
    members: Members,
    cancel: CancellationToken,
) -> Result<(), JoinError> {
    let mut freed = members.freed();
    let mut named = Named {
        sinks,
        members,
        cancel: cancel.clone(),
        readers: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    loop {
        let now = wanted.borrow_and_update().clone();
        named.want(&now).await?;
        tokio::select! {
            Ok(()) = wanted.changed() => {}
            Some(ended) = named.tasks.join_next() => { ended?; }
            _ = freed.changed() => {}
            () = cancel.cancelled() => break,
        }
    }
    while let Some(ended) = named.tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// One member that is being read.
struct Reader {
    member: NamedMember,
    cancel: CancellationToken,
    /// Cancelled when nothing more comes of it.
    ended: CancellationToken,
}

struct Named {
    sinks: Sinks,
    members: Members,
    cancel: CancellationToken,
    readers: BTreeMap<ClusterId, Reader>,
    tasks: JoinSet<()>,
}

impl Named {
    async fn want(&mut self, wanted: &BTreeMap<ClusterId, NamedMember>) -> Result<(), JoinError> {
        let gone: BTreeSet<_> = self
            .readers
            .keys()
            .filter(|name| !wanted.contains_key(name))
            .cloned()
            .collect();
        for name in gone {
            if self.stop(&name).await.is_some() {
                tracing::info!(member = %name, "member left: the settings no longer have it");
                self.sinks.api_servers.apply(RegistryEvent {
                    member: name.clone(),
                    change: RegistryChange::Left,
                });
                self.members.leave(&name);
            }
        }
        let mut problems = Vec::new();
        for (name, member) in wanted {
            match self.readers.get_mut(name) {
                None => problems.extend(self.join(name, member)),
                // Options take effect while it reads, and so do the namespaces that it watches.
                Some(reader) if reader.member.source == member.source => {
                    if reader.member.options != member.options {
                        tracing::info!(member = %name, "member is treated as the settings say now");
                        self.members.reconfigure(name, member.options.clone());
                        reader.member = member.clone();
                    }
                }
                Some(_) => {
                    tracing::info!(member = %name, source = %member.source, "member is read from elsewhere now");
                    self.stop(name).await;
                    if matches!(member.source, MemberSource::Folder { .. }) {
                        (self.sinks.forget)(name);
                    }
                    let status = self.members.join_again(name, &member.source, member.options.clone());
                    self.read(name, member, status);
                }
            }
        }
        self.members.set_problems(&place(), problems);
        Ok(())
    }

    fn join(&mut self, name: &ClusterId, member: &NamedMember) -> Option<Problem> {
        match self.members.join(name, &member.source, member.options.clone()) {
            Some(status) => {
                self.read(name, member, status);
                None
            }
            None => Some(Problem::name_taken(name, &member.source)),
        }
    }

    fn read(&mut self, name: &ClusterId, member: &NamedMember, status: super::status::MemberStatus) {
        let cancel = self.cancel.child_token();
        let ended = CancellationToken::new();
        // Also when it breaks off.
        let end = ended.clone().drop_guard();
        let reading = read_member(
            name.clone(),
            member.source.clone(),
            self.sinks.of(&member.source),
            status,
            cancel.clone(),
        );
        self.tasks.spawn(async move {
            let _end = end;
            reading.await;
        });
        let reader = Reader {
            member: member.clone(),
            cancel,
            ended,
        };
        self.readers.insert(name.clone(), reader);
    }

    /// Its last word must come before whatever follows.
    async fn stop(&mut self, name: &ClusterId) -> Option<Reader> {
        let reader = self.readers.remove(name)?;
        reader.cancel.cancel();
        reader.ended.cancelled().await;
        Some(reader)
    }
}

/// What problems are filed under.
fn place() -> PathBuf {
    Path::new("settings: members").to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::{DEADLINE, id};
    use super::*;
    use crate::model::{NetworkId, ServiceKey};
    use crate::table::EndpointTable;

    /// A table that members write to.
    #[derive(Debug)]
    struct Written(EndpointTable);

    impl EventSink for Written {
        fn apply(&self, event: RegistryEvent) {
            self.0.apply(event);
        }
    }

    impl Written {
        /// The members and their networks, and the services.
        fn shown(&self) -> String {
            let members = self.0.members().into_iter();
            let members = members.map(|member| format!("{} on {}", member.name, member.network));
            let services = self.0.services().into_iter().map(|service| service.key.to_string());
            members.chain(services).collect::<Vec<_>>().join(", ")
        }

        async fn until(&self, expected: &str) {
            let looking = async {
                while self.shown() != expected {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let in_time = tokio::time::timeout(DEADLINE, looking).await;
            assert!(in_time.is_ok(), "{expected:?}, seen last: {:?}", self.shown());
        }
    }

    /// A folder with one Service.
    fn folder(service: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let manifest = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {service}, namespace: shop}}\nspec: {{ports: [{{port: 80}}]}}\n"
        );
        std::fs::write(folder.path().join("service.yaml"), manifest).unwrap();
        folder
    }

    fn on(folder: &tempfile::TempDir, network: &str) -> NamedMember {
        NamedMember {
            source: MemberSource::Folder {
                path: folder.path().to_owned(),
            },
            options: MemberOptions {
                network: Some(NetworkId::new(network).unwrap()),
                ..MemberOptions::default()
            },
        }
    }

    #[tokio::test]
    async fn members_join_change_and_leave_as_the_settings_say() {
        let (web, cart) = (folder("web"), folder("cart"));
        let table = Arc::new(Written(crate::table::testing::table()));
        let sink = || Arc::clone(&table) as Arc<dyn EventSink>;
        let sinks = Sinks {
            folders: sink(),
            api_servers: sink(),
            forget: Arc::new(|_| {}),
        };
        let members = Members::default();
        let cancel = CancellationToken::new();
        // Somebody else has this name.
        let elsewhere = members.join(&id("taken"), &MemberSource::InCluster, MemberOptions::default());
        let (want, wanted) = watch::channel(BTreeMap::from([
            (id("east"), on(&web, "net1")),
            (id("taken"), on(&cart, "net9")),
        ]));
        let running = tokio::spawn(run_named_members(wanted, sinks, members.clone(), cancel.clone()));
        table.until("east on net1, web.shop").await;
        let problems = members.problems();
        assert!(
            problems[0].to_string().contains("another member has this name"),
            "{problems:?}"
        );

        // Another network, while it is read; then another folder; then the name that became free, without a word.
        let taken = || (id("taken"), on(&web, "net9"));
        want.send_replace(BTreeMap::from([(id("east"), on(&web, "net2")), taken()]));
        table.until("east on net2, web.shop").await;
        want.send_replace(BTreeMap::from([(id("east"), on(&cart, "net2")), taken()]));
        table.until("east on net2, cart.shop").await;
        assert_eq!(members.problems().len(), 1);
        drop(elsewhere);
        members.leave(&id("taken"));
        table.until("east on net2, taken on net9, cart.shop, web.shop").await;
        assert_eq!(members.problems(), []);

        want.send_replace(BTreeMap::from([(id("taken"), on(&web, "net9"))]));
        table.until("taken on net9, web.shop").await;
        assert!(members.get(&id("east")).is_none());
        assert!(table.0.service(&ServiceKey::new("shop", "cart")).is_none());
        cancel.cancel();
        running.await.unwrap().unwrap();
        assert_eq!(
            table.shown(),
            "taken on net9, web.shop",
            "an end says nothing about members"
        );
    }

    #[tokio::test]
    async fn what_was_written_down_goes_with_a_member_that_became_a_folder() {
        let (web, cart) = (folder("web"), folder("cart"));
        let table = Arc::new(Written(crate::table::testing::table()));
        let kept = Arc::new(Written(crate::table::testing::table()));
        let (forgot, forgotten) = std::sync::mpsc::channel();
        let sinks = Sinks {
            folders: Arc::clone(&table) as Arc<dyn EventSink>,
            api_servers: Arc::clone(&kept) as Arc<dyn EventSink>,
            forget: Arc::new(move |name| forgot.send(name.clone()).unwrap()),
        };
        kept.apply(RegistryEvent {
            member: id("east"),
            change: RegistryChange::Joined { network: None },
        });
        let (cancel, members) = (CancellationToken::new(), Members::default());
        let (want, wanted) = watch::channel(BTreeMap::from([(id("east"), on(&web, "net1"))]));
        let running = tokio::spawn(run_named_members(wanted, sinks, members.clone(), cancel.clone()));
        table.until("east on net1, web.shop").await;
        want.send_replace(BTreeMap::from([(id("east"), on(&cart, "net1"))]));
        table.until("east on net1, cart.shop").await;
        assert_eq!(forgotten.try_recv(), Ok(id("east")));
        want.send_replace(BTreeMap::new());
        // Its word goes to who writes down.
        kept.until("").await;
        cancel.cancel();
        running.await.unwrap().unwrap();
    }
}
