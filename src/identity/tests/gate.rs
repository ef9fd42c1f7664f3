//! Who may attach, with members whose API servers answer, are away, or publish nothing.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures::future::BoxFuture;
use rustls::pki_types::CertificateDer;

use super::token::{Signer, claims};
use super::*;
use crate::identity::proof::Proven;
use crate::identity::{
    BearerToken, Claims, Gate, IdentityMetrics, Keeper, PeerCertificates, PublishedKeys, Refusal, RefusalKind,
    Requirement, Review, ServiceAccount, Shown, TokenAuthorities, TrustDomains,
};

/// What each member answers; nothing where it is away.
#[derive(Debug, Default)]
struct Servers {
    answers: Mutex<BTreeMap<ClusterId, Option<Answers>>>,
    /// Who was shown a token.
    shown: Mutex<Vec<ClusterId>>,
}

#[derive(Debug, Clone, Default)]
struct Answers {
    jwks: Option<String>,
    issuer: Option<String>,
    review: Option<Review>,
}

impl Servers {
    fn set(&self, name: &str, answers: Option<Answers>) {
        self.answers.lock().unwrap().insert(member(name), answers);
    }

    fn of(&self, member: &ClusterId) -> Result<Answers, String> {
        self.answers.lock().unwrap()[member]
            .clone()
            .ok_or("no route to host".to_owned())
    }
}

impl TokenAuthorities for Servers {
    fn members(&self) -> Vec<ClusterId> {
        self.answers.lock().unwrap().keys().cloned().collect()
    }

    fn published_keys<'a>(&'a self, member: &'a ClusterId) -> BoxFuture<'a, Result<PublishedKeys, String>> {
        Box::pin(async {
            let answers = self.of(member)?;
            let jwks = answers.jwks.ok_or("forbidden".to_owned())?;
            let issuer = answers.issuer;
            Ok(PublishedKeys { jwks, issuer })
        })
    }

    fn review<'a>(
        &'a self,
        member: &'a ClusterId,
        _: &'a BearerToken,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Review, String>> {
        Box::pin(async {
            self.shown.lock().unwrap().push(member.clone());
            self.of(member)?.review.ok_or("forbidden".to_owned())
        })
    }
}

struct World {
    servers: Arc<Servers>,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The keeper and the gate look at the clock, so these are of today.
        let workshop = Workshop::new(folder.path());
        workshop.init(&domain(), 30 * DAY, Timestamp::now()).unwrap();
        for name in ["east", "west"] {
            let made = workshop.issue_intermediate(&member(name), Renewal::NotAsked, 20 * DAY, Timestamp::now());
            made.unwrap();
        }
        Self {
            servers: Arc::default(),
            folder,
        }
    }

    fn gate(&self, requirement: Requirement) -> Gate {
        let metrics = IdentityMetrics::default();
        let keeper = Keeper::open(&self.folder.path().join("east"), metrics.clone()).unwrap();
        let domains = TrustDomains {
            own: domain(),
            aliases: vec![TrustDomain::new("old.local").unwrap()],
        };
        let servers = Arc::clone(&self.servers) as Arc<dyn TokenAuthorities>;
        Gate::new(
            requirement,
            domains,
            vec!["istio-ca".to_owned()],
            Arc::new(keeper),
            servers,
            metrics,
        )
    }

    fn certificates(&self, member: &str, id: &SpiffeId) -> Shown {
        let files = read_authority_files(&self.folder.path().join(member)).unwrap();
        let authority = Authority::read(&files, Timestamp::now()).unwrap();
        let issued = authority.issue(id, HOUR, Timestamp::now()).unwrap();
        let chain = CertificateDer::pem_slice_iter(issued.chain.as_bytes()).map(Result::unwrap);
        Shown {
            certificates: Some(PeerCertificates(chain.collect())),
            token: None,
        }
    }
}

fn token(signer: &Signer) -> Shown {
    Shown {
        certificates: None,
        token: Some(signer.sign(&claims(Timestamp::now()))),
    }
}

