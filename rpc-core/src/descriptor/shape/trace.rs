//! What the reading half of a trace remembers, and how often it reads.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::{Deserialize, de};

use super::{Container, Shape, Types, Variant, read::Reader};

/// What the reading of a type showed.
pub(super) struct Traced<T> {
    pub(super) shape: Shape,
    pub(super) types: Types,
    /// Values that together have every variant of every enum.
    pub(super) values: Vec<T>,
}

/// More rounds than any sensible nest of enums has variants; a type that needs more is refused.
const MAX_ROUNDS: usize = 1 << 12;
/// Reads `T` again and again, until each enum inside it has shown each of its variants.
pub(super) fn trace<'de, T: Deserialize<'de>>(text: &'static str, number: u8) -> Result<Traced<T>, String> {
    let mut tracer = Tracer { text, number, ..Tracer::default() };
    let mut values = Vec::new();
    loop {
        let mut shape = None;
        match T::deserialize(Reader { tracer: &mut tracer, shape: &mut shape }) {
            Ok(value) => values.push(value),
            Err(Untraceable(reason)) => return Err(tracer.place() + &reason),
        }
        tracer.round += 1;
        if tracer.enums.values().all(Enum::is_complete) {
            let shape = shape.ok_or("it asks for no value at all")?;
            return Ok(Traced { shape, types: tracer.finish(), values });
        }
        if tracer.round == MAX_ROUNDS {
            return Err("its enums have too many combinations of variants".to_owned());
        }
    }
}

#[derive(Default)]
pub(super) struct Tracer {
    pub(super) text: &'static str,
    pub(super) number: u8,
    round: usize,
    pub(super) types: Types,
    enums: HashMap<String, Enum>,
    /// The names of the types that are being read, outermost first.
    pub(super) open: Vec<&'static str>,
    /// Fields and elements from the outermost type to here; left as it is where an error ends the reading.
    pub(super) path: Vec<String>,
}

#[derive(Default)]
pub(super) struct Enum {
    names: &'static [&'static str],
    /// How many variants were begun; they are begun in order.
    begun: u32,
    /// The variant that was finished first: it holds no other value of the same enum.
    leaf: Option<u32>,
    variants: BTreeMap<u32, Variant>,
}

impl Enum {
    fn is_complete(&self) -> bool {
        self.variants.len() == self.names.len()
    }
}

impl Tracer {
    /// Whether a type is being read inside itself. The reading then takes the shortest way out and its findings are not
    /// kept, since the outer reading of the same type finds more.
    pub(super) fn is_recursive(&self) -> bool {
        self.open.iter().enumerate().any(|(at, name)| self.open[..at].contains(name))
    }

    fn place(&self) -> String {
        let path = self.path.concat();
        if path.is_empty() { path } else { path + ": " }
    }

    /// Keeps what a name stands for; of an enum only that it is one, since [`Enum`] collects its variants.
    pub(super) fn keep(&mut self, name: &str, container: Container) -> Result<(), Untraceable> {
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

    fn finish(mut self) -> Types {
        for (name, found) in self.enums {
            self.types.insert(name, Container::Enum(found.variants));
        }
        self.types
    }

    /// The variant of `name` to read next.
    pub(super) fn choose(&mut self, name: &'static str, names: &'static [&'static str]) -> u32 {
        let recursive = self.is_recursive();
        let found = self.enums.entry(name.to_owned()).or_default();
        found.names = names;
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        match found.leaf {
            Some(leaf) if recursive => leaf,
            _ if found.begun < count => {
                found.begun += 1;
                found.begun - 1
            }
            // A variant read before may still hold an enum that is not complete.
            _ => u32::try_from(self.round).unwrap_or(0) % count.max(1),
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
        Self(format!("it refuses an ordinary value: {message}"))
    }
}
