//! What can be seen of a type that can't be traced as a whole.
//!
//! A survey reads the type again and again. Where a reading fails, the later ones leave that place out: a struct gets its other
//! fields, a list no element, an enum another variant. So everything beside the part that can't be traced is seen, though perhaps
//! never a whole value.

use std::collections::{BTreeSet, HashMap};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    samples::Samples,
    tracer::{Enum, Reader, Tracer, Untraceable},
    types::{Container, Shape, Types},
};

/// More readings than any sensible type needs.
const MAX_READINGS: usize = 1 << 12;

/// More samples than any sensible type rejects at one place.
const MAX_SAMPLES: usize = 1 << 8;

/// More readings than any sensible nest of enums needs to show another variant.
const MAX_IDLE: usize = 1 << 6;

/// The shapes inside a type that has no shape as a whole, as far as they can be seen: those beside an untagged or internally tagged
/// enum and beside flattened fields, but not those inside.
#[derive(Debug, Default)]
pub struct Parts {
    /// Each with its place, such as `Letter.to[]`.
    shapes: Vec<(String, Shape)>,
    types: Types,
}

impl Parts {
    /// Looks at what `T` reads. `schema` is its JSON Schema, which has values that it accepts and names of fields.
    pub fn of<T: DeserializeOwned>(schema: &Value) -> Self {
        let mut tracer = Tracer::surveying(Samples::new(schema));
        let (mut seen, mut idle) = (0, 0);
        for _ in 0..MAX_READINGS {
            tracer.begin_round();
            let outcome = T::deserialize(Reader { tracer: &mut tracer, shape: &mut None });
            tracer.round += 1;
            let leads_on = matches!(&outcome, Err(Untraceable(reason)) if tracer.get_past(reason));
            let variants = tracer.enums.values().map(Enum::seen).sum();
            idle = if leads_on || variants > seen { 0 } else { idle + 1 };
            seen = variants;
            if !leads_on && (idle > MAX_IDLE || tracer.enums.values().all(Enum::is_complete)) {
                break;
            }
            tracer = tracer.again();
        }
        tracer.into_parts()
    }

    /// Checks each shape with `check`, which looks at one level only. The error has every problem with its place.
    pub fn check_each(&self, check: impl Fn(&Shape, &Types) -> Result<(), String>) -> Result<(), String> {
        let problems = self.shapes.iter().filter_map(|(place, shape)| {
            let reason = check(shape, &self.types).err()?;
            Some(if place.is_empty() { reason } else { format!("`{place}`: {reason}") })
        });
        let mut problems: Vec<_> = problems.collect();
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }
}

/// What a survey knows from its readings so far.
#[derive(Default)]
pub(super) struct Survey {
    parts: Parts,
    /// The places that can't be read.
    closed: BTreeSet<String>,
    /// The places of structs with flattened fields, which serde reads as maps.
    flat: BTreeSet<String>,
    /// Whether such a place was found in this reading, which ends it.
    found_flat: bool,
    /// The place of the field whose name was read last, until its value is.
    named: Option<String>,
    samples: HashMap<String, usize>,
}

/// Stands for a shape that was not seen: the name of no type.
pub(super) const UNSEEN: Shape = Shape::Named(String::new());

impl Tracer {
    fn surveying(samples: Samples) -> Self {
        let mut tracer = Self::new(samples);
        tracer.survey = Some(Survey::default());
        tracer
    }

    /// Decides, after a reading that failed, what the next one does differently. False if it can't get past the failure.
    fn get_past(&mut self, reason: &str) -> bool {
        let place = self.path.concat();
        let Some(survey) = &mut self.survey else { return false };
        if std::mem::take(&mut survey.found_flat) {
            return true;
        }
        // The name of a field was not accepted, such as an alias of one that was given.
        if let Some(named) = survey.named.take() {
            return survey.closed.insert(named);
        }
        let lacks_a_part = survey.closed.iter().any(|closed| closed.starts_with(&place));
        let samples = survey.samples.entry(place).or_default();
        *samples += 1;
        let has_samples = !lacks_a_part && *samples < MAX_SAMPLES && reason != super::read::SELF_DESCRIBING;
        (has_samples && self.next_sample()) || self.close()
    }

