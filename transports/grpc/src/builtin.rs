//! The services that every gRPC server is expected to have beside its own: health and reflection.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use everywire_core::{Result, RpcError, descriptor::ServiceDescriptor};
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as _, Frame};
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body as TonicBody, codec::CompressionEncoding::Gzip, server::NamedService};
use tonic_health::pb::health_check_response::ServingStatus;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::{
    body::Incoming,
    compression,
    envelope::Body,
    health::health,
    reflection::{V1ALPHA, from_v1alpha, reflection},
    schema,
};

/// Calls of these services that one connection may have open: their streams have no end, and tonic buffers for each.
pub(crate) const CALLS: usize = 16;

/// The most bytes of one message to these services, compressed or not: it is little more than a name.
const MESSAGE_BYTES: usize = 4 << 10;

pub(crate) type Builtin = BoxCloneSyncService<Request<Incoming>, Response<TonicBody>, Infallible>;

/// `grpc.health.v1.Health`, `grpc.reflection.v1.ServerReflection` and its `v1alpha`, by name.
pub(crate) struct Builtins {
    services: [(&'static str, Builtin); 3],
    status: watch::Sender<ServingStatus>,
    stopped: CancellationToken,
}

impl Builtins {
    pub(crate) fn new(descriptor: &'static ServiceDescriptor) -> Result<Self> {
        let (status, health) = health(descriptor.full_name());
        let reflection = reflection(&files(descriptor)?);
        let reflection = reflection.accept_compressed(Gzip).max_decoding_message_size(MESSAGE_BYTES);
        Ok(Self {
            services: [
                named(health.accept_compressed(Gzip).max_decoding_message_size(MESSAGE_BYTES)),
                (V1ALPHA, BoxCloneSyncService::new(reflection.clone().map_request(from_v1alpha))),
                named(reflection),
            ],
            status,
            stopped: CancellationToken::new(),
        })
    }

    pub(crate) fn find(&self, service: &str) -> Option<&Builtin> {
        self.services.iter().find(|(name, _)| *name == service).map(|(_, builtin)| builtin)
    }

    /// Answers a request to `builtin`, if there is one of the connection's `places` for it.
    pub(crate) async fn answer(
        &self,
        builtin: &Builtin,
        request: Request<Incoming>,
        places: &Arc<Semaphore>,
    ) -> Result<Response<Body>> {
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| {
            RpcError::resource_exhausted(format!("a connection may have {CALLS} calls of health and reflection open"))
        })?;
        let Ok(mut response) = builtin.clone().oneshot(request).await;
        response.headers_mut().insert(compression::ACCEPT_ENCODING, compression::ACCEPTED);
        Ok(response.map(|inner| {
            // An error without a message: its headers end the stream.
            if inner.is_end_stream() {
                return Body::Empty;
            }
            let stopped = Box::pin(self.stopped.clone().cancelled_owned());
            Body::Other(Box::new(Stream { inner, stopped, ended: false, _place: place }))
        }))
    }

    /// Tells health's watchers of the stop, then ends all streams, which have no other end.
    pub(crate) fn stop(&self) {
        self.status.send_replace(ServingStatus::NotServing);
        self.stopped.cancel();
    }
}

/// The files that reflection knows: that of the service, and those of health and reflection.
fn files(descriptor: &ServiceDescriptor) -> Result<Vec<FileDescriptorProto>> {
    let mut files = vec![schema::file(descriptor)?];
    for encoded in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        files.extend(FileDescriptorSet::decode(encoded).map_err(RpcError::internal)?.file);
    }
    Ok(files)
}

fn named<S>(service: S) -> (&'static str, Builtin)
where
    S: NamedService + Clone + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<TonicBody>, Error = Infallible, Future: Send>,
{
    (S::NAME, BoxCloneSyncService::new(service))
}

/// The body of a response of these services. It may be a stream without an end, such as that of health's `Watch`; after
/// the stop it ends as soon as it has nothing more to say.
pub(crate) struct Stream {
    inner: TonicBody,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    pub(crate) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        std::task::ready!(self.stopped.as_mut().poll(context));
        self.ended = true;
        let mut trailers = HeaderMap::new();
        let told = Status::unavailable("the server is shutting down").add_header(&mut trailers);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
