//! Who has which member, and what is said of the others.

use serde_json::json;

use super::*;

fn secret(created: i64, keys: &[&str]) -> SecretRecord {
    let data = keys
        .iter()
        .map(|key| ((*key).to_owned(), Some(SecretText::new("kubeconfig"))));
    SecretRecord {
        created: Some(created),
        network: None,
        data: data.collect(),
    }
}

fn member(created: i64, secret: &str) -> MemberRecord {
    MemberRecord {
        created: Some(created),
        uid: "u".to_owned(),
        generation: Some(1),
        spec: Ok(serde_json::from_value(json!({"secretRef": {"name": secret}})).unwrap()),
    }
}

fn name(name: &str) -> ObjectName {
    ObjectName::new("istio-system", name)
}

fn home(secrets: Vec<(&str, SecretRecord)>, members: Vec<(&str, MemberRecord)>) -> Home {
    Home {
        secrets: secrets.into_iter().map(|(of, secret)| (name(of), secret)).collect(),
        named: BTreeMap::new(),
        members: members.into_iter().map(|(of, member)| (name(of), member)).collect(),
    }
}

fn shown(home: &Home) -> (Vec<String>, Vec<String>) {
    let asked = asked(home, &MemberOptions::default());
    let members = asked.members.iter().map(|(member, wanted)| match &wanted.place {
        Place::Secret => format!("{member} from {}", wanted.secret.name),
        Place::Member(object) => format!("{member} by {} from {}", object.name, wanted.secret.name),
    });
    (
        members.collect(),
        asked.problems.iter().map(ToString::to_string).collect(),
    )
}

/// Why an object is (not) accepted.
fn accepted(home: &Home, of: &str) -> String {
    asked(home, &MemberOptions::default()).attachments[&name(of)]
        .accepted
        .to_string()
}

#[test]
fn each_key_is_a_member_and_the_older_secret_wins() {
    let (members, problems) = shown(&home(
        vec![
            ("a", secret(9, &["east", "west"])),
            ("b", secret(1, &["east", "north"])),
        ],
        vec![],
    ));
    assert_eq!(members, ["east from b", "north from b", "west from a"]);
    assert_eq!(
        problems,
        [
            "Secret istio-system/a: member east is already in the older Secret istio-system/b, which counts; remove one of both"
        ]
    );
    let (members, problems) = shown(&home(vec![("a", secret(9, &["east", "west"]))], vec![]));
    assert_eq!(
        (members.len(), problems.len()),
        (2, 0),
        "the other takes over when the first goes"
    );
}

#[test]
fn what_is_wrong_is_said_and_hurts_only_itself() {
    let mut bad = secret(1, &["east", "no/label"]);
    bad.data.insert("binary".to_owned(), None);
    bad.network = Some("not a label".to_owned());
    let (members, problems) = shown(&home(
        vec![("bad", bad), ("empty", secret(2, &[])), ("good", secret(3, &["west"]))],
        vec![],
    ));
    assert_eq!(members, ["east from bad", "west from good"]);
    for (problem, said) in problems
        .iter()
        .zip(["no/label", "not a label", "binary is no text", "no data"])
    {
        assert!(problem.contains(said), "{problems:#?}");
    }
    assert_eq!(problems.len(), 4);
}

#[test]
fn a_key_that_an_object_refers_to_is_that_member_only() {
    // Whatever the key is called, and whichever of both is older.
    for (secret_age, object_age) in [(1, 9), (9, 1)] {
        let both = home(
            vec![("s", secret(secret_age, &["west"]))],
            vec![("west", member(object_age, "s"))],
        );
        assert_eq!(shown(&both), (vec!["west by west from s".to_owned()], vec![]));
        let renamed = home(
            vec![("s", secret(secret_age, &["anything"]))],
            vec![("west", member(object_age, "s"))],
        );
        assert_eq!(shown(&renamed), (vec!["west by west from s".to_owned()], vec![]));
    }
}

