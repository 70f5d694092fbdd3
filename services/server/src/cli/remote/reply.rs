//! A reply of any type as JSON.
//!
//! What JSON has no word for is written as in proto3's mapping: bytes in base64, floats that are no number as text. The keys of
//! maps become text, and so do integers beyond 64 bits.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};

/// A value that says itself what it is.
#[derive(Debug, PartialEq)]
pub(super) struct Reply(pub(super) Value);

impl<'de> Deserialize<'de> for Reply {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

/// Writes visits of values that JSON has as they are.
macro_rules! same {
    ($($method:ident($type:ty))+) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<Value, E> {
            Ok(Value::from(value))
        })+
    };
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    same! { visit_bool(bool) visit_i64(i64) visit_u64(u64) visit_str(&str) visit_string(String) }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Value::from(value.to_string()), Value::from))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(u64::try_from(value).map_or_else(|_| Value::from(value.to_string()), Value::from))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let name = match value {
            f64::INFINITY => "Infinity",
            f64::NEG_INFINITY => "-Infinity",
            _ => "NaN",
        };
        Ok(Number::from_f64(value).map_or_else(|| Value::from(name), Value::Number))
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::from(STANDARD.encode(value)))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Reply(value)) = elements.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((Reply(key), Reply(value))) = entries.next_entry()? {
            let key = match key {
                Value::String(text) => text,
                key => key.to_string(),
            };
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::{
        IntoDeserializer,
        value::{BytesDeserializer, Error, MapDeserializer},
    };
    use serde_json::json;

    use super::*;

    fn check<'de>(value: impl IntoDeserializer<'de, Error>, expected: &Value) {
        assert_eq!(Reply::deserialize(value.into_deserializer()).unwrap(), Reply(expected.clone()));
    }

    #[test]
    fn what_json_has_no_word_for_is_text() {
        check(BytesDeserializer::new(b"\xFF\0"), &json!("/wA="));
        for (float, expected) in [(1.5, json!(1.5)), (f64::NAN, json!("NaN")), (f64::NEG_INFINITY, json!("-Infinity"))]
        {
            check(float, &expected);
        }
        check(u64::MAX, &json!(u64::MAX));
        check(1_i128 << 64, &json!("18446744073709551616"));
        check(-7_i128, &json!(-7));
        check((), &json!(null));
        check(MapDeserializer::new([(1_u8, "a"), (2, "b")].into_iter()), &json!({"1": "a", "2": "b"}));
    }
}
