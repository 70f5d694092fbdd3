//! What stands around the values: `<methodCall>` and `<methodResponse>`.

use std::{borrow::Cow, sync::Arc};

use everywire_core::{
    Budget, Code, Limits, Result,
    wire::{Encoded, MessageBuffer},
};
use everywire_net::pull::Batch;
use serde::{
    Deserialize, Serialize,
    de::{DeserializeOwned, value::UnitDeserializer},
};

use crate::{
    codec::{Error, Nil, Params, Parser, Tag, Value, Writer, decode},
    fault::{Fault, unreadable, unsendable},
};

/// Room for an ordinary request or response, so that writing one grows nothing.
const CAPACITY: usize = 512;

const PROLOG: &str = r#"<?xml version="1.0"?>"#;

/// Writes the request for `method` with the fields of `args` as parameters.
pub(crate) fn method_call<A: Serialize>(method: &str, args: &A) -> Result<Vec<u8>, Error> {
    // A method's name is a Rust identifier, which needs no escaping.
    let start = start(&[PROLOG, "<methodCall><methodName>", method, "</methodName><params>"]);
    let mut out = MessageBuffer::unbounded(start);
    args.serialize(Writer::params(&mut out))?;
    out.extend_from_slice(b"</params></methodCall>");
    Ok(out.into_vec())
}

/// Reads a request as far as the name of its method.
pub(crate) fn read_method(document: &str, depth: usize) -> Result<(Cow<'_, str>, Parser<'_>), Error> {
    let mut parser = Parser::new(document, depth);
    parser.open(Tag::MethodCall)?;
    parser.open(Tag::MethodName)?;
    let name = parser.text_element()?;
    let name = match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.trim()),
        Cow::Owned(name) => Cow::Owned(name.trim().to_owned()),
    };
    Ok((name, parser))
}

/// Reads the parameters after the method's name, and makes sure that nothing follows the request.
pub(crate) fn read_params<'de, A: Deserialize<'de>>(mut parser: Parser<'de>) -> Result<A, Error> {
    let args = A::deserialize(Params(&mut parser))?;
    parser.finish()?;
    Ok(args)
}

/// Where the outcome of a call stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frame {
    /// In a response of its own.
    Response,
    /// Among the results of `system.multicall`: a value wrapped in an array, or a fault's struct.
    Batch,
}

impl Frame {
    /// Writes a reply.
    pub(crate) fn reply<R: Serialize>(self, reply: &R, nil: Nil, budget: &Arc<Budget>) -> Result<Encoded> {
        let (start, end) = self.around();
        framed(MessageBuffer::new(start, budget), reply, nil, end)
    }

    /// What stands before and behind a reply.
    fn around(self) -> (Vec<u8>, &'static str) {
        let (parts, end): (&[&str], _) = match self {
            Self::Response => (&[PROLOG, "<methodResponse><params><param>"], "</param></params></methodResponse>"),
            Self::Batch => (&["<value><array><data>"], "</data></array></value>"),
        };
        (start(parts), end)
    }

    /// Writes a part of a stream.
    pub(crate) fn batch(self, token: Option<&str>, batch: &Batch, budget: &Arc<Budget>) -> Result<Encoded> {
        let (start, end) = self.around();
        let mut out = MessageBuffer::new(start, budget);
        out.extend_from_slice(b"<value><struct>");
        if let Some(token) = token {
            out.extend_from_slice(b"<member><name>token</name><value><string>");
            out.extend_from_slice(token.as_bytes());
            out.extend_from_slice(b"</string></value></member>");
        }
        out.extend_from_slice(b"<member><name>values</name><value><array><data>");
        batch.iter().for_each(|item| out.extend_from_slice(item));
        out.extend_from_slice(b"</data></array></value></member><member><name>finished</name><value><boolean>");
        out.push(if batch.is_last() { b'1' } else { b'0' });
        out.extend_from_slice(b"</boolean></value></member></struct></value>");
        out.extend_from_slice(end.as_bytes());
        out.finish()
    }

