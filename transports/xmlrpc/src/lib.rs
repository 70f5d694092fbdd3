//! XML-RPC over HTTP/1, as Python's `xmlrpc` speaks it. This is the call `add(3, 4)`:
//!
//! ```text
//! POST /RPC2 HTTP/1.1
//! host: 127.0.0.1:4242
//! content-type: text/xml
//! content-length: 175
//!
//! <?xml version="1.0"?>
//! <methodCall>
//!   <methodName>add</methodName>
//!   <params>
//!     <param><value><int>3</int></value></param>
//!     <param><value><int>4</int></value></param>
//!   </params>
//! </methodCall>
//!
//! HTTP/1.1 200 OK
//! content-type: text/xml
//! content-length: 113
//!
//! <?xml version="1.0"?>
//! <methodResponse>
//!   <params>
//!     <param><value><int>7</int></value></param>
//!   </params>
//! </methodResponse>
//! ```
//!
//! (The wire has no line breaks between elements.) An error is a fault, still with the status 200:
//!
//! ```text
//! <methodResponse><fault><value><struct>
//!   <member><name>faultCode</name><value><int>5</int></value></member>
//!   <member><name>faultString</name><value><string>NOT_FOUND: no such lock</string></value></member>
//! </struct></value></fault></methodResponse>
//! ```
//!
//! | error | fault code | fault string |
//! |---|---|---|
//! | not well-formed; not UTF-8; a character XML has not | -32700; -32701; -32702 | the problem |
//! | no XML-RPC request, or nested too deep | -32600 | the problem |
//! | `UNIMPLEMENTED`, an unknown method | -32601 | the message |
//! | `INVALID_ARGUMENT`, bad arguments | -32602 | the message |
//! | `INTERNAL`, a panic | -32603 | the message |
//! | any other code | its number, 1 to 16 | `CODE_NAME: message` |
//!
//! Arguments are positions; trailing `None`s are left out. How values are written is in the table of [`to_string`]'s
//! format: integers beyond 32 bits as `<i8>` and `<biginteger>`, `None` as `<nil/>`, bytes as `<base64>`. An error's data
//! does not travel.
//!
//! Spec: <http://xmlrpc.com/spec.md>; fault codes: <http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php>;
//! reference behaviour: `Lib/xmlrpc` of Python.

mod body;
mod call;
mod client;
mod codec;
mod envelope;
mod fault;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod link;
mod loopback;
mod pool;
mod schema;
mod server;

pub use client::Client;
pub use codec::{from_str, to_string};
#[doc(hidden)]
pub use loopback::Loopback;
pub use server::Server;
