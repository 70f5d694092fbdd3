//! What holds whatever a peer sends.
//!
//! The fuzz target of the same name looks for bytes that break it; the test replays those that it has found.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use everywire_core::{Budget, Limits, Origin, wire::Encoded};
use everywire_net::{encoding::Encoding, http1::Received};
use everywire_testing::{Choice, Echo, EchoClient, EchoService, Echoing, Several, Specimen, assert_same, at_once};
use serde::{Serialize, de::DeserializeOwned, de::IgnoredAny};

use crate::{
    call::{Around, answer},
    codec::{Nil, Parser, compare_cuts, decode, document},
    envelope::{Frame, read_response},
    loopback::Loopback,
};

static SERVICE: LazyLock<Arc<EchoService<Echoing>>> = LazyLock::new(|| Arc::new(EchoService::new(Echoing)));

static BUDGET: LazyLock<Arc<Budget>> = LazyLock::new(|| {
    Budget::new(Limits {
        depth: DEPTH,
        batch_calls: 4,
        message_bytes: BYTES,
        decompressed_bytes: BYTES,
        ..Limits::default()
    })
});

/// Those of a client: the answer to a multicall has two levels more than its calls.
static ANSWER_LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits { depth: DEPTH + 2, ..Limits::default() });

const BYTES: usize = 4 << 10;
const DEPTH: usize = 8;
/// The longest message of an error that this crate makes.
const MESSAGE_BYTES: usize = 1 << 10;

/// Reads `data` as the body of a request and as that of a response.
pub fn xmlrpc(data: &[u8]) {
    for encoding in [Encoding::Gzip, Encoding::Deflate] {
        let sent = Received { bytes: Bytes::copy_from_slice(data), reservation: BUDGET.reserve() };
        match encoding.decode(sent, &BUDGET) {
            Ok(body) => assert!(body.bytes.len() <= BYTES),
            Err(error) => assert!(error.message().len() <= MESSAGE_BYTES, "{error}"),
        }
    }
    match decode(data, None, BYTES) {
        Ok(document) => {
            assert!(matches!(document, Cow::Borrowed(_)) || document.len() <= BYTES);
            compare_cuts(&document);
            request(&document);
        }
        Err(error) => readable(&Frame::Response.fault(error, &BUDGET)),
    }
    for charset in ["utf-8", "us-ascii", "iso-8859-1", "windows-1252", "utf-16", "gb18030", "iso-2022-jp", "shift_jis"]
    {
        if let Ok(document) = decode(data, Some(charset), BYTES) {
            assert!(matches!(document, Cow::Borrowed(_)) || document.len() <= BYTES);
            Parser::new(&document, 0).skip_to_end().unwrap_or_default();
        }
    }
    response::<Specimen>(data);
    response::<Vec<Choice>>(data);
    response::<Several>(data);
    response::<()>(data);
    response::<(Vec<String>, char)>(data);
    response::<(i128, u128, f32)>(data);
    response::<BTreeMap<i64, BTreeMap<bool, Option<f64>>>>(data);
}

/// Every request has a well-formed answer, and what the client reads in it can be sent again, with the same answer.
fn request(request: &str) {
    let answer = at_once(answer_to(request, Nil::Written));
    assert!(answer.len() <= 8 * request.len() + 2 * BYTES, "the answer is out of proportion");
    readable(&answer);
    readable(&at_once(answer_to(request, Nil::LeftOut)));
    let client = EchoClient::new(Loopback::new(Arc::clone(&SERVICE), Arc::clone(&BUDGET)));
    if let Ok(value) = read_response::<Specimen>(&answer, None, &ANSWER_LIMITS) {
        assert_same(&at_once(client.specimen(value.clone())), &Ok(value));
    }
    if let Ok(value) = read_response::<Choice>(&answer, None, &ANSWER_LIMITS) {
        assert_same(&at_once(client.choice(value.clone())), &Ok(value));
    }
    if let Ok((a, b, c)) = read_response::<Several>(&answer, None, &ANSWER_LIMITS) {
        assert_same(&at_once(client.several(a, b.clone(), c.clone())), &Ok((a, b, c)));
    }
}

async fn answer_to(request: &str, nil: Nil) -> Encoded {
    answer(&*SERVICE, request, Around::nothing(&http::HeaderMap::new(), nil, &BUDGET)).await
}

/// An answer is a response to any client; and if it is a fault, a short one.
fn readable(answer: &[u8]) {
    let text = document(answer).expect("an answer has the characters of XML");
    Parser::new(text, 0).skip_to_end().expect("an answer is well-formed");
    if let Err(error) = read_response::<IgnoredAny>(answer, None, &ANSWER_LIMITS) {
        assert_eq!(error.origin(), Origin::Remote, "{text}: {error}");
        assert!(error.message().len() <= MESSAGE_BYTES, "{} bytes", error.message().len());
    }
}

/// What a client reads in a response is the same after it was written again; what it can't read is a short error.
fn response<T: Serialize + DeserializeOwned + Debug>(response: &[u8]) {
    match read_response::<T>(response, None, BUDGET.limits()) {
        Ok(value) => {
            let written =
                Frame::Response.reply(&value, Nil::Written, &BUDGET).expect("what XML-RPC brought it can carry");
            assert_same(&read_response(&written, None, BUDGET.limits()), &Ok(value));
        }
        Err(error) if error.origin() == Origin::Local => {
            assert!(error.message().len() <= MESSAGE_BYTES, "{} bytes", error.message().len());
        }
        Err(_) => {}
    }
}

#[cfg(test)]
#[test]
fn the_corpus_breaks_nothing() {
    everywire_testing::replay("xmlrpc", xmlrpc);
}
