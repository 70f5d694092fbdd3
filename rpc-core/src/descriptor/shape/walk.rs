//! Looking at a shape and at everything inside it.

use std::collections::BTreeSet;

use super::types::{Container, Shape, Types, plain_name};

impl Shape {
    /// Checks this shape and each shape inside it with `check`, which looks at one level only. The error has every problem, and
    /// each begins with its place, if that is inside a named type: `` `Pair.both`: … ``.
    pub fn check_each(&self, types: &Types, check: impl Fn(&Shape) -> Result<(), String>) -> Result<(), String> {
        let mut walk = Walk { types, check, seen: BTreeSet::new(), problems: Vec::new() };
        walk.shape("", self);
        if walk.problems.is_empty() { Ok(()) } else { Err(walk.problems.join("; ")) }
    }

    /// Whether it is an `Option` of something that may be absent too. Formats with one word for nothing lose the
    /// difference between the two.
    #[must_use]
    pub fn is_double_option(&self, types: &Types) -> bool {
        let Self::Option(inner) = self else { return false };
        match inner.resolve(types) {
            Self::Unit | Self::Option(_) => true,
            Self::Named(name) => types.get(name) == Some(&Container::Unit),
            _ => false,
        }
    }

    /// Whether it can be the key of a map in formats whose keys are text: a text, a number, a bool, or a plain enum.
    #[must_use]
    pub fn is_key(&self, types: &Types) -> bool {
        match self.resolve(types) {
            Self::Unit | Self::Bytes | Self::Option(_) | Self::Seq(_) | Self::Map(..) | Self::Tuple(_) => false,
            Self::Named(name) => types.get(name).is_some_and(Container::is_plain_enum),
            _ => true,
        }
    }

    /// What is inside newtype structs, which most formats write as their content.
    #[must_use]
    pub fn resolve<'a>(&'a self, types: &'a Types) -> &'a Shape {
        match self {
            Self::Named(name) => match types.get(name) {
                Some(Container::Newtype(inner)) => inner.resolve(types),
                _ => self,
            },
            _ => self,
        }
    }
}

impl Container {
    /// Whether it is an enum whose variants carry nothing.
    #[must_use]
    pub fn is_plain_enum(&self) -> bool {
        matches!(self, Self::Enum(variants) if variants.values().all(|variant| variant.content == Self::Unit))
    }
}

/// The names of the enums in `types` of which a variant carries something, as serde announces them.
#[must_use]
pub fn enums_with_data(types: &Types) -> Vec<String> {
    let with_data = types.iter().filter(|(_, it)| matches!(it, Container::Enum(_)) && !it.is_plain_enum());
    let mut names: Vec<_> = with_data.map(|(name, _)| plain_name(name).to_owned()).collect();
    names.dedup();
    names
}

struct Walk<'a, F> {
    types: &'a Types,
    check: F,
    /// The named types that were looked at, or are being looked at.
    seen: BTreeSet<&'a str>,
    problems: Vec<String>,
}

impl<'a, F: Fn(&Shape) -> Result<(), String>> Walk<'a, F> {
    /// Checks a shape, whose `place` is in the innermost named type.
    fn shape(&mut self, place: &str, shape: &'a Shape) {
        if let Err(reason) = (self.check)(shape) {
            self.problems.push(if place.is_empty() { reason } else { format!("`{place}`: {reason}") });
        }
        match shape {
            Shape::Option(inner) | Shape::Seq(inner) => self.shape(place, inner),
            Shape::Map(key, value) => {
                self.shape(place, key);
                self.shape(place, value);
            }
            Shape::Tuple(elements) => {
                for element in elements {
                    self.shape(place, element);
                }
            }
            Shape::Named(name) if self.seen.insert(name) => {
                if let Some(container) = self.types.get(name) {
                    self.container(name, container);
                }
            }
            _ => {}
        }
    }

    fn container(&mut self, place: &str, container: &'a Container) {
        match container {
            Container::Unit => {}
            Container::Newtype(inner) => self.shape(place, inner),
            Container::Tuple(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.shape(&format!("{place}.{index}"), element);
                }
            }
            Container::Struct(fields) => {
                for field in fields {
                    self.shape(&format!("{place}.{}", field.name), &field.shape);
                }
            }
            Container::Enum(variants) => {
                for variant in variants.values() {
                    self.container(&format!("{place}::{}", variant.name), &variant.content);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Serialize};

    use super::*;

    #[test]
    fn every_shape_is_looked_at_and_its_place_named() {
        #[derive(Serialize, Deserialize)]
        struct Tree {
            branches: Vec<Tree>,
            leaf: Option<Leaf>,
        }
        #[derive(Serialize, Deserialize)]
        enum Leaf {
            Green,
            Brown { fell: Box<(u8, BTreeMap<char, u16>)> },
        }
        let (shape, types) = Shape::of::<Vec<Tree>>().unwrap();
        assert_eq!(shape.check_each(&types, |_| Ok(())), Ok(()));
        let reject = |rejected: Shape| {
            shape.check_each(&types, |shape| if *shape == rejected { Err("no".to_owned()) } else { Ok(()) })
        };
        assert_eq!(reject(Shape::U16).unwrap_err(), "`Leaf::Brown.fell`: no");
        assert_eq!(reject(Shape::Char).unwrap_err(), "`Leaf::Brown.fell`: no");
        assert_eq!(reject(Shape::Named("Leaf".into())).unwrap_err(), "`Tree.leaf`: no");
        assert_eq!(reject(Shape::Named("Tree".into())).unwrap_err(), "no; `Tree.branches`: no");
        assert_eq!(reject(Shape::I128), Ok(()));
    }
}
