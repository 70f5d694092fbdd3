//! XML-RPC over HTTP/1, as Python's `xmlrpc` speaks it. This is the call `add(3, 4)`:
//!
//! ```text
//! POST /RPC2 HTTP/1.1
//! host: 127.0.0.1:4242
//! content-type: text/xml; charset=utf-8
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
//! content-type: text/xml; charset=utf-8
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
//! | not well-formed; an unknown encoding; bytes that are invalid in it, or a character XML excludes | -32700; -32701; -32702 | the problem |
//! | no XML-RPC request, or nested too deep | -32600 | the problem |
//! | `UNIMPLEMENTED`, an unknown method | -32601 | the message |
//! | `INVALID_ARGUMENT`, bad arguments | -32602 | the message |
//! | `INTERNAL`, a panic | -32603 | the message |
//! | any other code | its number, 1 to 16 | `CODE_NAME: message` |
//!
//! Arguments are positions; trailing `None`s are left out. How values are written is in the table of [`to_string`]'s
//! format: integers beyond 32 bits as `<i8>` and `<biginteger>`, bytes as `<base64>`. An error's data does not travel.
//!
//! # Streams
//!
//! A method with a [stream](everywire_core::Streaming) replies with a struct: `values`, the items that are there at once; `finished`,
//! whether no more follow; and if more follow, `token`. `stream.next(token, received)`, where `received` is the number of items that have been
//! received, waits for the next ones and replies with `values` and `finished`: after 20 s without an item, with none.
//! `stream.abort(token)` ends the stream. In Python:
//!
//! ```text
//! part = server.count(1000)
//! received = len(part["values"])
//! while not part["finished"]:
//!     more = server.stream.next(part["token"], received)
//!     …
//! ```
//!
//! # What others send
//!
//! - **Encodings.** The encoding is that of the byte order mark, else the `charset` of the content type, else the `encoding`
//!   of the XML declaration, else UTF-8. All encodings of <https://encoding.spec.whatwg.org> are read. ISO-8859-1 and US-ASCII
//!   are what XML parsers take them for, not windows-1252: the first has no printable characters from 0x80 to 0x9F, the second
//!   nothing beyond 0x7F. A document that claims to be UTF-16 and evidently is not is read as UTF-8. What is sent is UTF-8.
//! - **Compression.** Requests and responses may be compressed with gzip or deflate; any other coding is 415 with an
//!   `Accept-Encoding`.
//! - **Nil.** The specification has none, and many clients can't read the extension `<nil/>`. So a struct member that is
//!   `None` is left out of a reply unless the client is known to read nil: its request has a `<nil/>` or the header
//!   `XMLRPC-Extensions: nil`, which this crate's client sends, or [`Server::nil`] says so. An array element, a map's value and
//!   a reply that is `None` or `()` as a whole can't be left out; they are `<nil/>` to every client. A method for clients
//!   without nil should return a struct or a list instead.
//! - **Long integers.** A client whose integers have 32 bits, such as Python's, can send a longer one as a string of decimal
//!   digits, wherever a `u32` or an integer of 64 or 128 bits is expected.
//! - **Arrays** may lack their `<data>`, and responses their only `<param>`, which is then nil.
//! - **`system.multicall`.** An entry may lack its `params`. An entry that is not a valid call gets a fault in its place, and
//!   the others run; only a document that is not well-formed gets one fault for all.
//! - **`system.methodSignature`** calls every integer `int`, the name that all clients know, even where greater values travel
//!   as `<i8>` and `<biginteger>`.
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
mod loopback;
mod schema;
mod server;
mod streams;

pub use client::Client;
pub use codec::{from_str, to_string};
#[doc(hidden)]
pub use loopback::Loopback;
pub use server::Server;
