//! Which Envoy knows what we send: each field that any resource has is in a table, `fields.txt`, with the version that it came with.
//! A field that is newer than what its readers are must be told to those that know it only (see `Schema`).

mod everything;

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::google::protobuf::Any;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::model::{EnvoyVersion, Schema};

const TABLE: &str = include_str!("fields.txt");

/// What is sent: a field of a message by its number, a message within an `Any` by 0, or a word of an access log's format.
type Used = (String, u32);

/// What is known of it.
struct Known {
    /// The message that is in it, `any`, or `-`.
    content: String,
    since: EnvoyVersion,
}

fn version(text: &str) -> EnvoyVersion {
    EnvoyVersion::of_agent(&format!("envoy/{text}")).unwrap_or_else(|| panic!("{text:?} is no version"))
}

/// Lines of MESSAGE NUMBER NAME CONTENT SINCE.
fn table(text: &str) -> BTreeMap<Used, Known> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let known = lines.map(|line| {
        let parts: Vec<_> = line.split_whitespace().collect();
        let [message, number, _, content, since] = parts[..] else {
            panic!("{line:?} has five words")
        };
        let known = Known {
            content: content.to_owned(),
            since: version(since),
        };
        ((message.to_owned(), number.parse().expect("a number")), known)
    });
    known.collect()
}

/// Adds all that a message has, and what is in it, to what is used.
fn walk(message: &str, mut bytes: &[u8], table: &BTreeMap<Used, Known>, used: &mut BTreeSet<Used>) {
    while !bytes.is_empty() {
        let (number, wire_type) = decode_key(&mut bytes).unwrap();
        let field = (message.to_owned(), number);
        let content = table.get(&field).map_or("-", |known| &*known.content).to_owned();
        used.insert(field);
        match wire_type {
            WireType::Varint => {
                decode_varint(&mut bytes).unwrap();
            }
            WireType::SixtyFourBit => bytes = &bytes[8..],
            WireType::ThirtyTwoBit => bytes = &bytes[4..],
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut bytes).unwrap()).unwrap();
                let (inner, rest) = bytes.split_at(length);
                bytes = rest;
                match &*content {
                    "-" => words(inner, used),
                    "any" => walk_any(inner, table, used),
                    other => walk(other, inner, table, used),
                }
            }
            WireType::StartGroup | WireType::EndGroup => panic!("{message} has a group"),
        }
    }
}

fn walk_any(bytes: &[u8], table: &BTreeMap<Used, Known>, used: &mut BTreeSet<Used>) {
    let any = Any::decode(bytes).unwrap();
    let (_, message) = any.type_url.split_once('/').expect("a type URL");
    used.insert((message.to_owned(), 0));
    walk(message, &any.value, table, used);
}

/// `%UPSTREAM_HOST%`: an Envoy that does not know it refuses the whole listener.
fn words(text: &[u8], used: &mut BTreeSet<Used>) {
    let text = String::from_utf8_lossy(text);
    for word in text.split('%').skip(1).step_by(2) {
        let word = word.split('(').next().unwrap_or_default();
        used.insert((format!("%{word}%"), 0));
    }
}

fn used(schema: Schema, table: &BTreeMap<Used, Known>) -> BTreeSet<Used> {
    let mut used = BTreeSet::new();
    for resource in everything::resources(schema) {
        walk_any(&resource.any, table, &mut used);
    }
    used
}

#[test]
fn every_field_that_is_sent_is_known_to_those_who_get_it() {
    let table = table(TABLE);
    let mut all = BTreeSet::new();
    for (schema, oldest) in [
        (Schema::Older, EnvoyVersion::OLDEST),
        (Schema::Current, EnvoyVersion::OLDEST_TRIED),
    ] {
        let used = used(schema, &table);
        for field in &used {
            let (message, number) = field;
            let known = table.get(field);
            let known =
                known.unwrap_or_else(|| panic!("{message} {number} is not in fields.txt: which Envoy knows it?"));
            assert!(
                known.since <= oldest,
                "{message} {number} came with {}, and is sent to Envoys from {oldest} on",
                known.since
            );
        }
        all.extend(used);
    }
    let unused: Vec<_> = table.keys().filter(|field| !all.contains(*field)).collect();
    assert!(unused.is_empty(), "nobody sends {unused:?}");
    // Both bounds are as low as they can be, or nobody would notice that they moved.
    let newest = |schema| used(schema, &table).iter().map(|field| table[field].since).max();
    assert_eq!(newest(Schema::Older), Some(EnvoyVersion::OLDEST));
    assert!(newest(Schema::Current) > Some(EnvoyVersion::OLDEST));
}