    /// Leaves out the place of a failure from now on, or one around it if it was left out already.
    fn close(&mut self) -> bool {
        loop {
            let place = self.path.concat();
            if self.survey.as_mut().is_some_and(|survey| survey.closed.insert(place)) {
                return true;
            }
            if self.path.pop().is_none() {
                return false;
            }
        }
    }

    /// Whether the place `inside` this one is left out.
    pub(super) fn is_closed(&self, inside: &str) -> bool {
        self.survey.as_ref().is_some_and(|survey| survey.closed.contains(&(self.path.concat() + inside)))
    }

    /// Notes that the value of this shape was read here. Inside itself a type is not read to the end, so what is seen there does
    /// not count.
    pub(super) fn note(&mut self, shape: &Shape) {
        let is_recursive = self.is_recursive();
        let Some(survey) = self.survey.as_mut().filter(|_| !is_recursive) else { return };
        let noted = (self.path.concat(), shape.clone());
        if !survey.parts.shapes.contains(&noted) {
            survey.parts.shapes.push(noted);
        }
    }

    /// Notes the key of the map around this place, whose values may be impossible to read.
    pub(super) fn note_key(&mut self, key: &Shape) {
        let inside = self.path.pop();
        self.note(&Shape::Map(Box::new(key.clone()), Box::new(UNSEEN)));
        self.path.extend(inside);
    }

    /// Keeps what a name stands for, the first time.
    pub(super) fn note_type(&mut self, name: &str, container: &Container) -> bool {
        let Some(survey) = &mut self.survey else { return false };
        survey.parts.types.entry(name.to_owned()).or_insert_with(|| container.clone());
        true
    }

    /// Notes which field is named next: the place `inside` this one.
    pub(super) fn note_name(&mut self, inside: Option<&str>) {
        let place = inside.map(|inside| self.path.concat() + inside);
        if let Some(survey) = &mut self.survey {
            survey.named = place;
        }
    }

    /// Notes that a map here has the fields of a struct.
    pub(super) fn note_flat(&mut self) {
        let place = self.path.concat();
        if let Some(survey) = &mut self.survey {
            survey.found_flat = survey.flat.insert(place);
        }
    }

    /// Whether a map here has the fields of a struct.
    pub(super) fn is_flat(&self) -> bool {
        self.survey.as_ref().is_some_and(|survey| survey.flat.contains(&self.path.concat()))
    }

    fn into_parts(mut self) -> Parts {
        let parts = self.survey.take().map(|survey| survey.parts).unwrap_or_default();
        let types = parts.types.into_iter().chain(self.finish()).collect();
        Parts { types, ..parts }
    }
}

#[cfg(test)]
#[expect(clippy::option_option, reason = "a type that wires lose")]
mod tests {
    use std::{collections::BTreeMap, net::IpAddr};

    use schemars::{JsonSchema, schema_for};
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind")]
    enum Tagged {
        A { number: u32 },
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Untagged {
        Number(u32),
        Text(String),
    }

    /// What a wire with one word for nothing says of the parts of `T`.
    #[track_caller]
    fn check<T: Serialize + DeserializeOwned + JsonSchema>(expected: &[&str]) {
        let schema = schema_for!(T);
        Shape::with_samples::<T>(schema.as_value()).unwrap_err();
        let parts = Parts::of::<T>(schema.as_value());
        let problems = parts.check_each(|shape, types| match shape {
            shape if shape.is_double_option(types) => Err("twice".to_owned()),
            Shape::Map(key, _) if !key.is_key(types) => Err("key".to_owned()),
            Shape::I128 => Err("wide".to_owned()),
            _ => Ok(()),
        });
        assert_eq!(problems.err().unwrap_or_default(), expected.join("; "), "{parts:?}");
    }

