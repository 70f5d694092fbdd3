//! Which enums are messages.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use everywire_core::{
    descriptor::shape::{Shape, Types},
    wire::MessageBuffer,
};
use serde::{Serialize, de::DeserializeOwned};

use super::error::{Error, Result, TOO_DEEP};

/// The names of the enums with data that values may have inside them.
///
/// serde tells a format which variant it writes, and of a plain variant not whether others carry data. But an enum with data is a
/// message, and an enum of plain variants a number. [`Method::enums_with_data`] has the names for a service's methods.
///
/// [`Method::enums_with_data`]: everywire_core::descriptor::Method::enums_with_data
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Enums<'a>(Option<&'a Arc<[String]>>);

impl<'a> Enums<'a> {
    pub(crate) fn new(names: &'a Arc<[String]>) -> Self {
        Self(Some(names))
    }

    pub(super) fn have_data(self, name: &str) -> bool {
        self.0.is_some_and(|names| names.iter().any(|with_data| with_data == name))
    }
}

/// Writes and reads values of one type that may have enums with data inside it, some of whose variants are plain.
///
/// ```
/// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
/// enum Shape { Point, Circle { radius: f64 } }
///
/// let codec = everywire_grpc::Codec::of::<Shape>().unwrap();
/// let bytes = codec.to_vec(&Shape::Point).unwrap();
/// assert_eq!(bytes, [0x0a, 0]);               // field 1, an empty message
/// assert_eq!(codec.from_slice::<Shape>(&bytes).unwrap(), Shape::Point);
/// ```
#[derive(Debug, Clone)]
pub struct Codec {
    enums: Arc<[String]>,
}

impl Codec {
    /// Finds the enums inside `T`. An error if `T` decodes from self-describing formats only.
    pub fn of<T: Serialize + DeserializeOwned>() -> Result<Self> {
        let (_, types): (Shape, Types) = Shape::of::<T>().map_err(serde::de::Error::custom)?;
        Ok(Self { enums: everywire_core::descriptor::shape::enums_with_data(&types).into() })
    }

    /// Writes `value` as a message.
    pub fn to_vec<T: Serialize + ?Sized>(&self, value: &T) -> Result<Vec<u8>> {
        super::ser::to_vec_with(value, Enums::new(&self.enums))
    }

    /// Reads a message of at most 64 levels.
    pub fn from_slice<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        super::de::read(super::Message::new(bytes, Scope { depth: super::de::DEPTH, enums: Enums::new(&self.enums) }))
    }
}

/// What holds for everything inside a message that is being read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    /// How many levels of messages there may still be.
    pub(crate) depth: usize,
    pub(crate) enums: Enums<'a>,
}

impl Scope<'_> {
    #[inline]
    pub(super) fn deeper(self) -> Result<Self, Error> {
        Ok(Self { depth: self.depth.checked_sub(1).ok_or(TOO_DEEP)?, ..self })
    }
}

/// What messages are written to.
#[derive(Debug)]
pub(crate) struct Output<'a> {
    pub(crate) buffer: MessageBuffer<'a>,
    pub(super) enums: Enums<'a>,
}

impl<'a> Output<'a> {
    pub(crate) fn new(buffer: MessageBuffer<'a>, enums: Enums<'a>) -> Self {
        Self { buffer, enums }
    }
}

impl<'a> Deref for Output<'a> {
    type Target = MessageBuffer<'a>;

    #[inline]
    fn deref(&self) -> &MessageBuffer<'a> {
        &self.buffer
    }
}

impl DerefMut for Output<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.buffer
    }
}
