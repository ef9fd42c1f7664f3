//! Requests that almost make sense, as bytes, through decoder, session and encoder: no panic, no growth, good answers.

use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::rpc::Status;
use prost::Message;

use super::super::super::codec::RequestMessage;
use super::super::super::wire;
use super::*;
use crate::mutate::{Draw, Material, seeds};

const MAX_NAMES: usize = 30;
const WORLD: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Some examples of a dialect, and what they are made of.
fn material(dialect: Dialect) -> Material {
    let strings = |names: &[&str]| owned(names);
    let mut examples = Vec::new();
    let foreign = "type.googleapis.com/foo.Bar";
    for url in ResourceType::ALL.map(ResourceType::url).into_iter().chain([foreign]) {
        for names in [&[][..], &["*"], &["a"], &["a", "b", "nobody"], &["*", "h"], &[""]] {
            for (nonce, error) in [("", None), ("1", None), ("2", None), ("3", Some("no")), ("9", None)] {
                let error_detail = error.map(|message| Status {
                    code: 3,
                    message: message.to_owned(),
                    ..Status::default()
                });
                let example = match dialect {
                    Dialect::StateOfTheWorld => DiscoveryRequest {
                        type_url: url.to_owned(),
                        response_nonce: nonce.to_owned(),
                        resource_names: strings(names),
                        error_detail,
                        ..DiscoveryRequest::default()
                    }
                    .encode_to_vec(),
                    Dialect::Delta => DeltaDiscoveryRequest {
                        type_url: url.to_owned(),
                        response_nonce: nonce.to_owned(),
                        resource_names_subscribe: strings(names),
                        resource_names_unsubscribe: strings(if nonce == "9" { &["a", "*"] } else { &[] }),
                        initial_resource_versions: names
                            .iter()
                            .filter(|_| nonce == "2")
                            .map(|name| ((*name).to_owned(), "v".to_owned()))
                            .collect(),
                        error_detail,
                        ..DeltaDiscoveryRequest::default()
                    }
                    .encode_to_vec(),
                };
                examples.push(example);
            }
        }
    }
    let long = "n".repeat(5000);
    let field = |number: u8, text: &str| {
        let mut bytes = vec![number << 3 | 2];
        prost::encoding::encode_varint(text.len() as u64, &mut bytes);
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    let mut words = vec![vec![0xff; 10], vec![0], Vec::from(EDS.url())];
    for number in 1..9 {
        words.extend(["a", "b", "*", "", "zz", "4", foreign, &long].map(|text| field(number, text)));
    }
    Material::new(examples, words)
}

/// Whatever was asked, this much is kept and no more.
fn check_size(session: &Session) {
    let names: usize = session.kinds.all().map(|subscription| subscription.name_count()).sum();
    assert!(names <= MAX_NAMES, "{names} names");
    for subscription in session.kinds.all() {
        let most = 2 * MAX_NAMES + WORLD.len();
        assert!(subscription.held.len() <= most, "{} held", subscription.held.len());
        assert!(
            subscription.changed.len() <= most,
            "{} changed",
            subscription.changed.len()
        );
        assert!(subscription.owed.len() <= most, "{} owed", subscription.owed.len());
    }
    assert!(session.foreign.len() <= MAX_FOREIGN_TYPES);
    let absent: usize = session.foreign.values().map(Foreign::name_count).sum();
    assert!(absent <= MAX_NAMES, "{absent} absent");
    for status in session.status() {
        assert!(status.last_nack.is_none_or(|nack| nack.message.len() <= 1030));
    }
}

fn check_answer(dialect: Dialect, answer: &Response, nonces: &mut BTreeSet<String>) {
    assert!(nonces.insert(answer.nonce.clone()), "a nonce twice");
    let names = answer.resources.iter().map(|resource| &resource.name);
    let unique: BTreeSet<_> = names.chain(&answer.removed).collect();
    assert_eq!(unique.len(), answer.resources.len() + answer.removed.len());
    assert!(dialect == Dialect::Delta || answer.removed.is_empty() || matches!(answer.type_url, TypeUrl::Foreign(_)));
    wire::message(dialect, "me", answer).expect("it fits");
}

/// One stream; how many of its requests were taken.
fn stream<M: RequestMessage>(material: &Material, draw: &mut Draw) -> usize {
    let mut bench = Bench::new(M::DIALECT);
    bench.session = Session::new(M::DIALECT, Role::Sidecar, MAX_NAMES);
    for kind in ResourceType::ALL {
        for name in WORLD {
            bench.put(kind, name, "1");
        }
    }
    let mut nonces = BTreeSet::new();
    let mut taken = 0;
    for _ in 0..=draw.below(30) {
        let bytes = material.input(draw);
        let Ok(message) = M::decode(&*bytes) else {
            continue;
        };
        let (_, request) = message.split();
        match bench.session.on_request(request) {
            Ok(_) => taken += 1,
            Err(error) => {
                assert!(error.to_string().len() < 300);
                break;
            }
        }
        check_size(&bench.session);
        if draw.below(3) == 0 {
            let kind = *draw.pick(&ResourceType::ALL);
            let name = *draw.pick(&WORLD);
            match draw.below(3) {
                0 => bench.delete(kind, name),
                content => bench.put(kind, name, &content.to_string()),
            }
        }
        let mut answers = draw.below(6);
        while answers > 0
            && let Some(answer) = bench.session.next(&bench.world)
        {
            check_answer(M::DIALECT, &answer, &mut nonces);
            answers -= 1;
        }
        check_size(&bench.session);
    }
    // Without requests there is an end to answers.
    let mut left = 0;
    while let Some(answer) = bench.session.next(&bench.world) {
        check_answer(M::DIALECT, &answer, &mut nonces);
        left += 1;
        assert!(left <= 200, "answers never end");
    }
    for kind in ResourceType::ALL {
        bench.session.resources(kind);
    }
    taken
}

fn streams<M: RequestMessage>() {
    let material = material(M::DIALECT);
    let mut taken = 0;
    let seeds = seeds(6_000);
    let streams = seeds.end - seeds.start;
    for seed in seeds {
        let run = || stream::<M>(&material, &mut Draw::new(seed));
        taken += std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| panic!("seed {seed}"));
    }
    // If nothing got through to the session nothing was tried.
    assert!(taken as u64 > 3 * streams, "{taken}");
}

#[test]
fn r98_any_bytes_in_state_of_the_world() {
    streams::<DiscoveryRequest>();
}

#[test]
fn r98_any_bytes_in_delta() {
    streams::<DeltaDiscoveryRequest>();
}
