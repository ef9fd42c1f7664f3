//! The three commands on a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::identity::{Outcome, RotationStep, WorkshopError};

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_root_and_an_intermediate_for_each_member_in_istios_layout() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["east", "west"]);
    assert_eq!(mode(&folder.path().join("root-key.pem")), 0o600);
    for name in ["east", "west"] {
        let own = workshop.member_folder(&member(name));
        assert_eq!(mode(&own.join("ca-key.pem")), 0o600);
        for file in ["ca-cert.pem", "cert-chain.pem", "root-cert.pem"] {
            assert_eq!(mode(&own.join(file)), 0o644, "{file}");
        }
        let issued = open(&own).unwrap().issue(&web(), 12 * HOUR, now()).unwrap();
        assert_eq!(issued.not_after, after(12 * HOUR));
        // Whoever trusts the root takes it, in whichever member.
        let bundle = fs::read_to_string(folder.path().join("root-cert.pem")).unwrap();
        assert!(trusts(&bundle, &issued.chain));
        assert!(!format!("{issued:?}").contains("PRIVATE"));
    }
}

#[test]
fn running_a_command_again_changes_nothing_and_no_key_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["west"]);
    let own = workshop.member_folder(&member("west"));
    let all = || -> Vec<_> {
        let files = [
            folder.path().join("root-key.pem"),
            own.join("ca-key.pem"),
            own.join("ca-cert.pem"),
        ];
        files.iter().map(|file| fs::read(file).unwrap()).collect()
    };
    let before = all();
    assert_eq!(workshop.init(&domain(), DAY, now()).unwrap(), Outcome::Kept);
    let again = |renewal, at| workshop.issue_intermediate(&member("west"), renewal, 730 * DAY, at);
    assert_eq!(again(Renewal::NotAsked, now()).unwrap(), Outcome::Kept);
    assert_eq!(all(), before);
    // Asked for, or expired: certified anew, for the same key.
    assert_eq!(again(Renewal::Asked, now()).unwrap(), Outcome::Renewed);
    assert_eq!(again(Renewal::NotAsked, after(800 * DAY)).unwrap(), Outcome::Renewed);
    let later = all();
    assert_eq!(later[..2], before[..2]);
    assert_ne!(later[2], before[2]);

    let other = workshop
        .init(&TrustDomain::new("other").unwrap(), DAY, now())
        .unwrap_err();
    assert!(matches!(other, WorkshopError::OtherDomain { .. }), "{other}");
    fs::remove_file(folder.path().join("root-cert.pem")).unwrap();
    let half = workshop.init(&domain(), DAY, now()).unwrap_err();
    assert!(half.to_string().contains("never written over"), "{half}");
    assert_eq!(all()[..2], before[..2]);
}

#[test]
fn what_can_not_be_done_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::new(folder.path());
    let rotate = |workshop: &Workshop| workshop.rotate_root(DAY, DAY, now()).unwrap_err().to_string();
    let issue = workshop.issue_intermediate(&member("a"), Renewal::NotAsked, DAY, now());
    assert!(issue.unwrap_err().to_string().contains("parallax ca init"));
    workshop.init(&domain(), DAY, now()).unwrap();
    assert!(rotate(&workshop).contains("issue-intermediate"));
    let late = workshop.issue_intermediate(&member("a"), Renewal::NotAsked, DAY, after(2 * DAY));
    let late = late.unwrap_err().to_string();
    assert!(late.contains("expired at") && late.contains("rotate-root"), "{late}");
}

#[test]
fn the_root_changes_in_three_steps_and_no_handshake_fails_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["east", "west"]);
    let keys =
        || ["east", "west"].map(|name| fs::read(workshop.member_folder(&member(name)).join("ca-key.pem")).unwrap());
    let before = keys();
    // What workloads of both members hold after each step: their chains, and the bundle that they trust.
    let held = || {
        ["east", "west"].map(|name| {
            let authority = open(&workshop.member_folder(&member(name))).unwrap();
            let issued = authority.issue(&web(), 12 * HOUR, now()).unwrap();
            (issued.chain, authority.bundle())
        })
    };
    let mut stages = vec![held()];
    for expected in [RotationStep::Widen, RotationStep::Reissue, RotationStep::Shrink] {
        assert_eq!(workshop.rotate_root(3650 * DAY, 730 * DAY, now()).unwrap(), expected);
        stages.push(held());
        // Each workload gets what is new at a time of its own.
        let [.., last, this] = stages.as_slice() else {
            panic!("two stages")
        };
        for (chain, _) in last.iter().chain(this) {
            for (_, bundle) in last.iter().chain(this) {
                assert!(trusts(bundle, chain), "{expected:?}");
            }
        }
    }
    let [first, .., last] = stages.as_slice() else {
        panic!("four stages")
    };
    assert!(!trusts(&last[0].1, &first[0].0), "the old root is trusted no more");
    assert_eq!(keys(), before);
    let retired = fs::read_dir(folder.path()).unwrap().filter_map(Result::ok);
    let retired = retired.filter(|entry| entry.file_name().to_string_lossy().starts_with("retired-root-key-"));
    assert_eq!(retired.count(), 1);
    // The next change begins anew, and a member that joins meanwhile is part of it.
    let rotate = || workshop.rotate_root(3650 * DAY, 730 * DAY, now()).unwrap();
    assert_eq!(rotate(), RotationStep::Widen);
    workshop
        .issue_intermediate(&member("north"), Renewal::NotAsked, 730 * DAY, now())
        .unwrap();
    assert_eq!(rotate(), RotationStep::Reissue);
    assert_eq!(rotate(), RotationStep::Shrink);
    assert!(open(&workshop.member_folder(&member("north"))).is_ok());
}

#[test]
fn a_step_that_broke_off_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["east", "west"]);
    let rotate = || workshop.rotate_root(3650 * DAY, 730 * DAY, now()).unwrap();
    let roots = workshop.member_folder(&member("west")).join("root-cert.pem");
    let narrow = fs::read(&roots).unwrap();
    assert_eq!(rotate(), RotationStep::Widen);
    // One member's bundle was not written.
    fs::write(&roots, narrow).unwrap();
    assert_eq!(rotate(), RotationStep::Widen);
    assert_eq!(rotate(), RotationStep::Reissue);
    // The old root is away, and the new one is not in its place yet.
    fs::rename(
        folder.path().join("root-key.pem"),
        folder.path().join("retired-root-key-x.pem"),
    )
    .unwrap();
    for name in ["east", "west"] {
        let next = fs::read(folder.path().join("next-root-cert.pem")).unwrap();
        fs::write(workshop.member_folder(&member(name)).join("root-cert.pem"), &next).unwrap();
        fs::write(folder.path().join("root-cert.pem"), &next).unwrap();
    }
    assert_eq!(rotate(), RotationStep::Shrink);
    assert!(open(&workshop.member_folder(&member("east"))).is_ok());
    assert_eq!(rotate(), RotationStep::Widen);
}
