//! Whole files: the defaults, and every mistake at once.

use std::path::PathBuf;
use std::time::Duration;

use super::keys;
use super::tree::{self, Node, Value};
use super::{BudgetConfig, Config, ConfigErrors, Listen, LogFormat, MemberConfig, MemberSource, StaleConfig, TlsFiles};

const DEFAULTS: &str = include_str!("../../config/default.yaml");

/// The file of defaults with its commented examples switched on. Prose has exactly one space after `#`.
fn with_examples() -> String {
    let is_example = |line: &str| match line.strip_prefix('#') {
        Some(rest) => !rest.is_empty() && (!rest.starts_with(' ') || rest.starts_with("  ")),
        None => false,
    };
    DEFAULTS
        .lines()
        .map(|line| if is_example(line) { &line[1..] } else { line }.to_owned() + "\n")
        .collect()
}

fn errors(text: &str) -> ConfigErrors {
    Config::from_yaml(text, "f.yaml").expect_err(text)
}

/// Asserts that `text` has exactly these mistakes, each given as a beginning and something that its rest holds.
fn assert_errors(text: &str, expected: &[(&str, &str)]) {
    let shown = errors(text).to_string();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{text}\n{shown}");
    for (line, (start, rest)) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(&format!("f.yaml:{start}")) && line.contains(rest),
            "{line}\n expected {start} … {rest}"
        );
        assert!(line.contains("; "), "no remedy: {line}");
    }
}

#[test]
fn the_file_of_defaults_equals_the_defaults_of_the_code() {
    assert_eq!(
        Config::from_yaml(DEFAULTS, "config/default.yaml"),
        Ok(Config::default())
    );
    for nothing in ["", "# a comment\n", "---\n", "xds:\nlog:\n  # level: x\n"] {
        assert_eq!(Config::from_yaml(nothing, "f.yaml"), Ok(Config::default()), "{nothing}");
    }
}

#[test]
fn the_file_of_defaults_shows_every_key_and_its_examples_parse() {
    let text = with_examples();
    let config = Config::from_yaml(&text, "/etc/parallax/config.yaml").unwrap();
    assert_eq!(config.members.len(), 3);
    assert_eq!(config.members_folder, Some(PathBuf::from("/etc/parallax/members")));
    assert!(config.tls.unwrap().client_ca.is_some());

    let root = tree::parse(&text).unwrap().unwrap();
    for (section, keys) in keys::SECTIONS {
        // What has one form in several places is shown in one of them.
        let last = |section: &str| section.rsplit('.').next().map(str::to_owned);
        let alike = keys::SECTIONS.iter().filter(|(other, _)| last(other) == last(section));
        let shown: Vec<String> = alike.flat_map(|(other, _)| keys_in(&root, other)).collect();
        for key in *keys {
            assert!(
                shown.contains(&(*key).to_owned()),
                "`{key}` of `{section}` is not in config/default.yaml"
            );
        }
    }
}

/// The keys of a section, `networks.NAME.cidrs[]` say, of which every entry is taken: `NAME` stands for any name.
fn keys_in(root: &Node, section: &str) -> Vec<String> {
    let mut nodes = vec![root];
    for step in section.split('.').filter(|step| !step.is_empty()) {
        let (name, is_list) = match step.strip_suffix("[]") {
            Some(name) => (name, true),
            None => (step, false),
        };
        let found = nodes.iter().flat_map(|node| entries(node));
        let found = found
            .filter(|(key, _)| name == "NAME" || *key == name)
            .map(|(_, node)| node);
        nodes = match is_list {
            false => found.collect(),
            true => found
                .flat_map(|node| match &node.value {
                    Value::List(items) => items.as_slice(),
                    other => panic!("{other:?}"),
                })
                .collect(),
        };
    }
    let keys = nodes.into_iter().flat_map(entries).map(|(key, _)| key.to_owned());
    keys.collect()
}

/// What a map holds; nothing where it is none.
fn entries(node: &Node) -> Vec<(&str, &Node)> {
    let Value::Map(entries) = &node.value else {
        return Vec::new();
    };
    let entries = entries.iter().map(|(key, value)| match &key.value {
        Value::Scalar(scalar) => (scalar.text.as_str(), value),
        other => panic!("{other:?}"),
    });
    entries.collect()
}

