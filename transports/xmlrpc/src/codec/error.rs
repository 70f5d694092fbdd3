//! What can be wrong with a document, and the number of the fault that says so.

use std::fmt;

use everywire_core::{Code, Limit, wire::fault_number};

/// Why a document can't be read, or a value can't be written. One pointer wide, since every step returns it.
#[derive(Debug)]
pub(crate) struct Error(Box<(Kind, String)>);

/// Which rule is broken; each has its number in the fault code interoperability list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not well-formed XML.
    Syntax,
    /// In an unknown encoding.
    Encoding,
    /// Bytes that are invalid in the encoding, or a character that XML 1.0 excludes (section 2.2).
    Character,
    /// Well-formed, and not XML-RPC.
    Structure,
    /// Values nest too deep.
    Depth,
    /// Too long once it is UTF-8.
    Length,
    /// XML-RPC, and not of the type that is wanted.
    Type,
}

/// The longest message, in bytes: what a peer sent doesn't come back in full.
const MESSAGE_BYTES: usize = 512;

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
        Self(Box::new((kind, message)))
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.0
    }
}

impl Kind {
    /// The fault's number.
    pub(crate) fn number(self) -> i32 {
        match self {
            Self::Syntax => fault_number::PARSE_ERROR,
            Self::Encoding => -32701,
            Self::Character => -32702,
            Self::Structure | Self::Depth => fault_number::INVALID_REQUEST,
            Self::Type => fault_number::INVALID_PARAMS,
            Self::Length => Code::ResourceExhausted.fault_number(),
        }
    }

    /// The limit that was met, if the error is one.
    pub(crate) fn limit(self) -> Option<Limit> {
        match self {
            Self::Depth => Some(Limit::Depth),
            Self::Length => Some(Limit::DecompressedBytes),
            Self::Syntax | Self::Encoding | Self::Character | Self::Structure | Self::Type => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.1)
    }
}

impl std::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Type, message.to_string())
    }
}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Kind::Type, message.to_string())
    }
}

/// The start of a peer's text, short enough for a message.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}
