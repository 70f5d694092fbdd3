//! The items of a response.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use everywire_core::{Budget, Code, Result, RpcError, Streaming, descriptor::Method};
use futures_util::stream;
use http::{HeaderMap, Response};
use hyper::body::Body as HttpBody;
use serde::de::DeserializeOwned;

use super::read_message;
use crate::{compression::Encoding, envelope::Messages, head, status};

/// The items in the body of `response`, or the error that is there in their place.
pub(crate) fn read_items<B, R>(
    method: &'static Method,
    response: Response<B>,
    budget: &Arc<Budget>,
) -> Result<Streaming<R>>
where
    B: HttpBody<Data = Bytes> + Unpin + Send + 'static,
    B::Error: fmt::Display,
    R: DeserializeOwned + 'static,
{
    let (response, body) = response.into_parts();
    // Without a body the headers have the status.
    let only_status = status::of(&response.headers).transpose()?.map(|()| response.headers.clone());
    if only_status.is_none() && !head::is_grpc(&response.headers) {
        return Err(status::missing(response.status));
    }
    let mut incoming = Incoming {
        body,
        messages: Messages::new(budget),
        encoding: Encoding::of(&response.headers),
        end: only_status,
        budget: Arc::clone(budget),
    };
    Ok(Streaming::new(stream::poll_fn(move |cx| incoming.poll_item(method, cx))))
}

struct Incoming<B> {
    body: B,
    messages: Messages,
    encoding: Encoding,
    /// What has the status, once it has arrived.
    end: Option<HeaderMap>,
    budget: Arc<Budget>,
}

impl<B> Incoming<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: fmt::Display,
{
    /// The next item. Each that has arrived comes before the error that ends the stream.
    fn poll_item<R: DeserializeOwned>(&mut self, method: &Method, cx: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        loop {
            let read = |message: &[u8]| read_message(method, message, &self.budget);
            if let Some(item) = self.messages.take(self.encoding, &self.budget, read).transpose() {
                return Poll::Ready(Some(item));
            }
            let arrived = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => return Poll::Ready(self.ended().err().map(Err)),
                Some(Err(error)) => Err(broken_off(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.messages.push(&data, &self.budget),
                    Err(frame) => {
                        self.end = frame.into_trailers().ok();
                        Ok(())
                    }
                },
            };
            if let Err(error) = arrived {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// How the stream has ended. It never just stops.
    fn ended(&self) -> Result<()> {
        let end = self.end.as_ref().and_then(status::of);
        end.ok_or_else(|| broken_off("it ended without a status"))??;
        if self.messages.is_empty() { Ok(()) } else { Err(RpcError::new(Code::Internal, "the last item is not whole")) }
    }
}

fn broken_off(reason: impl fmt::Display) -> RpcError {
    RpcError::unavailable(format!("the stream broke off: {reason}"))
}