#[test]
fn every_key_takes_effect() {
    let text = "
listen: unix:run/xds.sock
admin: {listen: '[::1]:1'}
mesh: {defaultNetwork: n1, systemNamespace: mesh-system, domain: mesh.internal}
membersFolder: members
members:
  - {name: a, folder: /abs/a}
  - {name: b, network: n2, kubeconfig: kube/b, context: admin, inCluster: false}
  - {name: c, kubeconfig: kube/c}
  - name: d
    inCluster: true
    namespaces: [shop, books]
    weight: 0
    stale: {policy: drop, after: 48h}
    budget: {bytes: 1MiB}
memberDefaults: {stale: {policy: demote, after: 5m}, budget: {objects: 5, eventsPerSecond: 7}}
networks: {n2: {cidrs: [10.0.0.0/8]}}
dns: {servers: [192.0.2.53, '[::1]:5353']}
readiness: {memberSyncDeadline: 500ms}
drain: {deadline: 2m}
xds: {maxRequestBytes: 1MiB, maxNodeBytes: 2048, maxStreams: 7, maxNames: 5000, maxInitialBytesInFlight: 2GiB, allowPlaintext: true}
tls: {certificate: c.pem, key: k.pem}
log: {level: 'warn,parallax::xds=trace', format: json}
";
    let config = Config::from_yaml(text, "/etc/p/f.yaml").unwrap();
    assert_eq!(config.listen, Listen::Unix("/etc/p/run/xds.sock".into()));
    assert_eq!(config.admin.listen, Listen::Tcp("[::1]:1".parse().unwrap()));
    let mesh = [
        &config.mesh.default_network,
        &config.mesh.system_namespace,
        &config.mesh.domain,
    ];
    assert_eq!(mesh, ["n1", "mesh-system", "mesh.internal"]);
    assert_eq!(config.members_folder, Some("/etc/p/members".into()));
    let member = |name: &str, network: Option<&str>, source| MemberConfig {
        name: name.to_owned(),
        network: network.map(str::to_owned),
        source,
        namespaces: Vec::new(),
        stale: StaleConfig::Demote(Duration::from_secs(300)),
        weight: 100,
        budget: BudgetConfig {
            objects: 5,
            bytes: 1 << 30,
            events_per_second: 7,
        },
    };
    let b = MemberSource::Kubeconfig {
        path: "/etc/p/kube/b".into(),
        context: Some("admin".to_owned()),
    };
    let c = MemberSource::Kubeconfig {
        path: "/etc/p/kube/c".into(),
        context: None,
    };
    let mut d = member("d", None, MemberSource::InCluster);
    d.namespaces = vec!["books".to_owned(), "shop".to_owned()];
    (d.weight, d.budget.bytes) = (0, 1 << 20);
    d.stale = StaleConfig::Drop(Duration::from_secs(48 * 3600));
    let expected = [
        member("a", None, MemberSource::Folder("/abs/a".into())),
        member("b", Some("n2"), b),
        member("c", None, c),
        d,
    ];
    assert_eq!(config.members, expected);
    assert_eq!(config.networks["n2"].cidrs.len(), 1);
    let servers = ["192.0.2.53:53", "[::1]:5353"].map(|server| server.parse().unwrap());
    assert_eq!(config.dns_servers, servers);
    assert_eq!(config.readiness.member_sync_deadline, Duration::from_millis(500));
    assert_eq!(config.drain.deadline, Duration::from_secs(120));
    let xds = &config.xds;
    assert_eq!(
        (xds.max_request_bytes, xds.max_node_bytes, xds.max_streams),
        (1 << 20, 2048, 7)
    );
    assert_eq!((xds.max_names, xds.max_initial_bytes_in_flight), (5000, 2 << 30));
    assert!(xds.allow_plaintext);
    let tls = TlsFiles {
        certificate: "/etc/p/c.pem".into(),
        key: "/etc/p/k.pem".into(),
        client_ca: None,
    };
    assert_eq!(config.tls, Some(tls));
    assert_eq!(
        (config.log.level.as_str(), config.log.format),
        ("warn,parallax::xds=trace", LogFormat::Json)
    );
}

#[test]
fn all_mistakes_are_shown_at_once_in_their_order() {
    let text = "\
lisen: 127.0.0.1:1
admin:
  listen: 127.0.0.1:70000
mesh: flat
members:
  - name: east
    folder: a
    kubeconfig: b
  - name: east
    inCluster: true
  - network: -n
  - name: 7
    context: x
  - just text
readiness:
  memberSyncDeadline: 30
xds:
  maxStreams: many
  maxStreams: 5
  maxRequestBytes: [1]
  allowPlaintext: yes
drain: {deadline: 2d}
tls: {key: k.pem}
log: {level: 'a=b=c', format: xml}
";
    assert_errors(
        text,
        &[
            ("1:1: lisen: ", "did you mean `listen`?"),
            ("3:11: admin.listen: ", "out of range"),
            ("4:7: mesh: ", "expected keys and values"),
            ("6:5: members[0]: ", "has 2 sources: folder, kubeconfig"),
            ("9:11: members[1].name: ", "already the member of line 6"),
            ("11:5: members[2].name: ", "is missing"),
            ("11:5: members[2]: ", "has no source"),
            ("11:14: members[2].network: ", "no Kubernetes label value"),
            ("12:11: members[3].name: ", "put it in quotes"),
            ("13:14: members[3].context: ", "needs a kubeconfig"),
            ("14:5: members[4]: ", "expected keys and values"),
            ("16:23: readiness.memberSyncDeadline: ", "has no unit"),
            ("18:15: xds.maxStreams: ", "expected a number"),
            ("19:3: xds.maxStreams: ", "is given twice, first in line 18"),
            ("20:20: xds.maxRequestBytes: ", "is a list"),
            ("21:19: xds.allowPlaintext: ", "expected a boolean"),
            ("22:19: drain.deadline: ", "is no duration"),
            ("23:7: tls.certificate: ", "is missing"),
            ("24:14: log.level: ", "is no log filter"),
            ("24:31: log.format: ", "write text or json"),
        ],
    );
}

