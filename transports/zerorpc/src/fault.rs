//! [`RpcError`] to the triple of an `ERR` event, `[name, message, traceback]`, and back.
//!
//! | code | name |
//! |---|---|
//! | `UNIMPLEMENTED` | `NameError`, as Python's server says for an unknown method |
//! | `INVALID_ARGUMENT` | `TypeError`, as Python says for wrong arguments |
//! | `INTERNAL` | `InternalError`; `ParseError` where the request was unreadable |
//! | any other | its name in camel case, such as `NotFound` |
//!
//! The traceback is nil: Python's `RemoteError` shows a traceback instead of `name: message`. The triple has no room for
//! [`RpcError::data`].

use everywire_core::{Code, RpcError, wire::MessageBuffer};
use rmp_serde::encode::Error;

use crate::msgpack::{get_value, put_value};

/// The name of the error for a request that can't be read.
const PARSE_ERROR: &str = "ParseError";

/// Appends the args of the `ERR` event for `error`.
pub(crate) fn put(output: &mut MessageBuffer<'_>, error: &RpcError) -> Result<(), Error> {
    put_triple(output, name(error.code()), error.message())
}

/// Appends the args of the `ERR` event for a request that can't be read.
pub(crate) fn put_unreadable(output: &mut MessageBuffer<'_>) -> Result<(), Error> {
    put_triple(output, PARSE_ERROR, "the request is not MessagePack of [header, name, args]")
}

/// The error of an `ERR` event with these args.
pub(crate) fn read(args: &[u8]) -> RpcError {
    match get_value::<(String, String, Option<String>)>(args, 1) {
        Ok((name, message, _)) => match code(&name) {
            Some(code) => RpcError::remote(code, message),
            // An exception of a Python server, such as ValueError: its name is all that is known of its kind.
            None => RpcError::remote(Code::Unknown, format!("{name}: {message}")),
        },
        Err(error) => RpcError::remote(Code::Internal, format!("the server's error can't be read: {error}")),
    }
}

fn put_triple(output: &mut MessageBuffer<'_>, name: &str, message: &str) -> Result<(), Error> {
    put_value(output, &(name, message, ()))
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Unimplemented => "NameError",
        Code::InvalidArgument => "TypeError",
        Code::Internal => "InternalError",
        other => other.camel_name(),
    }
}

fn code(found: &str) -> Option<Code> {
    if found == PARSE_ERROR {
        return Some(Code::Internal);
    }
    Code::ALL.iter().copied().find(|code| name(*code) == found)
}

#[cfg(test)]
mod tests {
    use everywire_core::Origin;

    use super::*;

    #[test]
    fn every_code_there_and_back() {
        for &code in Code::ALL {
            for message in ["", "no such lock: `ß` 🔒"] {
                let mut args = MessageBuffer::unbounded(Vec::new());
                put(&mut args, &RpcError::new(code, message)).unwrap();
                let error = read(&args);
                assert_eq!((error.code(), error.message(), error.origin()), (code, message, Origin::Remote));
            }
        }
    }

    #[test]
    fn the_triple_as_bytes() {
        let mut args = MessageBuffer::unbounded(Vec::new());
        put(&mut args, &RpcError::unimplemented("add")).unwrap();
        assert_eq!(*args, *b"\x93\xa9NameError\xa3add\xc0");
        let mut args = MessageBuffer::unbounded(Vec::new());
        put_unreadable(&mut args).unwrap();
        assert!(args.starts_with(b"\x93\xaaParseError"));
        assert_eq!(read(&args).code(), Code::Internal);
    }

    #[test]
    fn names_of_the_table() {
        let rows = [
            (Code::Unimplemented, "NameError"),
            (Code::InvalidArgument, "TypeError"),
            (Code::Internal, "InternalError"),
            (Code::NotFound, "NotFound"),
            (Code::DeadlineExceeded, "DeadlineExceeded"),
            (Code::Unknown, "Unknown"),
        ];
        for (code, expected) in rows {
            assert_eq!(name(code), expected);
        }
    }

    #[test]
    fn what_a_python_server_raises_keeps_its_name() {
        let error = read(b"\x93\xaaValueError\xa3bad\xa9Traceback");
        assert_eq!((error.code(), error.message()), (Code::Unknown, "ValueError: bad"));
        let error = read(b"\x91\xa3bad");
        assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote));
    }
}