    /// Writes a fault; or a short one if the budget has no room for it.
    pub(crate) fn fault(self, fault: impl Into<Fault>, budget: &Arc<Budget>) -> Encoded {
        let (parts, end): (&[&str], _) = match self {
            Self::Response => (&[PROLOG, "<methodResponse><fault>"], "</fault></methodResponse>"),
            Self::Batch => (&[], ""),
        };
        let write = |out, fault| framed(out, &fault, Nil::Written, end);
        // A fault's text is free of what XML can't carry, so that the buffer is full is the one thing that can go wrong here.
        write(MessageBuffer::new(start(parts), budget), fault.into())
            .or_else(|full| write(MessageBuffer::unbounded(start(parts)), full.into()))
            .unwrap_or_default()
    }
}

/// The beginning of a document.
fn start(parts: &[&str]) -> Vec<u8> {
    let mut start = Vec::with_capacity(CAPACITY);
    for part in parts {
        start.extend_from_slice(part.as_bytes());
    }
    start
}

/// Appends a value of a reply to `out`.
pub(crate) fn put_value<T: Serialize>(value: &T, nil: Nil, out: &mut MessageBuffer<'_>) -> Result<()> {
    value.serialize(Writer::value(out, nil)).map_err(|error| unsendable(Code::Internal, "reply", &error))
}

fn framed<T: Serialize>(mut out: MessageBuffer<'_>, value: &T, nil: Nil, end: &str) -> Result<Encoded> {
    put_value(value, nil, &mut out)?;
    out.extend_from_slice(end.as_bytes());
    out.finish()
}

/// Begins the response of `system.multicall`, to which the results that [`Frame::Batch`] wrote are appended.
pub(crate) fn multicall_start() -> Vec<u8> {
    start(&[PROLOG, "<methodResponse><params><param><value><array><data>"])
}

/// Ends the response of `system.multicall`.
pub(crate) const MULTICALL_END: &[u8] = b"</data></array></value></param></params></methodResponse>";

/// Reads a response whose content type names the encoding `charset`, if it names one; a fault is the error that the peer
/// reported.
pub(crate) fn read_response<R: DeserializeOwned>(body: &[u8], charset: Option<&str>, limits: &Limits) -> Result<R> {
    let read = || {
        let document = decode(body, charset, limits.decompressed_bytes)?;
        let mut parser = Parser::new(&document, limits.depth);
        parser.open(Tag::MethodResponse)?;
        let outcome = read_outcome(&mut parser)?;
        parser.close()?;
        parser.finish()?;
        Ok(outcome)
    };
    read().map_err(|error| unreadable(&error))?
}

fn read_outcome<R: DeserializeOwned>(parser: &mut Parser<'_>) -> Result<Result<R>, Error> {
    if parser.is_at(Tag::Fault)? {
        parser.open(Tag::Fault)?;
        let fault = Fault::deserialize(Value::new(parser))?;
        parser.close()?;
        return Ok(Err(fault.into()));
    }
    parser.open(Tag::Params)?;
    if !parser.is_at(Tag::Param)? {
        // Some servers respond like this if a method returns nothing.
        parser.close()?;
        return R::deserialize(UnitDeserializer::<Error>::new()).map(Ok);
    }
    parser.open(Tag::Param)?;
    let reply = R::deserialize(Value::new(parser))?;
    parser.close()?;
    parser.close()?;
    Ok(Ok(reply))
}

#[cfg(test)]
mod tests {
    use everywire_core::RpcError;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Add {
        a: i64,
        b: Option<i64>,
        c: Option<i64>,
    }

    fn read<'a, A: Deserialize<'a>>(document: &'a str) -> Result<(Cow<'a, str>, A), Error> {
        let (method, parser) = read_method(document, 8)?;
        Ok((method, read_params(parser)?))
    }

