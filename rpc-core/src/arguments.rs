//! The arguments of a call, read by position or by name from any serde format.

use std::{cell::Cell, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor, value},
    forward_to_deserialize_any,
};

use crate::{
    error::{Result, RpcError},
    whole_floats::WholeFloats,
};

/// Reads the struct `A`, whose fields are the arguments.
///
/// By position it differs from a derived `Deserialize` in two ways: a trailing argument that is an `Option` may be left out,
/// and one argument too many is an error.
pub(crate) struct Arguments<A>(pub(crate) A);

impl<'de, A: Deserialize<'de>> Deserialize<'de> for Arguments<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        A::deserialize(Positional(deserializer)).map(Self)
    }
}

/// A deserializer that offers positions to the struct read from it.
struct Positional<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Positional<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, names, ArgumentsVisitor { names, visitor })
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct ArgumentsVisitor<V> {
    names: &'static [&'static str],
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for ArgumentsVisitor<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("arguments, in order or by name")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut given: S) -> Result<V::Value, S::Error> {
        let arguments = self.visitor.visit_seq(Padded { given: &mut given, names: self.names.iter() })?;
        match given.next_element::<IgnoredAny>()? {
            None => Ok(arguments),
            Some(_) => Err(Error::custom(format_args!("more than {} arguments", self.names.len()))),
        }
    }

    fn visit_map<M: MapAccess<'de>>(self, given: M) -> Result<V::Value, M::Error> {
        self.visitor.visit_map(given)
    }
}

/// The arguments given, and then an [`Absent`] for each that is missing.
struct Padded<'a, S> {
    given: &'a mut S,
    names: std::slice::Iter<'static, &'static str>,
}

impl<'de, S: SeqAccess<'de>> SeqAccess<'de> for Padded<'_, S> {
    type Error = S::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, S::Error> {
        let Some(name) = self.names.next() else { return Ok(None) };
        // `next_element_seed` consumes the seed even where nothing is left, so it travels in an `Option` and comes back.
        let mut seed = Some(seed);
        let given = self.given.next_element_seed(Lent(&mut seed))?;
        match (given, seed) {
            (None, Some(seed)) => seed.deserialize(Absent { name, error: PhantomData }).map(Some),
            (given, _) => Ok(given),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.names.len())
    }
}

struct Lent<'a, T>(&'a mut Option<T>);

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Lent<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        let seed = self.0.take().ok_or_else(|| D::Error::custom("an element was read twice"))?;
        seed.deserialize(deserializer)
    }
}

/// The value of an argument that is not there: nothing, if its type allows that.
struct Absent<E> {
    name: &'static str,
    error: PhantomData<E>,
}

impl<'de, E: Error> Deserializer<'de> for Absent<E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, E> {
        Err(E::custom(format_args!("argument `{}` is missing", self.name)))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_none()
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, E> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Decodes arguments a second time, leniently; if that fails too, the error names the argument at fault.
///
/// A wire calls this after its ordinary decoding failed, so that ordinary calls pay for neither. Lenient means that a whole
/// float is read as an integer, as long as both are exact, which is below 2^53: JSON does not tell `3` from `3.0`, and
/// JavaScript libraries of other formats write large integers as floats.
pub fn decode_again<'de, A: DeserializeOwned>(arguments: impl Deserializer<'de>) -> Result<A> {
    let found = Cell::new(false);
    let mut message = match serde_path_to_error::deserialize(WholeFloats { inner: arguments, found: &found }) {
        Ok(arguments) if found.get() => return Ok(arguments),
        Ok(_) => "something follows the arguments".to_owned(),
        Err(error) => locate(error.path(), field_names::<A>(), &error.inner().to_string()),
    };
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    Err(RpcError::invalid_argument(message))
}

/// The longest message, in bytes. It may quote arguments, and a peer's long input should not come back in full.
const MESSAGE_BYTES: usize = 512;

fn locate(path: &serde_path_to_error::Path, names: &[&str], problem: &str) -> String {
    use serde_path_to_error::Segment;
    let mut segments = path.iter();
    let argument = match segments.next() {
        Some(Segment::Seq { index }) => names.get(*index).map(ToString::to_string),
        Some(Segment::Map { key }) if names.contains(&key.as_str()) => Some(key.clone()),
        _ => None,
    };
    let Some(argument) = argument else { return problem.to_owned() };
    let rest: String = segments
        .map(|segment| match segment {
            Segment::Seq { index } => format!("[{index}]"),
            other => format!(".{other}"),
        })
        .collect();
    format!("argument `{argument}{rest}`: {problem}")
}

/// The names of a struct's fields, as its `Deserialize` announces them.
fn field_names<A: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    let _ = A::deserialize(Announced(&mut names));
    names
}