#[test]
fn what_members_may_be_told_is_checked() {
    let text = "\
members:
  - name: a
    inCluster: true
    weight: 1001
    namespaces: [shop, Shop, shop]
    stale: {policy: keep, after: 5m}
    budget: {bytes: 1}
memberDefaults:
  stale: {after: 1s}
  budget: 7
  weight: 5
";
    assert_errors(
        text,
        &[
            ("4:13: members[0].weight: ", "from 0 to 1000"),
            ("5:24: members[0].namespaces[1]: ", "no namespace name"),
            ("5:30: members[0].namespaces[2]: ", "is given twice"),
            ("6:34: members[0].stale.after: ", "write demote or drop"),
            ("7:21: members[0].budget.bytes: ", "out of range"),
            ("9:11: memberDefaults.stale.policy: ", "is missing"),
            ("10:11: memberDefaults.budget: ", "expected keys and values"),
            ("11:3: memberDefaults.weight: ", "did you mean `members[].weight`?"),
        ],
    );
    assert_errors(
        "memberDefaults: {stale: {policy: drop}}",
        &[("1:26: memberDefaults.stale.after: ", "is missing")],
    );
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    assert_errors("listen: 10.0.0.1:15010", &[("1:9: listen: ", "there is no TLS")]);
    assert_errors("listen: '[::]:0'", &[("1:9: listen: ", "xds.allowPlaintext: true")]);
    assert!(Config::from_yaml("listen: 10.0.0.1:1\nxds: {allowPlaintext: true}", "f").is_ok());
    assert!(Config::from_yaml("listen: 10.0.0.1:1\ntls: {certificate: c, key: k}", "f").is_ok());
    assert!(Config::from_yaml("listen: '[::ffff:127.0.0.1]:1'", "f").is_ok());
    assert_errors(
        "listen: 127.0.0.1:15080",
        &[("1:9: admin.listen: ", "is the xDS address too")],
    );
    assert_errors(
        "xds: {maxRequestBytes: 64KiB}",
        &[("1:24: xds.maxRequestBytes: ", "at least 256KiB")],
    );
}

#[test]
fn broken_yaml_is_the_only_mistake_and_has_its_place() {
    assert_errors("lisen: 1\nxds: [\nlog: {}\n", &[("2:6: ", "is no valid YAML")]);
    assert_errors("just text", &[("1:1: ", "expected keys and values")]);
    assert_errors("tls: 5\n", &[("1:6: tls: ", "expected keys and values")]);
    assert_errors("members:\n-\n", &[("2:2: members[0]: ", "expected keys and values")]);
    assert_errors("? [a]\n: b\n", &[("1:3: ", "has a list as a key")]);
}

#[test]
fn a_socket_path_is_measured_from_the_root() {
    let deep = format!("/{}/f.yaml", "d".repeat(100));
    assert!(Config::from_yaml("listen: unix:x.sock", &deep).is_err());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let errors = Config::load(std::path::Path::new("/nowhere/f.yaml")).unwrap_err();
    assert!(
        errors.to_string().starts_with("/nowhere/f.yaml: cannot be read"),
        "{errors}"
    );
}

#[test]
fn a_start_without_a_file_fails_closed_too() {
    let config = Config::for_members_folder("demo", "127.0.0.1:0".parse().unwrap()).unwrap();
    assert_eq!(config.members_folder, Some("demo".into()));
    let errors = Config::for_members_folder("demo", "0.0.0.0:1".parse().unwrap()).unwrap_err();
    assert!(
        errors
            .to_string()
            .starts_with("command line: --listen: 0.0.0.0:1 can be reached"),
        "{errors}"
    );
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[-a-z0-9:{}\\[\\],'\"#&*!|>?%@ \\n\\t~]{0,200}") {
        let _ = Config::from_yaml(&text, "f.yaml");
    }
}