#[test]
fn a_conflict_is_shown_at_both() {
    let older = home(
        vec![("other", secret(9, &["west"])), ("s", secret(1, &["kubeconfig"]))],
        vec![("west", member(5, "s"))],
    );
    let (members, problems) = shown(&older);
    // The key `kubeconfig` is the object's, not a member of that name.
    assert_eq!(members, ["west by west from s"]);
    assert!(
        problems[0].contains("Secret istio-system/other: member west is already in the older Member"),
        "{problems:?}"
    );
    let said = accepted(&older, "west");
    assert!(
        said.starts_with("AcceptedBeforeOthers") && said.contains("istio-system/other"),
        "{said}"
    );

    let younger = home(
        vec![("other", secret(1, &["west"])), ("s", secret(1, &["kubeconfig"]))],
        vec![("west", member(5, "s"))],
    );
    let (members, problems) = shown(&younger);
    assert_eq!(members, ["west from other"]);
    assert!(problems[0].starts_with("Member istio-system/west: "), "{problems:?}");
    let said = accepted(&younger, "west");
    assert!(
        said.starts_with("NameConflict") && said.contains("Secret istio-system/other"),
        "{said}"
    );
}

#[test]
fn an_object_says_what_it_lacks_and_is_taken_once_it_has_it() {
    let mut home = home(vec![], vec![("west", member(1, "s"))]);
    let said = accepted(&home, "west");
    assert!(
        said.starts_with("SecretNotFound") && said.contains("picked up as soon as it is there"),
        "{said}"
    );
    home.named.insert(name("s"), secret(1, &["a", "b"]));
    let said = accepted(&home, "west");
    assert!(
        said.starts_with("SecretKeyNotFound") && said.contains("spec.secretRef.key"),
        "{said}"
    );
    home.named.insert(name("s"), secret(1, &["a", "b", "kubeconfig"]));
    assert!(accepted(&home, "west").starts_with("Accepted:"));
    let not_text = home.named.get_mut(&name("s")).unwrap();
    not_text.data.insert("kubeconfig".to_owned(), None);
    assert!(accepted(&home, "west").starts_with("SecretNotText"));
    assert!(
        asked(&home, &MemberOptions::default())
            .pending
            .contains(&ClusterId::new("west").unwrap())
    );
    // An object that can't be read holds no name back.
    home.secrets.insert(name("other"), secret(9, &["west"]));
    assert_eq!(shown(&home).0, ["west from other"]);
}

#[test]
fn an_object_that_says_nonsense_is_named_and_hurts_only_itself() {
    let mut wrong = member(1, "s");
    wrong.spec = Err("missing field `secretRef`".to_owned());
    let mut heavy = member(1, "s");
    heavy.spec.as_mut().unwrap().weight = Some(5000);
    let long = "a".repeat(64);
    let home = home(
        vec![("s", secret(1, &["good"]))],
        vec![
            ("good", member(1, "s")),
            ("wrong", wrong),
            ("heavy", heavy),
            (&long, member(1, "s")),
        ],
    );
    assert_eq!(shown(&home).0, ["good by good from s"]);
    assert!(accepted(&home, "wrong").contains("secretRef"));
    assert!(accepted(&home, "heavy").contains("spec.weight is 5000"));
    let said = accepted(&home, &long);
    assert!(said.starts_with("InvalidName") && said.contains("63"), "{said}");
    assert_eq!(shown(&home).1.len(), 3);
}

#[test]
fn the_network_of_the_secret_counts_where_the_object_says_none() {
    let mut placed = secret(1, &["west"]);
    placed.network = Some("net2".to_owned());
    let mut home = home(vec![("s", placed)], vec![("west", member(1, "s"))]);
    let network = |home: &Home| {
        let asked = asked(home, &MemberOptions::default());
        let wanted = asked.members.into_values().next().unwrap();
        wanted.options.network.unwrap().to_string()
    };
    assert_eq!(network(&home), "net2");
    let spec = home.members.get_mut(&name("west")).unwrap().spec.as_mut().unwrap();
    spec.network = Some("net3".to_owned());
    assert_eq!(network(&home), "net3");
}
