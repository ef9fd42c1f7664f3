//! An authority whose files change while it is used.

use std::fs;

use super::*;
use crate::identity::{IdentityMetrics, Issuer, Keeper};

#[tokio::test(start_paused = true)]
async fn changed_files_are_taken_up_and_broken_ones_leave_what_is_good() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::new(folder.path());
    workshop.init(&domain(), 300 * DAY, Timestamp::now()).unwrap();
    let issue = |renewal| {
        workshop
            .issue_intermediate(&member("a"), renewal, 200 * DAY, Timestamp::now())
            .unwrap()
    };
    issue(Renewal::NotAsked);
    let own = workshop.member_folder(&member("a"));
    let metrics = IdentityMetrics::default();
    let mut registry = prometheus_client::registry::Registry::default();
    metrics.register(&mut registry);
    let refused = || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.lines().any(|line| line == "identity_authority_refused 1")
    };
    let keeper = Arc::new(Keeper::open(&own, metrics.clone()).unwrap());
    let issuer = Issuer::new(Arc::clone(&keeper), 12 * HOUR, metrics);
    let mut changes = issuer.watch();
    let keeping = {
        let keeper = Arc::clone(&keeper);
        tokio::spawn(async move { keeper.run().await })
    };
    let key = fs::read(own.join("ca-key.pem")).unwrap();
    fs::write(own.join("ca-key.pem"), "half").unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!changes.has_changed().unwrap());
    assert!(refused());
    assert!(issuer.issue(&web()).is_ok());
    fs::write(own.join("ca-key.pem"), key).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!changes.has_changed().unwrap(), "it is as it was");
    assert!(!refused());

    issue(Renewal::Asked);
    tokio::time::timeout(Duration::from_secs(60), changes.changed())
        .await
        .unwrap()
        .unwrap();
    let (issued, renew_after) = issuer.issue(&web()).unwrap();
    assert!(trusts_now(&issuer.bundle(), &issued.chain));
    assert!(renew_after > 5 * HOUR && renew_after < 7 * HOUR, "{renew_after:?}");
    keeping.abort();
}

#[test]
fn files_that_are_refused_for_the_time_are_taken_once_it_has_come() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::new(folder.path());
    let now = Timestamp::now();
    workshop.init(&domain(), 300 * DAY, now).unwrap();
    let issue = |renewal, at| {
        workshop
            .issue_intermediate(&member("a"), renewal, 200 * DAY, at)
            .unwrap()
    };
    issue(Renewal::NotAsked, now);
    let own = workshop.member_folder(&member("a"));
    let keeper = Keeper::open(&own, IdentityMetrics::default()).unwrap();
    let before = keeper.current();
    // By a clock that is an hour ahead.
    issue(Renewal::Asked, now + HOUR);
    let found = || read_authority_files(&own);
    assert!(!keeper.take(found(), now), "it is not valid yet");
    assert!(!keeper.take(found(), now));
    assert!(keeper.current().is_same(&before));
    assert!(keeper.take(found(), now + HOUR), "the same files");
    assert!(!keeper.current().is_same(&before));
    assert!(!keeper.take(found(), now + HOUR));
}