    #[test]
    fn a_request_has_golden_bytes() {
        let cases = [
            ("<param><value><int>3</int></value></param><param><value><int>4</int></value></param>", Some(4), None),
            ("<param><value><int>3</int></value></param>", None, None),
            (
                "<param><value><int>3</int></value></param><param><value><nil/></value></param>\
                 <param><value><int>5</int></value></param>",
                None,
                Some(5),
            ),
        ];
        for (params, b, c) in cases {
            let written = method_call("add", &Add { a: 3, b, c }).unwrap();
            let expected = format!(
                "<?xml version=\"1.0\"?><methodCall><methodName>add</methodName><params>{params}</params></methodCall>"
            );
            assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
        let expected =
            "<?xml version=\"1.0\"?><methodCall><methodName>panic</methodName><params></params></methodCall>";
        assert_eq!(method_call("panic", &()).unwrap(), expected.as_bytes());
        assert!(method_call("add", &3).is_err(), "a number is no arguments");
        let (method, (a, b)): (_, (i64, i64)) = read(
            "<methodCall><methodName> add</methodName><params><param><value><i4>3</i4></value></param>\n\
             <param><value><int>4</int></value></param></params></methodCall>\n",
        )
        .unwrap();
        assert_eq!((&*method, a, b), ("add", 3, 4));
    }

    #[test]
    fn a_response_has_golden_bytes() {
        let budget = Budget::new(Limits::default());
        let reply = Frame::Response.reply(&7, Nil::LeftOut, &budget).unwrap();
        let expected = "<?xml version=\"1.0\"?><methodResponse><params><param><value><int>7</int></value></param></params>\
                        </methodResponse>";
        assert_eq!(std::str::from_utf8(&reply), Ok(expected));
        assert_eq!(read_response::<i64>(&reply, None, &Limits::default()), Ok(7));

        let fault = Frame::Response.fault(RpcError::not_found("a < b"), &budget);
        let expected = "<?xml version=\"1.0\"?><methodResponse><fault><value><struct><member><name>faultCode</name><value>\
                        <int>5</int></value></member><member><name>faultString</name><value><string>NOT_FOUND: a &lt; b\
                        </string></value></member></struct></value></fault></methodResponse>";
        assert_eq!(std::str::from_utf8(&fault), Ok(expected));
        assert_eq!(
            read_response::<i64>(&fault, None, &Limits::default()),
            Err(RpcError::remote(Code::NotFound, "a < b"))
        );
    }

    #[test]
    fn a_part_of_a_stream_has_golden_bytes() {
        let budget = Budget::new(Limits::default());
        let part = Frame::Response.batch(Some("5b1c"), &Batch::default(), &budget).unwrap();
        let expected = "<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><member><name>token</name><value>\
                        <string>5b1c</string></value></member><member><name>values</name><value><array><data></data></array>\
                        </value></member><member><name>finished</name><value><boolean>0</boolean></value></member></struct>\
                        </value></param></params></methodResponse>";
        assert_eq!(std::str::from_utf8(&part), Ok(expected));
    }

    #[test]
    fn the_frames_of_a_multicall_fit_together() {
        let budget = Budget::new(Limits::default());
        let reply = Frame::Batch.reply(&7, Nil::LeftOut, &budget).unwrap();
        let fault = Frame::Batch.fault(RpcError::unimplemented("x"), &budget);
        let response = [&multicall_start(), &reply[..], &fault, MULTICALL_END].concat();
        let expected = "<?xml version=\"1.0\"?><methodResponse><params><param><value><array><data><value><array><data>\
                        <value><int>7</int></value></data></array></value><value><struct><member><name>faultCode</name>\
                        <value><int>-32601</int></value></member><member><name>faultString</name><value><string>x</string>\
                        </value></member></struct></value></data></array></value></param></params></methodResponse>";
        assert_eq!(std::str::from_utf8(&response), Ok(expected));
    }
}
