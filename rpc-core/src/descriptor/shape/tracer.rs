//! What reading a type has shown so far.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    rc::Rc,
};

use serde::de;

use super::{
    samples::{LENGTHS, Samples, whole},
    survey::{Survey, UNSEEN},
    types::{Container, Shape, Types, Variant},
};

pub(super) struct Tracer {
    pub(super) samples: Rc<Samples>,
    /// How many samples were rejected at each place.
    rejected: HashMap<String, usize>,
    /// The places of the samples in this round, and how many there are for each.
    given: Vec<(String, usize)>,
    /// Whether the latest sample was accepted where it was given.
    pub(super) accepted: bool,
    pub(super) round: usize,
    pub(super) types: Types,
    pub(super) enums: HashMap<String, Enum>,
    /// The names of the types that are being read, outermost first.
    pub(super) open: Vec<String>,
    /// Fields and elements from the outermost type to here; left as it is where an error ends the reading.
    pub(super) path: Vec<String>,
    /// What is found of a type that can't be traced as a whole.
    pub(super) survey: Option<Survey>,
}

#[derive(Default)]
pub(super) struct Enum {
    names: &'static [&'static str],
    /// How many variants were begun; they are begun in order.
    begun: u32,
    /// The variant that was finished first: it holds no other value of the same enum.
    leaf: Option<u32>,
    variants: BTreeMap<u32, Variant>,
    /// The variants that a survey leaves out.
    closed: BTreeSet<u32>,
}

impl Enum {
    pub(super) fn is_complete(&self) -> bool {
        (0..).zip(self.names).all(|(index, _)| self.is_seen(index))
    }

    fn is_seen(&self, index: u32) -> bool {
        self.variants.contains_key(&index) || self.closed.contains(&index)
    }

    /// How many variants need not be read again.
    pub(super) fn seen(&self) -> usize {
        self.variants.len() + self.closed.len()
    }
}

impl Tracer {
    pub(super) fn new(samples: Samples) -> Self {
        let (rejected, given, accepted, round, types, enums, open, path, survey) = Default::default();
        Self { samples: Rc::new(samples), rejected, given, accepted, round, types, enums, open, path, survey }
    }

    /// Begins anew. A survey goes on with what it has seen of enums.
    pub(super) fn again(self) -> Self {
        let Self { samples, rejected, survey, .. } = self;
        let (round, mut enums) = if survey.is_some() { (self.round, self.enums) } else { Default::default() };
        for found in enums.values_mut() {
            found.begun = 0;
        }
        Self { samples, rejected, round, enums, survey, ..Self::new(Samples::default()) }
    }

    /// Begins the next round.
    pub(super) fn begin_round(&mut self) {
        self.given.clear();
    }

    /// Chooses other samples for the next reading, or returns false if none are left. A type may reject a value only after it has
    /// read all of it. Then the samples inside it change like the digits of a counter.
    pub(super) fn next_sample(&mut self) -> bool {
        while let Some((place, count)) = self.given.pop() {
            let rejected = self.rejected.entry(place.clone()).or_default();
            *rejected += 1;
            if *rejected < count {
                return true;
            }
            if !self.accepted {
                return false;
            }
            self.rejected.remove(&place);
        }
        false
    }

    /// Which of `count` samples to give here.
    pub(super) fn sample(&mut self, count: usize) -> usize {
        let place = self.path.concat();
        let index = self.rejected.get(&place).copied().unwrap_or(0);
        self.given.push((place, count));
        self.accepted = false;
        index.min(count - 1)
    }

    pub(super) fn text(&mut self) -> String {
        let index = self.sample(self.samples.texts.len());
        self.samples.texts[index].clone()
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        vec![0; self.sample(LENGTHS)]
    }

    /// An integer, or zero if this type has none of that value.
    pub(super) fn integer<T: TryFrom<i64> + Default>(&mut self) -> T {
        let index = self.sample(self.samples.numbers.len());
        let number = whole(self.samples.numbers.get(index));
        number.and_then(|number| T::try_from(number).ok()).unwrap_or_default()
    }

    pub(super) fn float(&mut self) -> f64 {
        let index = self.sample(self.samples.numbers.len());
        self.samples.numbers[index].as_f64().unwrap_or_default()
    }

    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    pub(super) fn short_float(&mut self) -> f32 {
        self.float() as f32
    }

    /// Whether a type is being read inside itself. The reading then takes the shortest way out and its findings are not
    /// kept, since the outer reading of the same type finds more.
    pub(super) fn is_recursive(&self) -> bool {
        self.open.iter().enumerate().any(|(at, name)| self.open[..at].contains(name))
    }

