//! The error of this format.

use std::{borrow::Cow, fmt};

/// Why a value could not be written as protocol buffers, or read from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, str>);

pub(super) type Result<T, E = Error> = std::result::Result<T, E>;

/// A list of enums would mix both if one of them were written without [`Enums`](super::Enums).
pub(super) const MIXED: Error =
    Error::new("a list of both numbers and messages; name its enums with data to the encoder");
pub(super) const ABSENT: Error = Error::new("the message is missing");
pub(super) const ABSENT_VARIANT: Error = Error::new("no variant that this enum has is set");

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