struct Announced<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Announced<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("only the names were asked for"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wait {
        name: String,
        ttl: u64,
        owner: Option<Vec<String>>,
    }

    fn read(json: &str) -> Result<Wait> {
        serde_json::from_str::<Arguments<Wait>>(json).map(|arguments| arguments.0).or_else(|_| {
            decode_again::<Arguments<Wait>>(&mut serde_json::Deserializer::from_str(json)).map(|again| again.0)
        })
    }

    #[test]
    fn an_argument_that_is_a_unit_may_be_left_out() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Units((), ());
        #[derive(Debug, PartialEq, Deserialize)]
        struct Named {
            unit: (),
        }
        let read = serde_json::from_str::<Arguments<Named>>("[]").map(|arguments| arguments.0);
        assert_eq!(read.unwrap(), Named { unit: () });
        assert!(serde_json::from_str::<Units>("[]").is_err(), "elsewhere it may not");
    }

    #[test]
    fn whole_floats_are_integers_where_they_are_exact() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct All {
            signed: i64,
            small: Option<u8>,
            nested: HashMap<String, Vec<Kind>>,
        }
        #[derive(Debug, PartialEq, Deserialize)]
        enum Kind {
            Unit,
            One(i32),
            Two(u64, f64),
            Named { id: u64 },
        }
        let read = |json: &str| decode_again::<Arguments<All>>(&mut serde_json::Deserializer::from_str(json));
        let Arguments(all) = read(
            r#"[-9007199254740991.0, 2e2, {"k": ["Unit", {"One": -0}, {"Two": [3.0, 3.0]}, {"Named": {"id": 7.0}}]}]"#,
        )
        .unwrap();
        let kinds = vec![Kind::Unit, Kind::One(0), Kind::Two(3, 3.0), Kind::Named { id: 7 }];
        assert_eq!(all, All { signed: -9_007_199_254_740_991, small: Some(200), nested: [("k".into(), kinds)].into() });
        #[rustfmt::skip]
        let cases = [
            ("[3.5, null, {}]", "argument `signed`: invalid type: floating point `3.5`, expected i64"),
            ("[9007199254740993.0, null, {}]", "argument `signed`: invalid type: floating point `9007199254740992.0`, expected i64"),
            ("[1e19, null, {}]", "argument `signed`: invalid type: floating point `1e+19`, expected i64"),
            ("[1.0, 256.0, {}]", "argument `small`: invalid value: integer `256`, expected u8"),
            ("[1.0, -1.0, {}]", "argument `small`: invalid value: integer `-1`, expected u8"),
            (r#"["1.0", null, {}]"#, "argument `signed`: invalid type: string \"1.0\", expected i64"),
            ("[1, null, {}]", "something follows the arguments"),
        ];
        for (json, expected) in cases {
            let error = read(json).map(|again| again.0).unwrap_err();
            assert!(error.message().starts_with(expected), "{json}: {error}");
        }
    }

    #[test]
    fn trailing_options_may_be_left_out() {
        let expected = Wait { name: "a".into(), ttl: 1, owner: None };
        for json in [r#"["a", 1]"#, r#"["a", 1, null]"#, r#"{"ttl": 1, "name": "a"}"#] {
            assert_eq!(read(json).as_ref(), Ok(&expected), "{json}");
        }
    }

    #[test]
    fn errors_name_the_argument() {
        #[rustfmt::skip]
        let cases = [
            (r#"["a"]"#, "argument `ttl` is missing"),
            ("[]", "argument `name` is missing"),
            (r#"["a", "b"]"#, "argument `ttl`: invalid type: string \"b\", expected u64"),
            (r#"["a", 1, ["x", 2]]"#, "argument `owner[1]`: invalid type: integer `2`, expected a string"),
            (r#"["a", 1, null, 4]"#, "more than 3 arguments"),
            (r#"{"ttl": -1, "name": "a"}"#, "argument `ttl`: invalid value: integer `-1`, expected u64"),
            (r#"{"name": "a"}"#, "missing field `ttl`"),
            (r#"{"name": "a", "tll": 1}"#, "unknown field `tll`, expected one of `name`, `ttl`, `owner`"),
            ("7", "invalid type: integer `7`, expected arguments, in order or by name"),
        ];
        for (json, expected) in cases {
            let error = read(json).unwrap_err();
            assert!(error.message().starts_with(expected), "{json}: {error}");
        }
    }

    #[test]
    fn no_arguments_are_an_empty_list_or_object() {
        #[derive(Deserialize)]
        struct None {}
        for json in ["[]", "{}"] {
            assert!(serde_json::from_str::<Arguments<None>>(json).is_ok(), "{json}");
        }
    }
}
