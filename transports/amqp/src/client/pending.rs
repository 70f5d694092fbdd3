//! The calls of a connection that wait for their responses.

use std::{
    collections::{HashMap, HashSet},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use everywire_core::{Result, RpcError};
use lapin::{BasicProperties, types::ShortString};
use tokio::sync::{mpsc, oneshot};

use super::items::WINDOW_ITEMS;
use crate::envelope::{self, Position};

/// The calls that wait, by the numbers of their requests. `None` once the connection is lost.
pub(super) struct PendingCalls(Mutex<Option<HashMap<u64, Receiver>>>);

/// What a call waits for.
enum Receiver {
    Response(oneshot::Sender<Result<Response>>),
    /// Boxed, so that the others stay small.
    Items(Box<ItemReceiver>),
}

/// What a call waits for whose response has many items.
struct ItemReceiver {
    responses: mpsc::Sender<Result<Response>>,
    /// The address of the server, once the first response has come.
    server: Option<ShortString>,
    /// Whether a response has come since the last look at the servers.
    is_heard: bool,
}

pub(super) struct Response {
    pub(super) body: Vec<u8>,
    /// How many bytes the body had when it arrived.
    pub(super) received_bytes: usize,
    /// The address of the server, if it accepts cancellations.
    pub(super) server: Option<ShortString>,
    /// Its place among the responses to a call, if there are many.
    pub(super) position: Option<Position>,
}

/// A call that waits for one response, until it is dropped.
pub(super) struct Pending<'a> {
    calls: &'a PendingCalls,
    number: u64,
}

/// A server to be notified that nobody waits for its responses to the call with this number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwanted {
    pub(super) server: ShortString,
    pub(super) number: u64,
}

