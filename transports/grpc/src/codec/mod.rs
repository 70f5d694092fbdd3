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
//! | `i128`, `u128`; `char` | string: decimal digits, where no text is 0; the character, where no text is `'\0'` |
//! | bytes, `Vec<u8>` | bytes |
//! | `()`, unit struct | an empty message |
//! | struct, tuple; newtype struct | message; the type inside it |
//! | enum of plain variants | enum, numbered by variant |
//! | enum with data | message with a `oneof`: variants are fields in order, a plain variant is an empty message |
//! | `Option` | `optional`: presence is explicit, so `Some(0)` is written |
//! | `Vec` | `repeated`, packed where the elements are numbers |
//! | map | `map`; with keys that proto3 doesn't allow, repeated messages of `key` and `value`, which are the same bytes |
//! | `Option`, `Vec` or map inside an `Option`, a `Vec`, a variant or as the value of a map | a message whose field 1 is the value |
//! | anything else as a whole message | a message whose field 1 is the value; `()` is the empty message |
//!
//! Zero values are left out and read back as zero; a struct in a field is written even if all of it is zero. If a field
//! occurs twice, the last value wins, and messages merge. Unknown fields are skipped, including the groups of proto2.
//! proto3 can't express other types, such as those that need a self-describing format: they are an error here, and
//! [`check`](crate::schema::check) finds them before the first call.
//!
//! Specification: <https://protobuf.dev/programming-guides/encoding/>.

mod de;
mod enums;
mod error;
mod ser;
#[cfg(test)]
mod tests;
mod wire;

pub use de::from_slice;
pub(crate) use de::{Message, read};
pub use enums::Codec;
pub(crate) use enums::{Enums, Output, Scope};
pub use error::Error;
pub(crate) use ser::encode;
pub use ser::to_vec;
