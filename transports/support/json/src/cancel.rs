//! `$/cancelRequest`: the notification of language servers and `StreamJsonRpc` that cancels a call.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use everywire_core::wire::{CancellationToken, Encoded};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{envelope::Request, fault};

/// The name of the notification. Its parameters are `{"id": …}`, with the id of the call.
pub const CANCEL: &str = "$/cancelRequest";

/// The calls of one connection that its peer can cancel: those that have begun and are not done. They are found by the JSON
/// text of their ids.
#[derive(Debug, Default)]
pub struct Cancellable {
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    /// By id, and by a number, since a peer may use an id twice.
    tokens: BTreeMap<(String, u64), CancellationToken>,
    last: u64,
}

impl Cancellable {
    /// Runs the call with this `id`. Returns `None`, and drops the call, if it is cancelled first.
    pub(crate) async fn run<T>(&self, id: &str, mut call: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        // Most calls finish at the first poll and need no entry.
        if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
            return Some(done);
        }
        let entry = self.enter(id);
        entry.token.run_until_cancelled(call).await
    }

    /// Cancels the calls with the id in `params`. An id that no call has is ignored: the call may have ended in the meantime.
    pub(crate) fn cancel(&self, params: &str) {
        let Ok(Params { id }) = serde_json::from_str(params) else {
            return tracing::debug!("{CANCEL} without an id");
        };
        let from = (id.get().to_owned(), 0);
        let calls = self.calls();
        let same = calls.tokens.range(from..).take_while(|((other, _), _)| other == id.get());
        same.for_each(|(_, token)| token.cancel());
    }

    fn enter(&self, id: &str) -> Entry<'_> {
        let mut calls = self.calls();
        calls.last += 1;
        let (key, token) = ((id.to_owned(), calls.last), CancellationToken::new());
        calls.tokens.insert(key.clone(), token.clone());
        Entry { of: self, key, token }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The JSON text of the id that `message` cancels, if it is this notification.
pub fn cancelled_by(message: &[u8]) -> Option<&str> {
    // Nearly all messages do not have the name.
    let text = str::from_utf8(message).ok().filter(|text| text.contains(CANCEL))?;
    let request = Request::read(text).ok().filter(|request| request.id.is_none() && request.method == CANCEL)?;
    serde_json::from_str::<Params<'_>>(request.params?).ok().map(|params| params.id.get())
}

/// The answer to `message` if it is the call with this `id` and is cancelled before it has begun.
pub fn cancelled_before(message: &[u8], id: &str) -> Option<Encoded> {
    let call = Request::read(str::from_utf8(message).ok()?).ok()?;
    (call.id == Some(id)).then(|| fault::response(Some(id), &fault::request_cancelled()).into())
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

/// A call that can be cancelled, until it ends.
struct Entry<'a> {
    of: &'a Cancellable,
    key: (String, u64),
    token: CancellationToken,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.of.calls().tokens.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        pin::pin,
    };

    use futures_util::{FutureExt, future::join4};

    use super::*;

    #[test]
    fn a_cancellation_is_told_from_other_messages() {
        let cancel = |rest: &str| format!(r#"{{"jsonrpc":"2.0","method":"$/cancelRequest"{rest}}}"#);
        let cases = [
            (cancel(r#","params":{"id":"a"}"#), Some("\"a\"")),
            (cancel(r#","params":{"id":7}"#), Some("7")),
            (cancel(r#","id":1,"params":{"id":7}"#), None),
            (cancel(""), None),
            (r#"{"jsonrpc":"2.0","method":"echo","params":["$/cancelRequest"]}"#.to_owned(), None),
            ("$/cancelRequest".to_owned(), None),
        ];
        for (message, id) in cases {
            assert_eq!(cancelled_by(message.as_bytes()), id, "{message}");
        }
        let call = br#"{"jsonrpc":"2.0","id":7,"method":"wait"}"#;
        assert!(cancelled_before(call, "\"7\"").is_none());
        let answer = cancelled_before(call, "7").expect("it is that call");
        assert!(answer.as_ref().starts_with(br#"{"jsonrpc":"2.0","id":7,"error":{"code":-32800"#));
    }

    async fn wait(calls: &Cancellable, id: &str) -> Option<()> {
        calls.run(id, pin!(pending())).await
    }

    #[tokio::test]
    async fn calls_with_the_id_are_dropped_and_no_others() {
        let calls = Cancellable::default();
        let (first, second, same, text) = ("1", "2", "1", "\"1\"");
        let mut waiting =
            Box::pin(join4(wait(&calls, first), wait(&calls, second), wait(&calls, same), wait(&calls, text)));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(calls.calls().tokens.len(), 4);
        for params in ["{}", "[]", "7", "no JSON", r#"{"id":3}"#, r#"{"id":10}"#, r#"{"id":"2"}"#, r#"{"id":null}"#] {
            calls.cancel(params);
            assert!(waiting.as_mut().now_or_never().is_none(), "{params}");
            assert_eq!(calls.calls().tokens.len(), 4, "{params}");
        }
        calls.cancel(r#"{"id":1}"#);
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(calls.calls().tokens.keys().map(|(id, _)| &**id).collect::<Vec<_>>(), [text, second]);
        assert!(wait(&calls, "1").now_or_never().is_none(), "a later call is not cancelled");
        calls.cancel(r#"{"id":"1"}"#);
        calls.cancel(r#"{"reason":"late","id":2}"#);
        assert_eq!(waiting.await, (None, None, None, None));
        assert_eq!(calls.run("1", pin!(ready(7))).await, Some(7));
        assert!(calls.calls().tokens.is_empty());
    }
}
