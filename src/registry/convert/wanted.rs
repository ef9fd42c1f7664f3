//! Which parts of an object are read, so that everything else is never kept, not even while it is decoded: most of an
//! object's text is `managedFields`, containers and conditions. Pure.
//!
//! What is kept stays as it was written, so that [`super::convert()`] finds the same mistakes in it.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{namespace, node, pod, service, slice, workload};
use crate::table::Kind;

/// What is kept of a value. A value of another shape than expected is kept without its content: it is a mistake that is
/// told.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Wanted {
    /// All of it.
    Whole,
    /// These fields of an object.
    Fields(&'static [(&'static str, Wanted)]),
    /// This of each element of a list.
    Each(&'static Wanted),
}

/// What is kept of an object of a kind: its `metadata`, and what its converter reads.
pub(in super::super) fn wanted(kind: Kind) -> Wanted {
    Wanted::Fields(match kind {
        Kind::Namespace => namespace::WANTED,
        Kind::Node => node::WANTED,
        Kind::Service => service::WANTED,
        Kind::EndpointSlice => slice::WANTED,
        Kind::Pod => pod::WANTED,
        Kind::ServiceEntry | Kind::WorkloadEntry | Kind::PeerAuthentication => workload::WANTED,
    })
}

impl<'de> DeserializeSeed<'de> for Wanted {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Self::Whole => Value::deserialize(deserializer),
            Self::Fields(_) | Self::Each(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Wanted {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let fields = match self {
            Self::Fields(fields) => fields,
            Self::Whole | Self::Each(_) => &[],
        };
        let mut kept = Map::new();
        while let Some(field) = map.next_key_seed(Field(fields))? {
            match field {
                Some((name, wanted)) => {
                    kept.insert(name.to_owned(), map.next_value_seed(wanted)?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        match self {
            Self::Each(wanted) => {
                while let Some(element) = seq.next_element_seed(*wanted)? {
                    kept.push(element);
                }
            }
            Self::Whole | Self::Fields(_) => while seq.next_element::<IgnoredAny>()?.is_some() {},
        }
        Ok(Value::Array(kept))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
}

/// Finds the name of a field among those that are wanted.
struct Field(&'static [(&'static str, Wanted)]);

impl<'de> DeserializeSeed<'de> for Field {
    type Value = Option<(&'static str, Wanted)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Field {
    type Value = Option<(&'static str, Wanted)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(wanted, _)| *wanted == name).copied())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(wanted: Wanted, value: &Value) -> Value {
        wanted
            .deserialize(&mut serde_json::Deserializer::from_str(&value.to_string()))
            .unwrap()
    }

    #[test]
    fn only_what_is_wanted_is_kept() {
        const EACH: Wanted = Wanted::Fields(&[("ip", Wanted::Whole)]);
        const ALL: Wanted = Wanted::Fields(&[(
            "spec",
            Wanted::Fields(&[("a", Wanted::Whole), ("list", Wanted::Each(&EACH))]),
        )]);
        let object = json!({"kind": "Pod", "spec": {"a": {"b": [1, 2]}, "c": {"a": 1}, "list": [{"ip": "x", "more": 1}, 7, null]},
            "status": {"a": 1}});
        let expected = json!({"spec": {"a": {"b": [1, 2]}, "list": [{"ip": "x"}, 7, null]}});
        assert_eq!(kept(ALL, &object), expected);
    }

    #[test]
    fn what_has_another_shape_keeps_its_shape() {
        for (value, expected) in [
            (json!("text"), json!("text")),
            (json!(-1), json!(-1)),
            (json!(1.5), json!(1.5)),
            (json!(true), json!(true)),
            (json!(null), json!(null)),
            (json!([{"a": 1}]), json!([])),
        ] {
            assert_eq!(kept(Wanted::Fields(&[("a", Wanted::Whole)]), &value), expected);
        }
        assert_eq!(kept(Wanted::Each(&Wanted::Whole), &json!({"a": 1})), json!({}));
    }
}
