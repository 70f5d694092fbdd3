//! Errors as faults.
//!
//! A fault is a number and a text. Three codes have a number in the fault code interoperability list and travel with
//! their plain message; any other code travels as its own number and `CODE_NAME: message`. Coming back, number and name
//! must agree: Python's servers send the number 1 for everything, which is no `CANCELLED`. An error's data has no place
//! here and stays behind.
//!
//! Source: <http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php>.

use everywire_core::{Code, RpcError};
use serde::{Deserialize, Serialize};

use crate::codec::{Error, Kind, sanitized};

/// The struct inside `<fault>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    fault_code: i32,
    fault_string: String,
}

impl From<RpcError> for Fault {
    fn from(error: RpcError) -> Self {
        let (code, message) = (error.code(), sanitized(error.message()));
        let listed = Code::from_fault_number(code.fault_number()).is_some();
        let fault_string = if listed { message.into_owned() } else { format!("{code}: {message}") };
        Self { fault_code: code.fault_number(), fault_string }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        if error.kind() == Kind::Length {
            return RpcError::resource_exhausted(error.to_string()).into();
        }
        Self { fault_code: error.kind().number(), fault_string: sanitized(&error.to_string()).into_owned() }
    }
}

impl From<Fault> for RpcError {
    fn from(Fault { fault_code, fault_string }: Fault) -> Self {
        if let Some(code) = Code::from_fault_number(fault_code) {
            return Self::remote(code, fault_string);
        }
        let named = fault_string.split_once(": ").and_then(|(name, message)| Some((Code::from_name(name)?, message)));
        match named {
            Some((code, message)) if code.number() == fault_code => Self::remote(code, message),
            _ => Self::remote(Code::Unknown, format!("fault {fault_code}: {fault_string}")),
        }
    }
}

/// The error for an argument or a reply that XML-RPC can't carry, before any peer has seen it.
pub(crate) fn unsendable(code: Code, what: &str, error: &Error) -> RpcError {
    RpcError::new(code, format!("XML-RPC can't carry the {what}: {error}"))
}

/// What a client concludes from a response it can't read.
pub(crate) fn unreadable(error: &Error) -> RpcError {
    let (code, problem) = match error.kind() {
        Kind::Type => (Code::Internal, "is of another type"),
        Kind::Length => (Code::ResourceExhausted, "is too long"),
        _ => (Code::Internal, "is not an XML-RPC response"),
    };
    RpcError::new(code, format!("the response {problem}: {error}"))
}

#[cfg(test)]
mod tests {
    use everywire_core::Origin;

    use super::*;

    fn fault(number: i32, text: &str) -> Fault {
        Fault { fault_code: number, fault_string: text.to_owned() }
    }

    #[test]
    fn every_code_goes_there_and_back() {
        for &code in Code::ALL {
            for message in ["", "plain", "NOT_FOUND: nested", "a: b\n<&>\u{1F980}"] {
                let back = RpcError::from(Fault::from(RpcError::new(code, message)));
                assert_eq!((back.code(), back.message(), back.origin()), (code, message, Origin::Remote));
            }
        }
    }

    #[test]
    fn numbers_and_texts_are_those_of_the_list() {
        let cases = [
            (RpcError::unimplemented("x"), fault(-32601, "x")),
            (RpcError::invalid_argument("x"), fault(-32602, "x")),
            (RpcError::new(Code::Internal, "x"), fault(-32603, "x")),
            (RpcError::not_found("x"), fault(5, "NOT_FOUND: x")),
            (RpcError::cancelled("x"), fault(1, "CANCELLED: x")),
            (RpcError::aborted("a\0b"), fault(10, "ABORTED: a\u{fffd}b")),
            (RpcError::not_found("x").with_data(true.into()), fault(5, "NOT_FOUND: x")),
        ];
        for (error, expected) in cases {
            assert_eq!(Fault::from(error.clone()), expected, "{error}");
        }
    }

    #[test]
    fn foreign_faults_become_errors() {
        let cases = [
            (1, "<class 'KeyError'>:'x'", Code::Unknown, "fault 1: <class 'KeyError'>:'x'"),
            (5, "CANCELLED: x", Code::Unknown, "fault 5: CANCELLED: x"),
            (4, "Too many parameters.", Code::Unknown, "fault 4: Too many parameters."),
            (-32500, "x", Code::Unknown, "fault -32500: x"),
            (-32700, "x", Code::Internal, "x"),
            (-32701, "x", Code::Internal, "x"),
            (-32600, "x", Code::Internal, "x"),
            (-32300, "x", Code::Unavailable, "x"),
            (i32::MIN, "", Code::Unknown, "fault -2147483648: "),
        ];
        for (number, text, code, message) in cases {
            let error = RpcError::from(fault(number, text));
            assert_eq!((error.code(), error.message()), (code, message), "{number} {text}");
        }
    }

    #[test]
    fn broken_documents_have_the_numbers_of_the_list() {
        let cases = [
            (Kind::Syntax, -32700),
            (Kind::Encoding, -32701),
            (Kind::Character, -32702),
            (Kind::Structure, -32600),
            (Kind::Type, -32602),
        ];
        for (kind, number) in cases {
            assert_eq!(Fault::from(Error::new(kind, "x")), fault(number, "x"), "{kind:?}");
        }
        assert_eq!(Fault::from(Error::new(Kind::Length, "x")), fault(8, "RESOURCE_EXHAUSTED: x"));
    }
}
