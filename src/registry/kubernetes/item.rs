//! What an API server says becomes converted objects while it is decoded; nothing else of it is kept. Pure.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::super::convert::{Converted, Wanted, convert, wanted};
use crate::table::Kind;

/// One object. Reading it never fails on what it says, so that one bad object stops no watch.
#[derive(Debug)]
pub(super) struct Item {
    /// Its `resourceVersion`.
    pub(super) version: Option<String>,
    pub(super) converted: Converted,
}

/// One line of a watch.
#[derive(Debug)]
pub(super) enum Event {
    /// An object is there, as it is now.
    Set(Item),
    /// An object is gone.
    Deleted(Item),
    /// Everything up to this version was told.
    Bookmark { version: String, ends_list: bool },
    /// The server fails.
    Failed { code: u16, message: String },
}

/// What a page of a list ends with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageEnd {
    pub(super) resource_version: Option<String>,
    pub(super) r#continue: Option<String>,
}

fn item(kind: Kind, object: &Value) -> Item {
    Item {
        version: object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
            .map(str::to_owned),
        converted: convert(kind, object),
    }
}

/// Reads an object that was asked for by its name.
pub(super) fn object(kind: Kind, text: &[u8]) -> Result<Item, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(text);
    let object = wanted(kind).deserialize(&mut text)?;
    text.end()?;
    match object.is_object() {
        true => Ok(item(kind, &object)),
        false => Err(serde::de::Error::custom("it is no object")),
    }
}

/// Reads one line of a watch.
pub(super) fn event(kind: Kind, line: &[u8]) -> Result<Event, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(line);
    let envelope = text.deserialize_map(EnvelopeOf(kind))?;
    text.end()?;
    let object = &envelope.object;
    match envelope.r#type.as_deref() {
        Some("ADDED" | "MODIFIED") if object.is_object() => Ok(Event::Set(item(kind, object))),
        Some("DELETED") if object.is_object() => Ok(Event::Deleted(item(kind, object))),
        Some("BOOKMARK") => bookmark(object),
        Some("ERROR") => Ok(failed(object)),
        Some(other) => Err(serde::de::Error::custom(format_args!(
            "it is no event of a watch, its type is {other:?}"
        ))),
        // A bare status.
        None if envelope.status.contains_key("code") => Ok(failed(&Value::Object(envelope.status))),
        None => Err(serde::de::Error::missing_field("type")),
    }
}

fn bookmark(object: &Value) -> Result<Event, serde_json::Error> {
    let metadata = &object["metadata"];
    let version = metadata["resourceVersion"].as_str().unwrap_or_default();
    if version.is_empty() {
        return Err(serde::de::Error::custom("a bookmark has no version"));
    }
    Ok(Event::Bookmark {
        version: version.to_owned(),
        ends_list: metadata["annotations"].get("k8s.io/initial-events-end").is_some(),
    })
}

fn failed(status: &Value) -> Event {
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    Event::Failed {
        code: code.unwrap_or_default(),
        message: status["message"].as_str().unwrap_or_default().to_owned(),
    }
}

#[derive(Debug, Default)]
struct Envelope {
    r#type: Option<String>,
    object: Value,
    /// The fields of a status that came in place of an event.
    status: serde_json::Map<String, Value>,
}

struct EnvelopeOf(Kind);

impl<'de> Visitor<'de> for EnvelopeOf {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a watch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(field) = map.next_key::<String>()? {
            match &*field {
                "type" => envelope.r#type = Some(map.next_value()?),
                "object" => {
                    // The type comes first; if it should not, nothing is lost but time.
                    let of_kind = matches!(envelope.r#type.as_deref(), Some("ADDED" | "MODIFIED" | "DELETED"));
                    let wanted = if of_kind { wanted(self.0) } else { Wanted::Whole };
                    envelope.object = map.next_value_seed(wanted)?;
                }
                "code" | "message" => {
                    envelope.status.insert(field, map.next_value()?);
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

/// Reads a page of a list, and hands its objects on one by one.
pub(super) fn page(kind: Kind, text: &[u8], take: impl FnMut(Item)) -> Result<PageEnd, serde_json::Error> {
    let mut text = serde_json::Deserializer::from_slice(text);
    let end = text.deserialize_map(Page { kind, take })?;
    text.end()?;
    Ok(end)
}

struct Page<F> {
    kind: Kind,
    take: F,
}

impl<'de, F: FnMut(Item)> Visitor<'de> for Page<F> {
    type Value = PageEnd;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<PageEnd, A::Error> {
        let mut end = PageEnd::default();
        while let Some(field) = map.next_key::<String>()? {
            match &*field {
                "metadata" => end = map.next_value()?,
                "items" => map.next_value_seed(Items(&mut self))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(end)
    }
}

struct Items<'a, F>(&'a mut Page<F>);

impl<'de, F: FnMut(Item)> DeserializeSeed<'de> for Items<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Item)> Visitor<'de> for Items<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Page { kind, take } = self.0;
        while let Some(object) = seq.next_element_seed(wanted(*kind))? {
            take(item(*kind, &object));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let object = r#"{"metadata": {"name": "n", "resourceVersion": "7", "managedFields": [{"a": 1}]}}"#;
        for line in [
            format!(r#"{{"type": "ADDED", "object": {object}}}"#),
            format!(r#"{{"more": [], "object": {object}, "type": "MODIFIED"}}"#),
        ] {
            let Event::Set(item) = event(Kind::Node, line.as_bytes()).unwrap() else {
                panic!("{line}");
            };
            assert_eq!(item.version.as_deref(), Some("7"));
            assert!(item.converted.record.is_some());
        }
    }

    #[test]
    fn what_is_no_event_is_a_mistake() {
        for line in [
            "{}",
            "[]",
            "7",
            r#"{"type": "ADDED"}"#,
            r#"{"type": "ADDED", "object": []}"#,
            r#"{"type": "BOOKMARK", "object": {"metadata": {}}}"#,
            r#"{"type": "ADDED", "object": {"metadata": {"name": "n"}}} more"#,
        ] {
            assert!(event(Kind::Node, line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_bare_status_is_a_failure() {
        let line = br#"{"kind": "Status", "code": 503, "message": "no"}"#;
        let failed = event(Kind::Node, line).unwrap();
        assert!(
            matches!(&failed, Event::Failed { code: 503, message } if message == "no"),
            "{failed:?}"
        );
    }

    #[test]
    fn a_page_hands_on_its_items() {
        let text = br#"{"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}, 7],
            "metadata": {"resourceVersion": "9", "continue": "x", "remainingItemCount": 3}}"#;
        let mut items = Vec::new();
        let end = page(Kind::Node, text, |item| items.push(item.converted.name)).unwrap();
        assert_eq!(
            (end.resource_version.as_deref(), end.r#continue.as_deref()),
            (Some("9"), Some("x"))
        );
        assert_eq!(
            items.iter().flatten().map(|name| &*name.name).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(items.len(), 3);
        assert!(page(Kind::Node, br#"{"items": null, "metadata": {}}"#, |_| panic!()).is_ok());
    }
}
