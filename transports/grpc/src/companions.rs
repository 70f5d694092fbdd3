//! The services that every gRPC server is expected to have beside its own: health and reflection.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body as _, Frame, Incoming};
use prost_types::FileDescriptorSet;
use rpc_core::{Result, RpcError, ServiceDescriptor};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, body::Body as TonicBody, server::NamedService};
use tonic_health::{ServingStatus, server::HealthReporter};
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::{envelope::Body, schema};

type Companion = BoxCloneSyncService<Request<Incoming>, Response<TonicBody>, Infallible>;

/// `grpc.health.v1.Health`, `grpc.reflection.v1.ServerReflection` and its `v1alpha`, by name.
pub(crate) struct Companions {
    services: Vec<(&'static str, Companion)>,
    health: HealthReporter,
    names: [String; 2],
    stopped: CancellationToken,
}

impl Companions {
    pub(crate) async fn new(descriptor: &ServiceDescriptor) -> Result<Self> {
        let files = FileDescriptorSet { file: vec![schema::file(descriptor)?] };
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .register_file_descriptor_set(files.clone())
        };
        let (health, health_service) = tonic_health::server::health_reporter();
        let companions = Self {
            services: vec![
                named(health_service),
                named(reflection().build_v1().map_err(RpcError::internal)?),
                named(reflection().build_v1alpha().map_err(RpcError::internal)?),
            ],
            health,
            names: [String::new(), descriptor.full_name().to_owned()],
            stopped: CancellationToken::new(),
        };
        companions.report(ServingStatus::Serving).await;
        Ok(companions)
    }

    /// Answers a request to one of these services, or gives it back.
    pub(crate) async fn answer(&self, service: &str, request: Request<Incoming>) -> Option<Response<Body>> {
        let (_, companion) = self.services.iter().find(|(name, _)| *name == service)?;
        let Ok(response) = companion.clone().oneshot(request).await;
        Some(response.map(|inner| {
            let stopped = Box::pin(self.stopped.clone().cancelled_owned());
            Body::Other(Box::new(Stream { inner, stopped, ended: false }))
        }))
    }

    /// Tells health's watchers of the stop, then ends all streams: nobody else would.
    pub(crate) async fn stop(&self) {
        self.report(ServingStatus::NotServing).await;
        self.stopped.cancel();
    }

    async fn report(&self, status: ServingStatus) {
        for name in &self.names {
            self.health.set_service_status(name, status).await;
        }
    }
}

fn named<S>(service: S) -> (&'static str, Companion)
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

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
