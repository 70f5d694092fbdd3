//! What reading a type has shown so far.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::de;

use super::types::{Container, Shape, Types, Variant};

#[derive(Default)]
pub(super) struct Tracer {
    pub(super) text: &'static str,
    pub(super) number: u8,
    pub(super) round: usize,
    pub(super) types: Types,
    pub(super) enums: HashMap<String, Enum>,
    /// The names of the types that are being read, outermost first.
    pub(super) open: Vec<String>,
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
    pub(super) fn is_complete(&self) -> bool {
        self.variants.len() == self.names.len()
    }
}

impl Tracer {
    /// Whether a type is being read inside itself. The reading then takes the shortest way out and its findings are not
    /// kept, since the outer reading of the same type finds more.
    pub(super) fn is_recursive(&self) -> bool {
        self.open.iter().enumerate().any(|(at, name)| self.open[..at].contains(name))
    }

    pub(super) fn place(&self) -> String {
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

    pub(super) fn finish(mut self) -> Types {
        for (name, found) in self.enums {
            self.types.insert(name, Container::Enum(found.variants));
        }
        self.types
    }

    /// The variant of `name` to read next.
    pub(super) fn choose(&mut self, name: &str, names: &'static [&'static str]) -> u32 {
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
        *self.shape = Some(Shape::Named(name));
        Ok(value)
    }
}
