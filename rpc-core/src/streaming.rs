//! Replies of many items.

mod served;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::sync::mpsc;

use self::served::Served;
pub use self::served::encode_item;
pub(crate) use self::served::{Guards, KnownGuards, end_with, keep_until_end, past_deadline};
use crate::error::{Result, RpcError};

/// A reply of many items: `async fn watch(&self) -> Result<Streaming<u32>>` in the trait of a service.
///
/// The items follow one another in order. One that is an error is the last. Nothing runs ahead: the next item is asked for when there is
/// room to send it, so a caller that reads slowly slows the method down. Dropping a `Streaming` ends it on both sides.
///
/// ```
/// # use everywire_core::{Result, Streaming};
/// async fn ids(count: u64) -> Result<Streaming<u64>> {
///     Ok(Streaming::of(0..count))
/// }
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let mut ids = ids(2).await?;
/// assert_eq!(ids.next().await, Some(Ok(0)));
/// assert_eq!(ids.next().await, Some(Ok(1)));
/// assert_eq!(ids.next().await, None);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// A server sends a stream until it ends, its caller drops it or disconnects, or the caller's deadline passes; after that at most 32 items
/// follow that are there at once. A shutdown ends it with
/// `UNAVAILABLE` after the grace period. An open stream counts as a call that [waits](crate::descriptor::Method::waits): it is limited
/// by `waiting_calls` and `calls_in_all`. The limit `call_time` ends when the stream begins.
pub struct Streaming<T> {
    /// None after the last one.
    items: Option<BoxStream<'static, Result<T>>>,
    ends: Vec<End>,
    /// How many items came since `ends` were checked.
    since_check: u32,
    /// The call whose reply it is, on a server.
    served: Option<Served>,
}

/// After how many items that were there at once `ends` are checked.
const CHECK_EVERY: u32 = 32;

/// What ends a stream before its last item, and with which error.
struct End {
    moment: BoxFuture<'static, ()>,
    error: Box<dyn Fn() -> RpcError + Send>,
}

impl<T: 'static> Streaming<T> {
    /// The items of `items`.
    pub fn new(items: impl Stream<Item = Result<T>> + Send + 'static) -> Self {
        Self { items: Some(items.boxed()), ends: Vec::new(), since_check: 0, served: None }
    }

    /// The items of `items`, which are there at once.
    pub fn of<I>(items: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self::new(stream::iter(items.into_iter().map(Ok)))
    }

    /// The items that `make` sends. It runs only while the next item is waited for. If it returns an error, that is the last item.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use everywire_core::Streaming;
    /// let ticks = Streaming::produce(|items| async move {
    ///     for tick in 0.. {
    ///         items.send(tick).await?;
    ///         tokio::time::sleep(Duration::from_secs(1)).await;
    ///     }
    ///     Ok(())
    /// });
    /// # let _: Streaming<u32> = ticks;
    /// ```
    pub fn produce<F>(make: impl FnOnce(ItemSender<T>) -> F) -> Self
    where
        T: Send,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, mut receiver) = mpsc::channel(1);
        let mut making = Some(Box::pin(make(ItemSender(sender))));
        let mut outcome = Ok(());
        Self::new(stream::poll_fn(move |cx| {
            if let Some(Poll::Ready(made)) = making.as_mut().map(|making| making.as_mut().poll(cx)) {
                (making, outcome) = (None, made);
            }
            receiver.poll_recv(cx).map(|item| match item {
                Some(item) => Some(Ok(item)),
                None => std::mem::replace(&mut outcome, Ok(())).err().map(Err),
            })
        }))
    }

    /// Ends the stream with `error` when `moment` completes, if there is one.
    pub(crate) fn until<F>(mut self, moment: Option<F>, error: impl Fn() -> RpcError + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.ends.extend(moment.map(|moment| End { moment: moment.boxed(), error: Box::new(error) }));
        self
    }

    /// Ready with the error if the stream is ended before its last item, as by the deadline of its call. For authors of wires, which can't
    /// always ask for the next item: ask this meanwhile.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<RpcError> {
        for End { moment, error } in &mut self.ends {
            if moment.poll_unpin(cx).is_ready() {
                let error = error();
                self.close();
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }

    /// Drops what makes the items, and then what is kept until their end.
    fn close(&mut self) {
        self.items = None;
        (self.ends, self.served) = (Vec::new(), None);
    }

    /// The next item; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<T>> {
        StreamExt::next(self).await
    }
}

impl<T: 'static> Stream for Streaming<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        let is_checked = this.since_check == 0;
        if is_checked && let Poll::Ready(error) = this.poll_end(cx) {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(items) = &mut this.items else { return Poll::Ready(None) };
        let polled = match &this.served {
            Some(served) => served.poll(|| items.poll_next_unpin(cx)),
            None => items.poll_next_unpin(cx),
        };
        match &polled {
            Poll::Ready(Some(Ok(_))) => this.since_check = (this.since_check + 1) % CHECK_EVERY,
            Poll::Ready(_) => this.close(),
            Poll::Pending => {
                this.since_check = 0;
                if !is_checked && let Poll::Ready(error) = this.poll_end(cx) {
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        polled
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").finish_non_exhaustive()
    }
}

/// Where [`Streaming::produce`] takes its items from.
#[derive(Debug)]
pub struct ItemSender<T>(mpsc::Sender<T>);

impl<T> ItemSender<T> {
    /// Sends an item, and waits until it has been taken. `CANCELLED` if nobody takes any more.
    pub async fn send(&self, item: T) -> Result<()> {
        let cancelled = || RpcError::cancelled("nobody takes the items of the stream");
        self.0.send(item).await.map_err(|_| cancelled())?;
        // There is room again once the item has been taken.
        self.0.reserve().await.map(drop).map_err(|_| cancelled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all<T: 'static>(items: Streaming<T>) -> Vec<Result<T>> {
        items.collect().await
    }

    #[tokio::test]
    async fn an_error_is_the_last_item() {
        let late = RpcError::aborted("enough");
        let items = Streaming::new(stream::iter([Ok(1), Err(late.clone()), Ok(2)]));
        assert_eq!(all(items).await, [Ok(1), Err(late.clone())]);
        let error = late.clone();
        let items = Streaming::produce(|items| async move {
            items.send(1).await?;
            items.send(2).await?;
            Err(error)
        });
        assert_eq!(all(items).await, [Ok(1), Ok(2), Err(late)]);
    }

    #[tokio::test]
    async fn a_producer_does_not_run_ahead() {
        let (sender, made) = std::sync::mpsc::channel();
        let mut items = Streaming::produce(|items| async move {
            for number in 0..10 {
                sender.send(number).map_err(RpcError::internal)?;
                items.send(number).await?;
            }
            Ok(())
        });
        assert_eq!(made.try_iter().count(), 0, "it runs only while an item is waited for");
        for number in 0..5 {
            assert_eq!(items.next().await, Some(Ok(number)));
            assert_eq!(made.try_iter().collect::<Vec<_>>(), [number]);
        }
        assert_eq!(all(items).await, [Ok(5), Ok(6), Ok(7), Ok(8), Ok(9)]);
    }
}