    #[test]
    fn what_is_beside_an_untraceable_field_is_seen() {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Letter {
            first: Option<Option<u8>>,
            tagged: Tagged,
            maybe: Option<Vec<Tagged>>,
            by_pair: BTreeMap<(u8, u8), Tagged>,
            #[serde(alias = "ip")]
            address: IpAddr,
            last: Vec<Inner>,
            #[serde(rename = "other-name")]
            wide: i128,
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Inner {
            untagged: Untagged,
            tagged: Tagged,
            unit: Option<()>,
        }
        let expected = [
            "`Letter.first`: twice",
            "`Letter.by_pair`: key",
            "`Letter.last[].unit`: twice",
            "`Letter.other-name`: wide",
        ];
        check::<Letter>(&expected);
        check::<Option<Letter>>(&expected);
    }

    #[test]
    fn what_is_beside_an_untraceable_variant_is_seen() {
        #[derive(Serialize, Deserialize, JsonSchema)]
        enum Event {
            Tagged(Tagged),
            Plain,
            Moved { by: Tagged, to: Option<Option<u8>> },
            Nested(Nested),
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        enum Nested {
            One,
            Two(BTreeMap<Vec<u8>, u8>),
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Beside {
            required: Tagged,
            event: Event,
        }
        check::<Event>(&["`Event::Moved.to`: twice", "`Event::Nested::Two`: key"]);
        check::<Beside>(&["`Beside.event::Moved.to`: twice", "`Beside.event::Nested::Two`: key"]);
    }

    #[test]
    fn what_is_beside_flattened_fields_is_seen() {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Flat {
            name: String,
            twice: Option<Option<u8>>,
            #[serde(flatten)]
            rest: Rest,
            children: Vec<Flat>,
            wide: i128,
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Rest {
            number: u32,
            #[serde(flatten)]
            more: BTreeMap<String, u8>,
        }
        check::<Flat>(&["`{}.twice`: twice", "`{}.wide`: wide"]);
        check::<(u8, Flat)>(&["`.1{}.twice`: twice", "`.1{}.wide`: wide"]);
    }

    #[test]
    fn a_survey_of_types_that_hold_themselves_ends() {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Node {
            #[serde(flatten)]
            rest: Rest,
            left: Option<Box<Node>>,
            right: Option<Box<Node>>,
            many: Vec<Node>,
            by_name: BTreeMap<String, Node>,
            expression: Expression,
            pair: Box<(Expression, Expression)>,
            twice: Option<Option<u8>>,
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Rest {
            left: u8,
            inner: Option<Box<Node>>,
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        enum Expression {
            Node(Box<Node>),
            Tagged { tagged: Tagged },
            List(Vec<Expression>),
            Both(Box<Expression>, Box<Expression>),
            Unit(Option<()>),
        }
        // The variants of an enum are seen at one of its places.
        check::<Node>(&["`{}.pair.1::Unit`: twice", "`{}.twice`: twice"]);
    }

    /// What docs/types.md says of what is not seen.
    #[test]
    fn what_is_inside_and_what_is_behind_in_a_tuple_is_not_seen() {
        #[derive(Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "kind")]
        enum Inside {
            A { twice: Option<Option<u8>> },
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Flattens {
            #[serde(flatten)]
            rest: Rest,
        }
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Rest {
            twice: Option<Option<u8>>,
        }
        check::<Inside>(&[]);
        check::<Flattens>(&[]);
        check::<(Option<Option<u8>>, Tagged, Option<Option<u8>>)>(&["`.0`: twice"]);
    }

    /// Not seeing something is no reason to reject it.
    #[test]
    fn what_is_not_seen_is_accepted() {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Wrapper(Value);
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Tree {
            wrapper: Option<Wrapper>,
            value: Option<Value>,
            untagged: Option<Untagged>,
            branches: Option<Vec<Tree>>,
            child: Option<Box<Tree>>,
            map: BTreeMap<String, Value>,
            tagged: Tagged,
        }
        check::<Tree>(&[]);
        check::<Value>(&[]);
        check::<Tagged>(&[]);
        check::<Option<Untagged>>(&[]);
        check::<(Value, Tagged)>(&[]);
        check::<(Value, Option<Option<u8>>)>(&["`.1`: twice"]);
    }

    #[test]
    fn a_type_that_writes_itself_differently_is_seen_as_it_reads_itself() {
        #[derive(Serialize, Deserialize, JsonSchema)]
        struct Secret {
            #[serde(skip_serializing, default)]
            #[expect(dead_code, reason = "only its shape is looked at")]
            password: String,
            twice: Option<Option<u8>>,
        }
        check::<Secret>(&["`Secret.twice`: twice"]);
    }
}
