//! The three commands on a folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::identity::{Outcome, RotationStep, WorkshopError, issue_to_folder};

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
fn a_root_whose_making_broke_off_is_finished_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = Workshop::new(folder.path());
    let key = || fs::read(folder.path().join("root-key.pem")).unwrap();
    workshop.init(&domain(), 3650 * DAY, now()).unwrap();
    let before = key();
    fs::remove_file(folder.path().join("root-cert.pem")).unwrap();
    let issue = || workshop.issue_intermediate(&member("west"), Renewal::NotAsked, 730 * DAY, now());
    let half = issue().unwrap_err().to_string();
    assert!(half.contains("parallax ca init"), "{half}");
    assert_eq!(workshop.init(&domain(), 3650 * DAY, now()).unwrap(), Outcome::Renewed);
    assert_eq!(workshop.init(&domain(), 3650 * DAY, now()).unwrap(), Outcome::Kept);
    assert_eq!(key(), before);
    assert_eq!(issue().unwrap(), Outcome::Made);
    assert!(open(&workshop.member_folder(&member("west"))).is_ok());
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
    assert_eq!(rotate(), RotationStep::Shrink);
    assert!(open(&workshop.member_folder(&member("east"))).is_ok());
    assert_eq!(rotate(), RotationStep::Widen);
}

/// What a folder and those in it hold.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => {
                found.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_last_step_goes_on_wherever_it_broke_off() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["east", "west"]);
    let rotate = || workshop.rotate_root(3650 * DAY, 730 * DAY, now()).unwrap();
    rotate();
    rotate();
    let before = contents(folder.path());
    assert_eq!(rotate(), RotationStep::Shrink);
    let after = contents(folder.path());
    let at = |name: &str| folder.path().join(name);
    let retired = after.keys().find(|file| !before.contains_key(*file)).unwrap();
    // What the step does, one write after the other.
    type Write<'a> = &'a dyn Fn();
    let narrow = |file: PathBuf| fs::write(&file, &after[&file]).unwrap();
    let writes: [Write<'_>; 7] = [
        &|| narrow(at("east/root-cert.pem")),
        &|| narrow(at("west/root-cert.pem")),
        &|| narrow(at("root-cert.pem")),
        &|| fs::rename(at("root-key.pem"), retired).unwrap(),
        &|| fs::hard_link(at("next-root-key.pem"), at("root-key.pem")).unwrap(),
        &|| fs::remove_file(at("next-root-key.pem")).unwrap(),
        &|| fs::remove_file(at("next-root-cert.pem")).unwrap(),
    ];
    for done in 0..writes.len() {
        for file in after.keys() {
            fs::remove_file(file).ok();
        }
        for (file, content) in &before {
            fs::write(file, content).unwrap();
        }
        writes[..done].iter().for_each(|write| write());
        assert_eq!(rotate(), RotationStep::Shrink, "after {done} writes");
        assert_eq!(contents(folder.path()), after, "after {done} writes");
    }
    assert_eq!(rotate(), RotationStep::Widen);
}

#[test]
fn a_successor_whose_certificate_was_not_written_keeps_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["west"]);
    let rotate = || workshop.rotate_root(3650 * DAY, 730 * DAY, now()).unwrap();
    let (key, certificate) = (
        folder.path().join("next-root-key.pem"),
        folder.path().join("next-root-cert.pem"),
    );
    assert_eq!(rotate(), RotationStep::Widen);
    let made = fs::read(&key).unwrap();
    fs::remove_file(certificate).unwrap();
    assert_eq!(rotate(), RotationStep::Widen);
    assert_eq!(fs::read(&key).unwrap(), made);
    assert_eq!(rotate(), RotationStep::Reissue);
    assert_eq!(rotate(), RotationStep::Shrink);
}

#[test]
fn an_intermediate_that_expired_on_the_way_is_issued_anew() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["west"]);
    let rotate = |at| workshop.rotate_root(3650 * DAY, DAY, at).unwrap();
    assert_eq!(rotate(now()), RotationStep::Widen);
    assert_eq!(rotate(now()), RotationStep::Reissue);
    assert_eq!(rotate(after(2 * DAY)), RotationStep::Reissue);
    assert_eq!(rotate(after(2 * DAY)), RotationStep::Shrink);
}

#[test]
fn a_certificate_that_was_not_written_to_its_end_is_issued_again() {
    let folder = tempfile::tempdir().unwrap();
    let workshop = workshop(folder.path(), &["west"]);
    let (from, out) = (workshop.member_folder(&member("west")), folder.path().join("out"));
    fs::create_dir_all(out.join("tls.crt")).unwrap();
    let issue = || issue_to_folder(&from, &web(), &[], HOUR, &out, now());
    // The certificate can't be written.
    issue().unwrap_err();
    fs::remove_dir(out.join("tls.crt")).unwrap();
    issue().unwrap();
    let written = ["tls.crt", "ca.crt"].map(|name| fs::read_to_string(out.join(name)).unwrap());
    assert!(trusts(&written[1], &written[0]));
    assert!(issue().unwrap_err().to_string().contains("never written over"));
}