    /// The shape inside another, or what stands for one that was not asked for.
    pub(super) fn known(&self, shape: Option<Shape>) -> Shape {
        shape.unwrap_or(if self.survey.is_some() { UNSEEN } else { Shape::Unit })
    }

    pub(super) fn place(&self) -> String {
        let path = self.path.concat();
        if path.is_empty() { path } else { path + ": " }
    }

    /// Keeps what a name stands for; of an enum only that it is one, since [`Enum`] collects its variants.
    pub(super) fn keep(&mut self, name: &str, container: Container) -> Result<(), Untraceable> {
        if self.note_type(name, &container) {
            return Ok(());
        }
        let clashes = self.types.get(name).is_some_and(|before| *before != container);
        if clashes {
            return Err(Untraceable(format!("two different types are called `{name}`; rename one with serde(rename)")));
        }
        self.types.insert(name.to_owned(), container);
        Ok(())
    }

    /// Notes what the variant `index` of `name` carries.
    pub(super) fn finish_variant(&mut self, name: &str, index: u32, content: Container) {
        let recursive = self.is_recursive();
        let found = self.enums.entry(name.to_owned()).or_default();
        found.leaf.get_or_insert(index);
        if !recursive {
            let name = found.names.get(index as usize).map_or_else(String::new, ToString::to_string);
            found.variants.insert(index, Variant { name, content });
        } else if !found.variants.contains_key(&index) {
            // Seen only inside itself so far: to be read again from outside.
            found.begun = found.begun.min(index);
        }
    }

    pub(super) fn finish(mut self) -> Types {
        for (name, found) in self.enums {
            self.types.insert(name, Container::Enum(found.variants));
        }
        self.types
    }

    /// The variant of `name` to read next.
    pub(super) fn choose(&mut self, name: &str, names: &'static [&'static str]) -> u32 {
        let recursive = self.is_recursive();
        let is_survey = self.survey.is_some();
        let closed = (0..).zip(names).filter(|(_, name)| self.is_closed(&format!("::{name}")));
        let closed: Vec<u32> = closed.map(|(index, _)| index).collect();
        let found = self.enums.entry(name.to_owned()).or_default();
        found.names = names;
        found.closed.extend(closed);
        // A survey begins anew after each failure.
        while is_survey && found.begun < u32::try_from(names.len()).unwrap_or(u32::MAX) && found.is_seen(found.begun) {
            found.begun += 1;
        }
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        match found.leaf {
            Some(leaf) if recursive => leaf,
            _ if found.begun < count => {
                found.begun += 1;
                found.begun - 1
            }
            // A variant read before may still hold an enum that is not complete.
            _ => {
                let round = u32::try_from(self.round).unwrap_or(0);
                let mut others = (0..count).map(|offset| (round % count + offset) % count);
                others.find(|index| !found.closed.contains(index)).unwrap_or(0)
            }
        }
    }
}

/// Why a type can't be traced.
#[derive(Debug)]
pub(super) struct Untraceable(pub(super) String);

impl fmt::Display for Untraceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Untraceable {}

impl de::Error for Untraceable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(format!("it rejects an ordinary value: {message}"))
    }
}

/// Deeper than any sensible type.
const MAX_DEPTH: usize = 64;

/// Reads one value and leaves its shape in `shape`.
pub(super) struct Reader<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) shape: &'a mut Option<Shape>,
}

impl Reader<'_> {
    pub(super) fn inner<'b>(&'b mut self, shape: &'b mut Option<Shape>) -> Reader<'b> {
        Reader { tracer: self.tracer, shape }
    }

    /// Says what was read.
    pub(super) fn is(self, shape: Shape) {
        self.tracer.note(&shape);
        *self.shape = Some(shape);
    }

    /// Reads the inside of the named type `name` with `read`.
    pub(super) fn named<V>(
        self,
        name: String,
        read: impl FnOnce(&mut Tracer) -> Result<(V, Container), Untraceable>,
    ) -> Result<V, Untraceable> {
        if self.tracer.open.len() == MAX_DEPTH {
            return Err(Untraceable(format!("its types nest more than {MAX_DEPTH} deep")));
        }
        if self.tracer.path.is_empty() {
            self.tracer.path.push(name.clone());
        }
        self.tracer.open.push(name.clone());
        let (value, container) = read(self.tracer)?;
        if !self.tracer.is_recursive() {
            self.tracer.keep(&name, container)?;
        }
        self.tracer.open.pop();
        if self.tracer.open.is_empty() {
            self.tracer.path.clear();
        }
        self.is(Shape::Named(name));
        Ok(value)
    }
}
