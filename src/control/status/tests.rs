//! What statuses say of members in all their states.

use std::collections::BTreeMap;

use super::*;
use crate::model::{ClusterId, MemberStanding, ObjectName};
use crate::registry::{Credential, MemberOptions, MemberSource};

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn attachment(credentials: Verdict) -> Attachment {
    Attachment {
        object: ObjectName::new("istio-system", "west"),
        uid: "u".to_owned(),
        generation: Some(3),
        member: Some(ClusterId::new("west").unwrap()),
        accepted: verdict(Answer::Yes, Reason::Accepted, "it is read as it says"),
        credentials,
    }
}

fn report(state: MemberState) -> MemberReport {
    MemberReport {
        name: ClusterId::new("west").unwrap(),
        source: MemberSource::InCluster,
        options: MemberOptions::default(),
        state,
        confirmed: None,
        heartbeat: None,
        standing: MemberStanding::default(),
        kinds: BTreeMap::new(),
        synced_once: true,
        last_event: Some(at(119)),
        server_version: Some("v1.36.3".to_owned()),
        credentials: Vec::new(),
        counts: BTreeMap::from([(Kind::Service, 2), (Kind::Pod, 5)]),
        problems: Vec::new(),
        problem_count: 0,
        events_total: 9,
    }
}

fn valid() -> Verdict {
    verdict(Answer::Yes, Reason::Valid, "the API server takes them")
}

fn known<'a>(attachment: &'a Attachment, report: Option<&'a MemberReport>) -> Known<'a> {
    Known {
        attachment,
        report,
        network: None,
        endpoints: 7,
    }
}

/// Conditions as `Type=Status/Reason`.
fn conditions(status: &MemberResourceStatus) -> Vec<String> {
    let conditions = status.conditions.iter();
    conditions
        .map(|condition| format!("{}={:?}/{}", condition.kind, condition.status, condition.reason))
        .collect()
}

#[test]
fn a_member_that_is_well_and_one_that_is_away_and_one_that_is_not_read() {
    let attachment_valid = attachment(valid());
    let well = report(MemberState::Synced);
    let status_well = status(known(&attachment_valid, Some(&well)), None, at(200));
    assert_eq!(
        conditions(&status_well),
        [
            "Accepted=True/Accepted",
            "Connected=True/Connected",
            "CredentialsValid=True/Valid",
            "Stale=False/Fresh",
            "Synced=True/Synced"
        ]
    );
    assert_eq!((status_well.services, status_well.endpoints), (2, 7));
    assert_eq!(status_well.last_event.as_deref(), Some("1970-01-01T00:01:00Z"));
    assert_eq!(status_well.observed_generation, Some(3));

    let unreachable = attachment(verdict(Answer::Unknown, Reason::ServerUnreachable, "refused"));
    let away = report(MemberState::Stale {
        since: at(150),
        reason: "can't be reached".to_owned(),
    });
    let status_away = status(known(&unreachable, Some(&away)), Some(&status_well), at(300));
    assert_eq!(
        conditions(&status_away)[1..],
        [
            "Connected=False/ServerUnreachable",
            "CredentialsValid=Unknown/ServerUnreachable",
            "Stale=True/NotReadable",
            "Synced=False/Stale"
        ]
    );
    let times: Vec<_> = status_away
        .conditions
        .iter()
        .map(|one| one.last_transition_time.as_str())
        .collect();
    assert_eq!(times[0], "1970-01-01T00:03:20Z", "what did not change keeps its time");
    assert_eq!(times[1..], ["1970-01-01T00:05:00Z"; 4]);
    assert!(status_away.conditions[3].message.contains("1970-01-01T00:02:30Z"));

    let mut pending = attachment(verdict(Answer::No, Reason::SecretNotFound, "make it"));
    pending.accepted = pending.credentials.clone();
    pending.member = None;
    let status_pending = status(known(&pending, None), None, at(200));
    assert_eq!(
        conditions(&status_pending),
        [
            "Accepted=False/SecretNotFound",
            "Connected=Unknown/NotRead",
            "CredentialsValid=False/SecretNotFound",
            "Stale=Unknown/NotRead",
            "Synced=Unknown/NotRead"
        ]
    );
    assert_eq!((status_pending.services, status_pending.endpoints), (0, 0));
}

#[test]
fn credentials_that_end_are_told_before_and_after() {
    const DAY: u64 = 24 * 3600;
    let mut report = report(MemberState::Synced);
    report.credentials = [(Credential::CertificateAuthority, 90), (Credential::Token, 10)]
        .map(|(credential, days)| Expiry {
            credential,
            at: at(days * DAY),
        })
        .into();
    let (valid, refused) = (
        attachment(valid()),
        attachment(verdict(Answer::No, Reason::Unauthorized, "401")),
    );
    for (attachment, day, said) in [
        (&valid, 1, "CredentialsValid=True/Valid"),
        (&valid, 4, "CredentialsValid=True/ExpiresSoon"),
        // The server decides: its clock may be another.
        (&valid, 11, "CredentialsValid=True/Valid"),
        (&refused, 11, "CredentialsValid=False/Expired"),
        (&refused, 1, "CredentialsValid=False/Unauthorized"),
    ] {
        let status = status(known(attachment, Some(&report)), None, at(day * DAY));
        assert_eq!(conditions(&status)[2], said, "day {day}");
        assert_eq!(status.credentials_expire.as_deref(), Some("1970-01-11T00:00:00Z"));
    }
}

#[test]
fn what_differs_decides_how_urgent_it_is() {
    let (attachment, mut report) = (attachment(valid()), report(MemberState::Synced));
    let old = status(known(&attachment, Some(&report)), None, at(200));
    let again = |report: &MemberReport| status(known(&attachment, Some(report)), Some(&old), at(900));
    assert_eq!(urgency(&old, &again(&report)), Urgency::None);
    report.last_event = Some(at(121));
    assert_eq!(urgency(&old, &again(&report)), Urgency::Events);
    report.counts.insert(Kind::Pod, 6);
    assert_eq!(urgency(&old, &again(&report)), Urgency::Counts);
    report.server_version = None;
    assert_eq!(urgency(&old, &again(&report)), Urgency::Conditions);
}
