//! The client side of a stream that is pulled.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    vec,
};

use everywire_core::{DEFAULT_TIMEOUT, Origin, Result, RpcError, Streaming};
use futures_util::{FutureExt, Stream};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// Some items of a stream: the reply to its call, or to a pull. `T` is the type of its token, which the client only repeats.
#[derive(Debug, Deserialize)]
#[serde(bound = "R: Deserialize<'de>, T: Deserialize<'de>")]
pub struct Part<R, T> {
    /// In the reply to the call, if more items follow.
    #[serde(default)]
    token: Option<T>,
    #[serde(default)]
    values: Vec<R>,
    /// Other servers leave it out in the reply to the call.
    #[serde(default)]
    finished: Option<bool>,
}

/// How a client asks for the items of one stream.
pub trait Pull: Send + Sync + 'static {
    /// The token of the stream.
    type Token: Clone + Send + Sync + 'static;

    /// Asks for the next items of the stream with this `token`, of which so many have been received.
    fn pull<R: DeserializeOwned + Send>(
        &self,
        token: &Self::Token,
        received: u64,
    ) -> impl Future<Output = Result<Part<R, Self::Token>>> + Send;

    /// Tells the server that nobody wants more of them.
    fn end(&self, token: &Self::Token) -> impl Future<Output = ()> + Send;
}

/// The items of the stream that begins with `first`, and goes on with what `pull` asks for.
pub fn pulled<R, P>(first: Part<R, P::Token>, pull: P) -> Streaming<R>
where
    R: DeserializeOwned + Send + 'static,
    P: Pull,
{
    let Part { token, values, finished } = first;
    let token = token.filter(|_| finished != Some(true));
    Streaming::new(Pulled {
        received: values.len() as u64,
        values: values.into_iter(),
        failed: None,
        open: token.map(|token| Open { token, pull: Arc::new(pull), has_ended: false }),
        pulling: None,
    })
}

/// Waits for the response to a pull, for as long as a call takes by default. A server without items responds before that.
pub async fn response_in_time<T>(server: &str, response: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(DEFAULT_TIMEOUT, response).await.unwrap_or_else(|_| {
        Err(RpcError::unavailable(format!("{server} has not responded for {DEFAULT_TIMEOUT:?}; the stream is lost")))
    })
}

/// It has a task, because the server waits for its response to be read while the reader of the stream does something else.
type Pulling<R, P> = AbortOnDropHandle<Result<Part<R, <P as Pull>::Token>>>;

struct Pulled<R, P: Pull> {
    values: vec::IntoIter<R>,
    received: u64,
    /// What comes after the values.
    failed: Option<RpcError>,
    /// Dropped before the stream is ended.
    pulling: Option<Pulling<R, P>>,
    /// None once the server has nothing more to send.
    open: Option<Open<P>>,
}

/// A stream that is open on the server. Dropping it ends it.
struct Open<P: Pull> {
    token: P::Token,
    pull: Arc<P>,
    /// Whether the server has ended it.
    has_ended: bool,
}

impl<P: Pull> Drop for Open<P> {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.has_ended, Handle::try_current()) {
            let (pull, token) = (Arc::clone(&self.pull), self.token.clone());
            runtime.spawn(async move { pull.end(&token).await });
        }
    }
}

impl<R: DeserializeOwned + Send + 'static, P: Pull> Pulled<R, P> {
    /// Asks for the next values; ready when they are there, or when no more follow.
    fn poll_pull(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(open) = &mut self.open else { return Poll::Ready(()) };
        let received = self.received;
        let pulling = self.pulling.get_or_insert_with(|| {
            let (pull, token) = (Arc::clone(&open.pull), open.token.clone());
            AbortOnDropHandle::new(tokio::spawn(async move { pull.pull(&token, received).await }))
        });
        let part = ready!(pulling.poll_unpin(cx)).unwrap_or_else(|failed| Err(RpcError::internal(failed)));
        self.pulling = None;
        let goes_on = part.as_ref().is_ok_and(|part| part.finished == Some(false));
        open.has_ended = part.as_ref().map_or_else(|error| error.origin() == Origin::Remote, |_| !goes_on);
        if !goes_on {
            self.open = None;
        }
        match part {
            Ok(Part { values, .. }) => {
                self.received += values.len() as u64;
                self.values = values.into_iter();
            }
            Err(error) => self.failed = Some(error),
        }
        Poll::Ready(())
    }
}

/// Nothing in it is pinned.
impl<R, P: Pull> Unpin for Pulled<R, P> {}

impl<R: DeserializeOwned + Send + 'static, P: Pull> Stream for Pulled<R, P> {
    type Item = Result<R>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        loop {
            if let Some(value) = self.values.next() {
                if self.values.len() == 0 {
                    // The server makes more meanwhile, and goes on with the stream if it is about to shut down.
                    let _ = self.poll_pull(cx);
                }
                return Poll::Ready(Some(Ok(value)));
            }
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if self.open.is_none() {
                return Poll::Ready(None);
            }
            ready!(self.poll_pull(cx));
        }
    }
}