impl PendingCalls {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Some(HashMap::new())))
    }

    /// Whether the connection is not lost.
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Enters a call that waits for one response; none if the connection is lost.
    pub(super) fn enter(&self, number: u64) -> Option<(Pending<'_>, oneshot::Receiver<Result<Response>>)> {
        let (responder, response) = oneshot::channel();
        self.lock().as_mut()?.insert(number, Receiver::Response(responder));
        Some((Pending { calls: self, number }, response))
    }

    /// Enters a call that waits for many responses.
    pub(super) fn enter_items(&self, number: u64) -> Option<mpsc::Receiver<Result<Response>>> {
        // Each has an item, but for those that say that the items begin and that they end, and an error of ours.
        let (responses, receiver) = mpsc::channel(WINDOW_ITEMS as usize + 3);
        let receiving = ItemReceiver { responses, server: None, is_heard: true };
        self.lock().as_mut()?.insert(number, Receiver::Items(Box::new(receiving)));
        Some(receiver)
    }

    /// Removes a call that nobody waits for any longer. Returns its server if that sends more.
    pub(super) fn leave(&self, number: u64) -> Option<Unwanted> {
        match self.lock().as_mut()?.remove(&number)? {
            Receiver::Items(items) => items.server.map(|server| Unwanted { server, number }),
            Receiver::Response(_) => None,
        }
    }

    /// Delivers a response to the call that waits for it: the one with the correlation id among `properties`. Returns the server of a
    /// stream that nobody waits for.
    pub(super) fn deliver(&self, properties: &BasicProperties, response: Result<Response>) -> Option<Unwanted> {
        let number = envelope::number(properties)?;
        let mut calls = self.lock();
        let calls = calls.as_mut()?;
        let position = envelope::position(properties);
        let has_more = position.is_some_and(|position| !position.is_last);
        let unwanted = || envelope::server(properties).filter(|_| has_more).map(|server| Unwanted { server, number });
        match calls.get_mut(&number) {
            None => {
                tracing::debug!("a response arrived for which no call waits");
                // Only the first one: the server of a call that is dropped later is notified then.
                return unwanted().filter(|_| position.is_some_and(|position| position.number == 0));
            }
            Some(Receiver::Items(items)) if has_more => {
                items.is_heard = true;
                if items.server.is_none() {
                    items.server = envelope::server(properties);
                }
                if items.responses.try_send(response).is_ok() {
                    return None;
                }
                // It sends more than it may. The reader gets what has come, and then an error.
                calls.remove(&number);
            }
            Some(_) => {
                if let Some(receiver) = calls.remove(&number) {
                    receiver.end(response);
                }
            }
        }
        unwanted()
    }

    /// Ends the call whose request has these `properties`. A returned request is found this way, because lapin hands it to the next
    /// call that is confirmed, whichever that is.
    pub(super) fn fail(&self, properties: &BasicProperties, error: RpcError) {
        let Some(number) = envelope::number(properties) else { return };
        if let Some(receiver) = self.lock().as_mut().and_then(|calls| calls.remove(&number)) {
            receiver.end(Err(error));
        }
    }

    /// Ends all calls, because the connection is lost.
    pub(super) fn fail_all(&self, lost: &RpcError) {
        for (_, receiver) in self.lock().take().into_iter().flatten() {
            receiver.end(Err(lost.clone()));
        }
    }

    /// The servers of open streams from which nothing has come since this was asked last.
    pub(super) fn silent_servers(&self) -> HashSet<ShortString> {
        let mut calls = self.lock();
        let calls = calls.iter_mut().flat_map(HashMap::values_mut);
        let silent = |receiver: &mut Receiver| match receiver {
            Receiver::Items(items) => items.server.clone().filter(|_| !mem::take(&mut items.is_heard)),
            Receiver::Response(_) => None,
        };
        calls.filter_map(silent).collect()
    }

    /// Ends the streams of the server at this address, which is gone.
    pub(super) fn fail_streams_of(&self, server: &ShortString, error: &RpcError) {
        let mut calls = self.lock();
        let Some(calls) = calls.as_mut() else { return };
        let is_of =
            |receiver: &Receiver| matches!(receiver, Receiver::Items(items) if items.server.as_ref() == Some(server));
        for (_, receiver) in calls.extract_if(|_, receiver| is_of(receiver)) {
            receiver.end(Err(error.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Receiver>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Receiver {
    /// Delivers the last response, or why there is none.
    fn end(self, response: Result<Response>) {
        match self {
            Self::Response(responder) => drop(responder.send(response)),
            Self::Items(items) => drop(items.responses.try_send(response)),
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.calls.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use everywire_core::Code;

    use super::*;

    const SERVER: &str = "amq.rabbitmq.reply-to.one";

    /// Delivers a message of the stream 7, and returns whether its server is to be notified.
    fn deliver(calls: &PendingCalls, number: u64, is_last: bool) -> bool {
        let position = Position { number, is_last };
        let properties = envelope::with_position(BasicProperties::default(), position)
            .with_correlation_id("7".into())
            .with_reply_to(SERVER.into());
        let response = Response { body: Vec::new(), received_bytes: 0, server: None, position: Some(position) };
        let unwanted = calls.deliver(&properties, Ok(response));
        assert!(unwanted.is_none() || unwanted == Some(Unwanted { server: SERVER.into(), number: 7 }));
        unwanted.is_some()
    }

    #[test]
    fn the_server_of_a_stream_that_nobody_waits_for_is_notified() {
        let calls = PendingCalls::new();
        assert!(deliver(&calls, 0, false), "it was dropped before it began");
        assert!(!deliver(&calls, 1, false), "once");
        assert!(!deliver(&calls, 0, true), "it has ended");
        let (_pending, mut response) = calls.enter(7).unwrap();
        assert!(deliver(&calls, 0, false), "a call that has one response");
        assert!(response.try_recv().unwrap().is_ok());
        let _items = calls.enter_items(7).unwrap();
        assert_eq!(calls.leave(7), None, "no server is known");
        let _items = calls.enter_items(7).unwrap();
        assert!(!deliver(&calls, 0, false));
        assert!(calls.leave(7).is_some());
        let mut items = calls.enter_items(7).unwrap();
        assert!(!deliver(&calls, 0, false) && !deliver(&calls, 1, true));
        assert_eq!(calls.leave(7), None, "it has ended");
        assert!(items.try_recv().is_ok() && items.try_recv().is_ok() && items.try_recv().is_err());
    }

    #[test]
    fn a_stream_whose_server_sends_more_than_it_may_ends() {
        let (calls, mut received) = (PendingCalls::new(), 0);
        let mut items = calls.enter_items(7).unwrap();
        let sent = (0..10_000).find(|number| deliver(&calls, *number, false)).unwrap();
        while items.try_recv().is_ok() {
            received += 1;
        }
        assert_eq!((received, items.is_closed()), (sent, true));
        assert!(sent > u64::from(WINDOW_ITEMS), "{sent}");
    }

    #[test]
    fn the_streams_of_a_silent_server_end_when_it_is_gone() {
        let calls = PendingCalls::new();
        let mut items = calls.enter_items(7).unwrap();
        assert!(calls.silent_servers().is_empty());
        deliver(&calls, 0, false);
        assert!(calls.silent_servers().is_empty(), "it was heard");
        let server = ShortString::from(SERVER);
        assert_eq!(calls.silent_servers().into_iter().collect::<Vec<_>>(), std::slice::from_ref(&server));
        items.try_recv().unwrap().map(drop).unwrap();
        calls.fail_streams_of(&"amq.rabbitmq.reply-to.two".into(), &RpcError::unavailable("gone"));
        assert!(items.try_recv().is_err() && !items.is_closed());
        calls.fail_streams_of(&server, &RpcError::unavailable("gone"));
        assert_eq!(items.try_recv().unwrap().map(drop).unwrap_err().code(), Code::Unavailable);
        assert!(items.is_closed());
    }
}
