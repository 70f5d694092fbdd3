//! Reads a type until it has shown everything, and compares how it writes itself.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    samples::Samples,
    tracer::{Enum, Reader, Tracer, Untraceable},
    types::{Shape, Types},
    write,
};

impl Shape {
    /// Traces `T` and the named types inside it, or returns where and why that fails: `T` decodes only from
    /// self-describing formats (`flatten`, `untagged` and their kind), rejects ordinary values, or writes itself
    /// differently from how it reads itself.
    pub fn of<T: Serialize + DeserializeOwned>() -> Result<(Self, Types), String> {
        Self::with_samples::<T>(&Value::Null)
    }

    /// The same for a type that accepts certain values only, such as a number with a minimum. They are taken from its JSON
    /// Schema: `format`, `minimum`, `examples` and others.
    pub fn with_samples<T: Serialize + DeserializeOwned>(schema: &Value) -> Result<(Self, Types), String> {
        let traced = read_all::<T>(Tracer::new(Samples::new(schema)))?;
        for value in &traced.values {
            write::check(value, &traced.shape, &traced.types)?;
        }
        Ok((traced.shape, traced.types))
    }
}

/// What the reading of a type showed.
struct Traced<T> {
    shape: Shape,
    types: Types,
    /// Values that together have every variant of every enum.
    values: Vec<T>,
}

/// More rounds than any sensible nest of enums has variants; a type that needs more is rejected.
const MAX_ROUNDS: usize = 1 << 12;

/// More samples than any sensible type rejects.
const MAX_TRIES: usize = 1 << 12;

/// Reads `T` with other samples until it accepts them. If it accepts none at some place, the reason is that of the first there.
fn read_all<T: DeserializeOwned>(mut tracer: Tracer) -> Result<Traced<T>, String> {
    let (mut at, mut first) = (None, String::new());
    for _ in 0..MAX_TRIES {
        let reason = match read_variants(&mut tracer) {
            Ok((shape, values)) => return Ok(Traced { shape, types: tracer.finish(), values }),
            Err(reason) => reason,
        };
        let place = tracer.place();
        if at.as_ref() != Some(&place) {
            first = place.clone() + &reason;
            at = Some(place);
        }
        if !tracer.next_sample() {
            break;
        }
        tracer = tracer.again();
    }
    Err(first)
}

