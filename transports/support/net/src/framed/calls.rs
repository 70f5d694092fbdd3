//! The calls of a connection.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::stream::{FuturesUnordered, StreamExt};

/// The calls of one connection that are not done, each with its channel: those that have begun and wait, and those whose
/// messages are held back until others are done.
pub struct Calls<C, M, F> {
    begun: FuturesUnordered<Begun<C, F>>,
    /// Those that have replied, and go on with another reply.
    continued: VecDeque<(C, M)>,
    held: VecDeque<Held<C, M>>,
    held_bytes: usize,
}

/// How much memory the messages that are held back may take. Beyond it nothing is read.
const HELD_BYTES: usize = 1 << 20;

pub(super) struct Begun<C, F> {
    /// None once it is cancelled or done.
    channel: Option<C>,
    call: Pin<Box<Option<F>>>,
}

struct Held<C, M> {
    channel: C,
    message: M,
    /// How much memory it takes.
    bytes: usize,
}

impl<C, M, F: Future> Calls<C, M, F> {
    /// How many calls have begun.
    pub fn len(&self) -> usize {
        self.begun.len() + self.continued.len()
    }

    /// Whether no call has begun, and so none is held back either.
    pub fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.continued.is_empty()
    }

    /// The channels of all calls.
    pub fn channels(&mut self) -> impl Iterator<Item = &mut C> {
        let begun = self.begun.iter_mut().filter_map(|begun| begun.channel.as_mut());
        let continued = self.continued.iter_mut().map(|(channel, _)| channel);
        begun.chain(continued).chain(self.held.iter_mut().map(|held| &mut held.channel))
    }

    /// Cancels the calls for whose channel `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&mut C) -> bool) {
        self.keep_held(|held| keep(&mut held.channel));
        self.continued.retain_mut(|(channel, _)| keep(channel));
        let mut all = true;
        for begun in &mut self.begun {
            begun.channel.take_if(|channel| !keep(channel));
            all &= begun.channel.is_some();
        }
        if !all {
            let begun = std::mem::take(&mut self.begun);
            self.begun = begun.into_iter().filter(|begun| begun.channel.is_some()).collect();
        }
    }

    /// Drops the messages held back for which `keep` is false.
    pub fn retain_held(&mut self, mut keep: impl FnMut(&mut M) -> bool) {
        self.keep_held(|held| keep(&mut held.message));
    }

    fn keep_held(&mut self, keep: impl FnMut(&mut Held<C, M>) -> bool) {
        self.held.retain_mut(keep);
        self.held_bytes = self.held.iter().map(|held| held.bytes).sum();
    }

    /// Cancels all calls.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How much memory the messages that are held back take.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Whether no more messages can be held back.
    pub(super) fn is_full(&self) -> bool {
        self.held_bytes >= HELD_BYTES
    }

    /// Holds back a message of `message_bytes`.
    pub(super) fn hold(&mut self, channel: C, message: M, message_bytes: usize) {
        let bytes = message_bytes + size_of::<Held<C, M>>();
        self.held_bytes += bytes;
        self.held.push_back(Held { channel, message, bytes });
    }

    /// Takes the first of the messages that are held back.
    #[inline]
    pub(super) fn pop_held(&mut self) -> Option<(C, M)> {
        let held = self.held.pop_front()?;
        self.held_bytes -= held.bytes;
        if self.held.is_empty() {
            // Its memory is not counted.
            self.held = VecDeque::new();
        }
        Some((held.channel, held.message))
    }

    /// Keeps what another reply of a call begins with.
    pub(super) fn push_continued(&mut self, channel: C, message: M) {
        self.continued.push_back((channel, message));
    }

    /// Takes the first call that goes on with another reply.
    pub(super) fn pop_continued(&mut self) -> Option<(C, M)> {
        self.continued.pop_front()
    }

    /// How many calls go on with another reply.
    #[inline]
    pub(super) fn continued(&self) -> usize {
        self.continued.len()
    }

    /// Keeps a call that has begun and has to wait.
    pub(super) fn push(&mut self, channel: C, call: Pin<Box<Option<F>>>) {
        self.begun.push(Begun { channel: Some(channel), call });
    }

    /// The next reply and its call's channel. While calls wait, the caller is woken at the next one.
    #[inline]
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<<Begun<C, F> as Future>::Output>> {
        if self.begun.is_empty() {
            return Poll::Ready(None);
        }
        self.begun.poll_next_unpin(cx)
    }
}

impl<C, F> Unpin for Begun<C, F> {}

impl<C, F: Future> Future for Begun<C, F> {
    /// None if it was cancelled.
    type Output = io::Result<Option<(C, F::Output)>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(call) = self.call.as_mut().as_pin_mut() else { return Poll::Ready(Ok(None)) };
        let polled = catch_unwind(AssertUnwindSafe(|| call.poll(cx)));
        let reply = ready!(polled.map_err(|_| io::Error::other("a call panicked"))?);
        Poll::Ready(Ok(self.channel.take().map(|channel| (channel, reply))))
    }
}

impl<C, M, F> Default for Calls<C, M, F> {
    fn default() -> Self {
        Self { begun: FuturesUnordered::new(), continued: VecDeque::new(), held: VecDeque::new(), held_bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use tokio::task::yield_now;

    use super::*;

    async fn call(number: u32, running: Arc<()>) -> u32 {
        assert_ne!(number, 13, "as asked");
        yield_now().await;
        drop(running);
        number
    }

    #[tokio::test]
    async fn cancelled_calls_are_dropped_at_once_and_the_others_go_on() {
        let (mut calls, running) = (Calls::<_, (), _>::default(), Arc::new(()));
        for number in 0..10 {
            calls.push(number, Box::pin(Some(call(number, Arc::clone(&running)))));
        }
        calls.retain(|channel| *channel % 2 == 0);
        assert_eq!((calls.len(), Arc::strong_count(&running)), (5, 1 + 5));
        let mut replies = Vec::new();
        while let Some(finished) = poll_fn(|cx| calls.poll_next(cx)).await {
            replies.extend(finished.unwrap());
        }
        replies.sort_unstable();
        assert_eq!(replies, [(0, 0), (2, 2), (4, 4), (6, 6), (8, 8)]);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let mut calls = Calls::<_, (), _>::default();
        calls.push((), Box::pin(Some(call(13, Arc::default()))));
        let finished = poll_fn(|cx| calls.poll_next(cx)).await.expect("an end of the call");
        assert_eq!(finished.expect_err("a panic").to_string(), "a call panicked");
        assert!(calls.is_empty());
    }

    #[test]
    fn messages_are_held_back_up_to_a_mebibyte() {
        let mut calls = Calls::<(), u32, std::future::Ready<()>>::default();
        let mut held = 0;
        while !calls.is_full() {
            calls.hold((), held, 100_000);
            held += 1;
        }
        assert_eq!(held, 11);
        calls.retain_held(|message| *message > 0);
        assert!(!calls.is_full());
        assert_eq!(
            std::iter::from_fn(|| calls.pop_held()).collect::<Vec<_>>(),
            (1..11).map(|held| ((), held)).collect::<Vec<_>>()
        );
        assert_eq!(calls.held_bytes(), 0);
    }
}
