//! What is sent of the contexts of calls, put into the requests that jsonrpsee writes: it has no place for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jsonrpsee_core::client::TransportSenderT;

/// The members of requests that are about to be sent, by the ids of the requests.
#[derive(Debug, Clone, Default)]
pub(super) struct Beside(Arc<Mutex<HashMap<u64, String>>>);

/// Forgets what it is about when it is dropped.
pub(super) struct Kept<'a> {
    beside: &'a Beside,
    id: u64,
}

impl Beside {
    /// Puts `members` into the request with this `id` when it is sent.
    pub(super) fn keep(&self, id: u64, members: String) -> Option<Kept<'_>> {
        (!members.is_empty()).then(|| {
            self.members().insert(id, members);
            Kept { beside: self, id }
        })
    }

    /// The message with its members.
    fn put_into(&self, message: String) -> String {
        const START: &str = r#"{"jsonrpc":"2.0","id":"#;
        let id = message.strip_prefix(START).and_then(|rest| rest.split(',').next()?.parse().ok());
        let members = id.and_then(|id: u64| self.members().remove(&id));
        match members {
            Some(members) => format!("{{{members},{}", &message[1..]),
            None => message,
        }
    }

    fn members(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.beside.members().remove(&self.id);
    }
}

/// The sending half of a WebSocket.
pub(super) struct Sender<S> {
    pub(super) sender: S,
    pub(super) beside: Beside,
}

impl<S: TransportSenderT + Send> TransportSenderT for Sender<S> {
    type Error = S::Error;

    async fn send(&mut self, message: String) -> Result<(), S::Error> {
        self.sender.send(self.beside.put_into(message)).await
    }

    async fn send_ping(&mut self) -> Result<(), S::Error> {
        self.sender.send_ping().await
    }

    async fn close(&mut self) -> Result<(), S::Error> {
        self.sender.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_go_into_their_request_and_no_other() {
        let beside = Beside::default();
        let request = |id: u64| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"add","params":[]}}"#);
        let kept = beside.keep(7, r#""timeout_ms":5"#.to_owned());
        assert!(kept.is_some() && beside.keep(8, String::new()).is_none());
        assert_eq!(beside.put_into(request(8)), request(8));
        let expected = r#"{"timeout_ms":5,"jsonrpc":"2.0","id":7,"method":"add","params":[]}"#;
        assert_eq!(beside.put_into(request(7)), expected);
        assert_eq!(beside.put_into(request(7)), request(7), "once");
        drop(beside.keep(9, r#""timeout_ms":5"#.to_owned()));
        assert_eq!(beside.put_into(request(9)), request(9), "a dropped call");
        assert_eq!(beside.put_into("[]".to_owned()), "[]");
    }
}
