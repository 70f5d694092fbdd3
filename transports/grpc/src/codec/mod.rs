//! Protocol buffers (proto3) as a serde format, so that the types of a service stay plain serde types.
//!
//! A struct is a message and the number of a field is its position plus one:
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
//! struct AddRequest { a: i64, b: i64 }
//!
//! let bytes = everywire_grpc::to_vec(&AddRequest { a: 3, b: 4 }).unwrap();
//! assert_eq!(bytes, [0x08, 3, 0x10, 4]);      // field 1, varint: 3; field 2, varint: 4
//! assert_eq!(everywire_grpc::from_slice::<AddRequest>(&bytes).unwrap(), AddRequest { a: 3, b: 4 });
//! ```
//!
//! | Rust | proto3 |
//! |---|---|
//! | `bool`, `f32`, `f64`, `String` | bool, float, double, string |
//! | `i8` to `i32`, `i64` | int32, int64 |
//! | `u8` to `u32`, `u64` | uint32, uint64 |
//! | bytes, `Vec<u8>` | bytes |
//! | struct, tuple; newtype struct | message; what is inside it |
//! | enum of plain variants | enum, numbered by variant |
//! | `Option` | `optional`: presence is explicit, so `Some(0)` is written |
//! | `Vec` | `repeated`, packed where the elements are numbers |
//! | map | `map` |
//! | anything else as a whole message | a message whose field 1 is the value; `()` is the empty message |
//!
//! Zero values are left out and read back as zero; a struct in a field is written even if all of it is zero. A field that
//! comes twice: the last wins, and messages merge. Unknown fields are skipped, groups too, which proto3 does not have.
//! The rest, such as enums with data and lists of lists, has no form in proto3: it is an error here, and
//! [`check`](crate::schema::check) finds it before the first call.
//!
//! Specification: <https://protobuf.dev/programming-guides/encoding/>.

mod de;
mod ser;
#[cfg(test)]
mod tests;
mod wire;

use std::{borrow::Cow, fmt};

pub use de::from_slice;
pub(crate) use de::{Message, from_slice_within};
pub use ser::{encode, to_vec};

/// Why a value could not be written as, or read from, protocol buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Cow<'static, str>);

impl Error {
    const fn new(reason: &'static str) -> Self {
        Self(Cow::Borrowed(reason))
    }

    /// Whether values nest deeper than they may.
    pub(crate) fn is_depth(&self) -> bool {
        *self == wire::TOO_DEEP
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

type Result<T, E = Error> = std::result::Result<T, E>;

// What proto3 has no form for.
const NESTED: Error = Error::new("proto3 has no list or map inside a list, map or Option; a struct around it helps");
const OPTIONAL_ELEMENT: Error = Error::new("proto3 has no optional elements in lists and maps");
const UNIT: Error = Error::new("proto3 has no field without a value");
const ENUM_WITH_DATA: Error = Error::new("proto3 has no enums with data");
