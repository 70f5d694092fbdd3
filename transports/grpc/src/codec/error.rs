//! The error of this format.

use std::{borrow::Cow, fmt};

/// Why a value could not be written as protocol buffers, or read from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, str>);

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

// What proto3 can't express.
pub(super) const NESTED: Error =
    Error::new("proto3 has no list or map inside a list, map or Option; put it into a struct");
pub(super) const OPTIONAL_ELEMENT: Error = Error::new("proto3 has no optional elements in lists and maps");
pub(super) const UNIT: Error = Error::new("proto3 has no field without a value");
pub(super) const ENUM_WITH_DATA: Error = Error::new("proto3 has no enums with data");

pub(super) const TOO_DEEP: Error = Error::new("messages nest too deep");

impl Error {
    pub(super) const fn new(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }

    /// Whether values nest deeper than they may.
    pub(crate) fn is_depth(&self) -> bool {
        *self == TOO_DEEP
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(Cow::Owned(reason.to_string()))
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(reason: T) -> Self {
        Self(Cow::Owned(reason.to_string()))
    }
}