/// Reads `T` again and again, until each enum inside it has shown each of its variants.
fn read_variants<T: DeserializeOwned>(tracer: &mut Tracer) -> Result<(Shape, Vec<T>), String> {
    let mut values = Vec::new();
    loop {
        let mut shape = None;
        tracer.begin_round();
        let value = T::deserialize(Reader { tracer, shape: &mut shape });
        values.push(value.map_err(|Untraceable(reason)| reason)?);
        tracer.round += 1;
        if tracer.enums.values().all(Enum::is_complete) {
            return Ok((shape.ok_or("it asks for no value at all")?, values));
        }
        if tracer.round == MAX_ROUNDS {
            return Err("its enums have too many combinations of variants".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{
        super::types::{Container, Field},
        *,
    };

    #[test]
    fn fields_keep_their_order_and_every_variant_is_seen() {
        #[derive(Serialize, Deserialize)]
        enum Colour {
            Red,
            Green,
            Blue,
        }
        #[derive(Serialize, Deserialize)]
        struct Paint {
            z: u32,
            a: Option<String>,
            colours: Vec<Colour>,
        }
        let (_, types) = Shape::of::<Paint>().unwrap();
        let Container::Struct(fields) = &types["Paint"] else { panic!("{types:?}") };
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["z", "a", "colours"]);
        assert_eq!(fields[1].shape, Shape::Option(Box::new(Shape::String)));
        let Container::Enum(variants) = &types["Colour"] else { panic!("{types:?}") };
        assert_eq!(variants.len(), 3);
    }

    #[test]
    fn a_type_that_reads_and_writes_differently_is_rejected() {
        #[derive(Serialize, Deserialize)]
        #[expect(dead_code, reason = "only its shape is looked at")]
        struct Secret {
            name: String,
            #[serde(skip_serializing)]
            password: String,
        }
        let reason = Shape::of::<Secret>().unwrap_err();
        assert!(reason.contains("skip_serializing"), "{reason}");

        #[derive(Serialize, Deserialize)]
        enum Gap {
            A,
            #[serde(skip)]
            #[expect(dead_code, reason = "skipped, that is the point")]
            B,
            C,
        }
        let reason = Shape::of::<Vec<Gap>>().unwrap_err();
        assert!(reason.contains("variant `C`"), "{reason}");
    }

    #[test]
    fn a_type_for_self_describing_formats_only_is_rejected() {
        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Text(String),
        }
        let reason = Shape::of::<Either>().unwrap_err();
        assert!(reason.contains("self-describing"), "{reason}");
        assert!(Shape::of::<serde_json::Value>().is_err());

        #[derive(Serialize, Deserialize)]
        struct Letter {
            to: Vec<Option<Either>>,
        }
        let reason = Shape::of::<Letter>().unwrap_err();
        assert!(reason.starts_with("Letter.to[]: "), "{reason}");
    }

    #[test]
    fn types_may_hold_themselves() {
        #[derive(Serialize, Deserialize)]
        enum Expression {
            Negation(Box<Expression>),
            Number(i64),
            Sum { terms: Vec<Expression>, note: Option<Note> },
        }
        #[derive(Serialize, Deserialize)]
        struct Note {
            lines: Vec<String>,
        }
        let (shape, types) = Shape::of::<Expression>().unwrap();
        assert_eq!(shape, Shape::Named("Expression".into()));
        let Container::Enum(variants) = &types["Expression"] else { panic!("{types:?}") };
        assert_eq!(variants[&0].content, Container::Newtype(shape.clone()));
        let Container::Struct(fields) = &variants[&2].content else { panic!("{types:?}") };
        assert_eq!(fields[0].shape, Shape::Seq(Box::new(shape)));
        assert_eq!(
            types["Note"],
            Container::Struct(vec![Field { name: "lines".into(), shape: Shape::Seq(Box::new(Shape::String)) }])
        );
    }

    #[test]
    fn the_instances_of_a_generic_type_have_names_of_their_own() {
        #[derive(Serialize, Deserialize)]
        struct Page<T> {
            items: Vec<T>,
            next: Option<Box<Page<T>>>,
        }
        #[derive(Serialize, Deserialize)]
        struct Item {
            number: u64,
        }
        #[derive(Serialize, Deserialize)]
        enum Either<A, B> {
            Left(A),
            Right(B),
        }
        type Both = (Page<Item>, Page<Vec<String>>, Page<Page<Item>>, Either<u8, Item>, std::ops::Range<u32>);
        let (_, types) = Shape::of::<Both>().unwrap();
        let names: Vec<_> = types.keys().map(String::as_str).collect();
        let pages = ["Page<Item>", "Page<Page<Item>>", "Page<Vec<String>>"];
        assert_eq!(names, [&["Either<u8, Item>", "Item"], &pages[..], &["Range<u32, u32>"]].concat());
        let Container::Struct(fields) = &types["Page<Page<Item>>"] else { panic!("{types:?}") };
        assert_eq!(fields[0].shape, Shape::Seq(Box::new(Shape::Named("Page<Item>".into()))));
    }

    #[test]
    fn a_field_that_is_skipped_in_some_values_is_no_difference() {
        #[derive(Serialize, Deserialize)]
        struct Tree {
            #[serde(skip_serializing_if = "Option::is_none")]
            left: Option<Box<Tree>>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            rest: Vec<Tree>,
        }
        assert_eq!(Shape::of::<Tree>().unwrap().1.len(), 1);
    }

    #[test]
    fn a_type_that_accepts_certain_values_only_is_traced_with_samples() {
        #[derive(Serialize, Deserialize)]
        #[serde(try_from = "(String, i32)", into = "(String, i32)")]
        struct Coupon(String, i32);
        impl From<Coupon> for (String, i32) {
            fn from(coupon: Coupon) -> Self {
                (coupon.0, coupon.1)
            }
        }
        impl TryFrom<(String, i32)> for Coupon {
            type Error = String;

            fn try_from((code, percent): (String, i32)) -> Result<Self, String> {
                let valid = code.starts_with("C-") && (41..43).contains(&percent);
                if valid { Ok(Self(code, percent)) } else { Err(format!("{code} and {percent}")) }
            }
        }
        impl Clone for Coupon {
            fn clone(&self) -> Self {
                Self(self.0.clone(), self.1)
            }
        }
        #[derive(Serialize, Deserialize)]
        enum Choice {
            Address(std::net::IpAddr),
            Port(std::net::SocketAddr),
            Coupon(Coupon),
        }
        let reason = Shape::of::<Choice>().unwrap_err();
        assert_eq!(reason, "Choice::Coupon: it rejects an ordinary value:  and 0", "the first sample");
        let schema = serde_json::json!({
            "properties": { "code": { "examples": ["C-1"] }, "percent": { "exclusiveMinimum": 41.0 } },
        });
        let (_, types) = Shape::with_samples::<Choice>(&schema).unwrap();
        let Container::Enum(variants) = &types["Choice"] else { panic!("{types:?}") };
        assert_eq!(variants[&2].content, Container::Newtype(Shape::Tuple(vec![Shape::String, Shape::I32])));
    }

    #[test]
    fn types_that_reject_empty_values_are_traced_with_others() {
        assert_eq!(Shape::of::<std::net::IpAddr>().unwrap().0, Shape::String);
        assert_eq!(Shape::of::<std::num::NonZeroU32>().unwrap().0, Shape::U32);
    }
}
