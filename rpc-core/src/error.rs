//! The one error of every wire: a [`Code`], a message for people, optional data for programs, and its [`Origin`].

use std::{
    fmt,
    io::{self, ErrorKind},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What every fallible function of the project returns.
pub type Result<T, E = RpcError> = std::result::Result<T, E>;

/// An error of a remote call.
///
/// On a server a method returns it and the wire sends it in its own form: a fault, an error object, a status. On a
/// client it comes back with the same code and message. [`origin`](Self::origin) then tells an error that the server sent from
/// one that the client found, such as a lost connection.
///
/// # Errors of your own
/// A method returns a type of its own through `?` if that type converts into this one, with its value as
/// [data](Self::with_details); the caller gets the value back with [`details`](Self::details):
///
/// ```
/// # use everywire_core::{RpcError, serde::{Deserialize, Serialize}};
/// # #[derive(Debug, PartialEq)]
/// #[derive(Serialize, Deserialize)]
/// # #[serde(crate = "everywire_core::serde")]
/// struct OutOfStock {
///     item: String,
///     left: u32,
/// }
///
/// impl From<OutOfStock> for RpcError {
///     fn from(error: OutOfStock) -> Self {
///         RpcError::failed_precondition(format!("only {} of {} are left", error.left, error.item)).with_details(&error)
///     }
/// }
///
/// let error = RpcError::from(OutOfStock { item: "pen".to_owned(), left: 2 });
/// assert_eq!(error.details::<OutOfStock>(), Some(OutOfStock { item: "pen".to_owned(), left: 2 }));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RpcError {
    code: Code,
    message: String,
    data: Option<Box<Value>>,
    origin: Origin,
}

/// Where an error was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In this process: by the method itself, or by a client that got no usable response.
    Local,
    /// At the peer, which sent it in a complete response.
    Remote,
}

impl RpcError {
    /// An error found by this process.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, origin: Origin::Local }
    }

    /// An error that the peer reported; for the clients of wires.
    pub fn remote(code: Code, message: impl Into<String>) -> Self {
        Self { origin: Origin::Remote, ..Self::new(code, message) }
    }

    /// The same error as its caller sees it.
    pub(crate) fn into_remote(self) -> Self {
        Self { origin: Origin::Remote, ..self }
    }

    /// An invariant of this process is broken. The detail goes to the log and never to the peer.
    pub fn internal(detail: impl fmt::Display) -> Self {
        if tracing::dispatcher::has_been_set() {
            tracing::error!(%detail, "internal error");
        } else {
            // The program has no log, and the caller is told to look there.
            eprintln!("internal error: {detail}");
        }
        Self::new(Code::Internal, "internal error; its detail is in the server's log")
    }

    /// Adds data for programs. XML-RPC and zerorpc have no place for it, and gRPC for 3 KiB: the repository's
    /// `docs/errors.md` lists what arrives over which wire.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Some(Box::new(data));
        self
    }

    /// Adds `details` as data, for programs that know their type. A value that JSON can't hold is left out.
    #[must_use]
    pub fn with_details(self, details: &impl Serialize) -> Self {
        match serde_json::to_value(details) {
            Ok(data) => self.with_data(data),
            Err(_) => self,
        }
    }

    /// The data as a value of the type that [`with_details`](Self::with_details) got; `None` if it is none.
    pub fn details<T: DeserializeOwned>(&self) -> Option<T> {
        T::deserialize(self.data()?).ok()
    }

    /// The code, the same on every wire.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The data for programs.
    pub fn data(&self) -> Option<&Value> {
        self.data.as_deref()
    }

    /// Where the error was found.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// As [`Display`](fmt::Display), with the data: what `main` prints when it returns an error.
impl fmt::Debug for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        self.data.as_ref().map_or(Ok(()), |data| write!(f, " {data}"))
    }
}

impl std::error::Error for RpcError {}

/// By the kind of the error: `NOT_FOUND`, `ALREADY_EXISTS`, `PERMISSION_DENIED`, `DEADLINE_EXCEEDED`, `RESOURCE_EXHAUSTED` for a full
/// disk, `UNAVAILABLE` for a connection. The message is the name of the kind, because that of the error may have paths and addresses.
/// Every other kind is [`internal`](RpcError::internal).
impl From<io::Error> for RpcError {
    fn from(error: io::Error) -> Self {
        let code = match error.kind() {
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::AlreadyExists => Code::AlreadyExists,
            ErrorKind::PermissionDenied => Code::PermissionDenied,
            ErrorKind::TimedOut => Code::DeadlineExceeded,
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::OutOfMemory => Code::ResourceExhausted,
            ErrorKind::InvalidInput => Code::InvalidArgument,
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::NotConnected
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
            | ErrorKind::AddrInUse => Code::Unavailable,
            _ => return Self::internal(error),
        };
        tracing::debug!(%error, "an error of input or output");
        Self::new(code, error.kind().to_string())
    }
}