fn in_member(name: &str) -> Claims {
    Claims {
        member: Some(member(name)),
        ..Claims::default()
    }
}

fn refused(outcome: Result<Option<Proven>, Refusal>) -> (RefusalKind, String) {
    let refusal = outcome.expect_err("it is refused");
    (refusal.kind(), refusal.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_token_is_checked_by_the_keys_of_its_member_also_while_that_is_away() {
    let world = World::new();
    let (east, west) = (Signer::new("e"), Signer::new("w"));
    let answers = |signer: &Signer| {
        Some(Answers {
            jwks: Some(signer.jwks()),
            ..Answers::default()
        })
    };
    world.servers.set("east", answers(&east));
    world.servers.set("west", answers(&west));
    let gate = world.gate(Requirement::Token);
    let proven = gate.identify(&token(&west), &in_member("west")).await.unwrap().unwrap();
    assert_eq!(proven.id, web());
    assert_eq!(
        (proven.member, proven.pod.as_deref()),
        (Some(member("west")), Some("web-1"))
    );
    // Without a word the member is found by the key.
    let proven = gate.identify(&token(&east), &Claims::default()).await.unwrap().unwrap();
    assert_eq!(proven.member, Some(member("east")));
    // A good token, of another member.
    let (kind, said) = refused(gate.identify(&token(&east), &in_member("west")).await);
    assert_eq!(kind, RefusalKind::Denied);
    assert!(said.contains("its member is west, and its token proves east"), "{said}");

    world.servers.set("west", None);
    assert!(gate.identify(&token(&west), &in_member("west")).await.is_ok());
    let (kind, said) = refused(gate.identify(&token(&Signer::new("x")), &in_member("west")).await);
    assert_eq!(kind, RefusalKind::Unauthenticated, "{said}");
    // A new key is fetched when a token comes with it.
    let renewed = Signer::new("w2");
    world.servers.set("west", answers(&renewed));
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(gate.identify(&token(&renewed), &in_member("west")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_publishes_no_keys_reviews_tokens_itself() {
    let world = World::new();
    let account = ServiceAccount {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        pod: None,
    };
    let reviews = |review| {
        Some(Answers {
            review: Some(review),
            ..Answers::default()
        })
    };
    world.servers.set("west", reviews(Review::Authentic(account)));
    let gate = world.gate(Requirement::Either);
    let proven = gate
        .identify(&token(&Signer::new("a")), &in_member("west"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((proven.id, proven.member), (web(), Some(member("west"))));
    world
        .servers
        .set("west", reviews(Review::Refused("expired".to_owned())));
    let (kind, _) = refused(gate.identify(&token(&Signer::new("a")), &in_member("west")).await);
    assert_eq!(kind, RefusalKind::Unauthenticated);
    world.servers.set("west", None);
    let (kind, said) = refused(gate.identify(&token(&Signer::new("a")), &in_member("west")).await);
    assert_eq!(kind, RefusalKind::Later);
    assert!(said.contains("member west: no route to host"), "{said}");
    // Of a member that does not exist nobody is asked.
    let (kind, _) = refused(gate.identify(&token(&Signer::new("a")), &in_member("north")).await);
    assert_eq!(kind, RefusalKind::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_shown_to_no_member_but_its_own() {
    let world = World::new();
    let hostile = Answers {
        review: Some(Review::Refused("never seen".to_owned())),
        ..Answers::default()
    };
    world.servers.set("east", Some(hostile.clone()));
    world.servers.set("west", Some(hostile));
    let gate = world.gate(Requirement::Token);
    let (kind, said) = refused(gate.identify(&token(&Signer::new("a")), &Claims::default()).await);
    assert_eq!(kind, RefusalKind::Unauthenticated);
    assert!(said.contains("set CLUSTER_ID"), "{said}");
    refused(gate.identify(&token(&Signer::new("a")), &in_member("west")).await);
    assert_eq!(*world.servers.shown.lock().unwrap(), [member("west")]);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_was_known_counts_on_while_it_can_not_be_read() {
    let world = World::new();
    let signer = Signer::new("w");
    let publish = |issuer: Option<&str>| {
        let answers = Answers {
            jwks: Some(signer.jwks()),
            issuer: issuer.map(str::to_owned),
            review: None,
        };
        world.servers.set("west", Some(answers));
    };
    let gate = Arc::new(world.gate(Requirement::Token));
    publish(Some("https://other"));
    let keeping = {
        let gate = Arc::clone(&gate);
        tokio::spawn(async move { gate.run().await })
    };
    for issuer in [Some("https://other"), None] {
        publish(issuer);
        tokio::time::sleep(Duration::from_secs(400)).await;
        let (kind, said) = refused(gate.identify(&token(&signer), &in_member("west")).await);
        assert_eq!(kind, RefusalKind::Unauthenticated);
        assert!(said.contains("another issuer"), "{said}");
    }
    publish(Some("https://kubernetes.default.svc"));
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert!(gate.identify(&token(&signer), &in_member("west")).await.is_ok());
    keeping.abort();
}

#[tokio::test]
async fn a_certificate_counts_where_a_root_of_the_mesh_vouches_for_it_now() {
    let world = World::new();
    let gate = world.gate(Requirement::Either);
    let proven = gate
        .identify(&world.certificates("west", &web()), &Claims::default())
        .await;
    let proven = proven.unwrap().unwrap();
    assert_eq!((proven.id, proven.member), (web(), Some(member("west"))));
    // An alias means the same workload.
    let old = SpiffeId::new(TrustDomain::new("old.local").unwrap(), "shop", "web").unwrap();
    let proven = gate
        .identify(&world.certificates("east", &old), &Claims::default())
        .await;
    assert_eq!(proven.unwrap().unwrap().id, web());
    let foreign = SpiffeId::new(TrustDomain::new("other").unwrap(), "shop", "web").unwrap();
    let (kind, _) = refused(
        gate.identify(&world.certificates("east", &foreign), &Claims::default())
            .await,
    );
    assert_eq!(kind, RefusalKind::Denied);
    let (kind, said) = refused(
        gate.identify(&world.certificates("east", &web()), &in_member("west"))
            .await,
    );
    assert_eq!(kind, RefusalKind::Denied);
    assert!(said.contains("its certificate proves east"), "{said}");
    let other = World::new();
    let (kind, said) = refused(
        gate.identify(&other.certificates("east", &web()), &Claims::default())
            .await,
    );
    assert_eq!(kind, RefusalKind::Unauthenticated);
    assert!(said.contains("signed by no root of this mesh"), "{said}");
}

#[tokio::test]
async fn who_shows_nothing_is_told_what_is_required() {
    let world = World::new();
    for (requirement, word) in [
        (Requirement::Token, "token is required"),
        (Requirement::Certificate, "client certificate of this mesh is required"),
        (Requirement::Either, "or a client certificate"),
    ] {
        let gate = world.gate(requirement);
        let (kind, said) = refused(gate.identify(&Shown::default(), &Claims::default()).await);
        assert_eq!(kind, RefusalKind::Unauthenticated);
        assert!(said.contains(word), "{said}");
    }
    let gate = world.gate(Requirement::Nothing);
    assert_eq!(
        gate.identify(&Shown::default(), &Claims::default()).await.unwrap(),
        None
    );
    // What is shown without need still has to be true.
    let (kind, _) = refused(gate.identify(&token(&Signer::new("a")), &Claims::default()).await);
    assert_eq!(kind, RefusalKind::Unauthenticated);
    // What is not asked for does not count.
    let gate = world.gate(Requirement::Token);
    let (kind, _) = refused(
        gate.identify(&world.certificates("east", &web()), &Claims::default())
            .await,
    );
    assert_eq!(kind, RefusalKind::Unauthenticated);
}
