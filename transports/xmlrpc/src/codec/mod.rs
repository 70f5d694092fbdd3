//! The values of XML-RPC as a serde format, written and read in one pass with no tree between.
//!
//! | serde | written as | also read from |
//! |---|---|---|
//! | integers | `<int>` within 32 bits, `<i8>` within 64, else `<biginteger>` | `i1`, `i2`, `i4`, under any prefix (`ex:i8`); beyond `i32`, decimal digits in a `<string>` |
//! | `bool` | `<boolean>` | |
//! | floats | `<double>`, shortest form that reads back the same; `inf`, `nan` | `float`, `bigdecimal` |
//! | strings, `char` | `<string>` | text without a type, `<dateTime.iso8601>` |
//! | bytes | `<base64>` | which also reads as a sequence of `u8` |
//! | sequences, tuples | `<array>` | an `<array>` without `<data>` |
//! | structs, maps | `<struct>`; keys may be strings, numbers, booleans | |
//! | `None`, `()` | `<nil/>`; in a reply, a member of a struct may be left out | `ex:nil`; a member that is missing |
//! | enums | a `<string>`, or a `<struct>` with one member named like the variant | |
//!
//! Spec: <http://xmlrpc.com/spec.md>; `nil` and the `ex:` types: <https://ws.apache.org/xmlrpc/types.html>.

mod charset;
mod compound;
mod de;
mod elements;
mod error;
mod lexer;
mod nil;
mod params;
mod parser;
mod scalar;
mod ser;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod writer;

use everywire_core::{Limits, Result, RpcError, wire::MessageBuffer};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use charset::decode;
pub(crate) use error::{Error, Kind};
#[cfg(any(test, fuzzing))]
pub(crate) use lexer::compare_cuts;
pub(crate) use nil::Nil;
pub(crate) use params::{BatchParams, Params};
pub(crate) use parser::{Parser, Tag};
pub(crate) use text::{document, sanitized};
pub(crate) use value::{RawValue, Value};
pub(crate) use writer::Writer;

/// Writes `value` as a `<value>` element.
///
/// The error is `INVALID_ARGUMENT`: a string with a character that XML 1.0 has no way to write, such as U+0000, or a map
/// whose keys are not strings, numbers or booleans.
///
/// ```
/// assert_eq!(everywire_xmlrpc::to_string(&7)?, "<value><int>7</int></value>");
/// # Ok::<(), everywire_core::RpcError>(())
/// ```
pub fn to_string<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let mut out = MessageBuffer::unbounded(Vec::new());
    value
        .serialize(Writer::value(&mut out, Nil::Written))
        .map_err(|error| RpcError::invalid_argument(error.to_string()))?;
    String::from_utf8(out.into_vec()).map_err(RpcError::internal)
}

/// Reads a `<value>` element, at most [`Limits::depth`]'s default deep.
///
/// The error is `INVALID_ARGUMENT`: not well-formed, not XML-RPC, or not a `T`.
///
/// ```
/// assert_eq!(everywire_xmlrpc::from_str::<i64>("<value><i4>7</i4></value>"), Ok(7));
/// ```
pub fn from_str<T: DeserializeOwned>(value: &str) -> Result<T> {
    let read = || {
        let mut parser = Parser::new(document(value.as_bytes())?, Limits::default().depth);
        let value = T::deserialize(Value::new(&mut parser))?;
        parser.finish()?;
        Ok(value)
    };
    read().map_err(|error: Error| RpcError::invalid_argument(error.to_string()))
}