/// Writes [`Code`] and one constructor of [`RpcError`] per code.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $constructor:ident;)+) => {
        /// The sixteen error codes of gRPC, with its numbers: the vocabulary of every wire here.
        ///
        /// Source: the status codes page of the gRPC documentation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$variant),+];

            /// The name in capitals, such as `NOT_FOUND`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)+ }
            }

            /// The name in camel case, such as `NotFound`.
            pub fn camel_name(self) -> &'static str {
                match self { $(Code::$variant => stringify!($variant),)+ }
            }
        }

        impl RpcError {
            $(codes!(@constructor $constructor $variant $name);)+
        }
    };
    (@constructor internal $variant:ident $name:literal) => {};
    (@constructor $constructor:ident $variant:ident $name:literal) => {
        #[doc = concat!("An error with the code `", $name, "`.")]
        pub fn $constructor(message: impl Into<String>) -> Self {
            Self::new(Code::$variant, message)
        }
    };
}

codes! {
    /// The caller cancelled the call.
    Cancelled = 1, "CANCELLED", cancelled;
    /// An error of an unknown kind.
    Unknown = 2, "UNKNOWN", unknown;
    /// The arguments are wrong, whatever the state of the service.
    InvalidArgument = 3, "INVALID_ARGUMENT", invalid_argument;
    /// The deadline passed before the call was done.
    DeadlineExceeded = 4, "DEADLINE_EXCEEDED", deadline_exceeded;
    /// What was asked for does not exist.
    NotFound = 5, "NOT_FOUND", not_found;
    /// What the call was to create exists already.
    AlreadyExists = 6, "ALREADY_EXISTS", already_exists;
    /// The caller is known but may not do this.
    PermissionDenied = 7, "PERMISSION_DENIED", permission_denied;
    /// A quota or a limit is used up.
    ResourceExhausted = 8, "RESOURCE_EXHAUSTED", resource_exhausted;
    /// The service is not in the state that the call needs.
    FailedPrecondition = 9, "FAILED_PRECONDITION", failed_precondition;
    /// A conflict with another call; a retry may succeed.
    Aborted = 10, "ABORTED", aborted;
    /// A value beyond the valid range, such as an overflow.
    OutOfRange = 11, "OUT_OF_RANGE", out_of_range;
    /// No such method.
    Unimplemented = 12, "UNIMPLEMENTED", unimplemented;
    /// A broken invariant, or a panic.
    Internal = 13, "INTERNAL", internal;
    /// The service is not available at the moment; a retry may succeed.
    Unavailable = 14, "UNAVAILABLE", unavailable;
    /// Data is lost or damaged.
    DataLoss = 15, "DATA_LOSS", data_loss;
    /// The caller is not known.
    Unauthenticated = 16, "UNAUTHENTICATED", unauthenticated;
}

impl Code {
    /// The number, 1 to 16.
    pub fn number(self) -> i32 {
        self as i32
    }

    /// The code with this number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }

    /// The code with this name in capitals.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }

    /// The code's number on wires that number their errors after the fault code interoperability list: three codes have
    /// a number there, and the others keep their own, which lies outside the list's range.
    pub fn fault_number(self) -> i32 {
        match self {
            Self::Unimplemented => fault_number::METHOD_NOT_FOUND,
            Self::InvalidArgument => fault_number::INVALID_PARAMS,
            Self::Internal => fault_number::INTERNAL_ERROR,
            other => other.number(),
        }
    }

    /// The code behind a number of the fault code interoperability list.
    ///
    /// `None` for a number outside the list: the small numbers mean something only to peers that use [`Code`].
    pub fn from_fault_number(number: i32) -> Option<Self> {
        match number {
            fault_number::METHOD_NOT_FOUND => Some(Self::Unimplemented),
            fault_number::INVALID_PARAMS => Some(Self::InvalidArgument),
            -32300 => Some(Self::Unavailable),
            -32702..=-32700 | fault_number::INVALID_REQUEST | fault_number::INTERNAL_ERROR | -32400 => {
                Some(Self::Internal)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Numbers of the fault code interoperability list (Dan Libby, 2001), which later specifications adopted.
pub mod fault_number {
    /// The request is not well formed.
    pub const PARSE_ERROR: i32 = -32700;
    /// The request is well formed and is not a request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// No such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The arguments do not fit the method.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The server failed.
    pub const INTERNAL_ERROR: i32 = -32603;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number_and_name() {
        for &code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(code));
            assert_eq!(Code::from_name(code.name()), Some(code));
        }
        assert_eq!(Code::ALL.len(), 16);
        assert_eq!(Code::from_number(0), None, "0 is OK and no error");
    }

    #[test]
    fn internal_detail_stays_in_the_process() {
        assert!(!RpcError::internal("password=hunter2").to_string().contains("hunter2"));
    }
}
