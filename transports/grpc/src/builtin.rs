//! The services that clients expect of every gRPC server: health and reflection.

use std::{collections::HashSet, convert::Infallible, sync::Arc};

use everywire_core::{
    Result, RpcError,
    descriptor::{ServiceDescriptor, Services},
};
use http::{Request, Response};
use hyper::body::Body as _;
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body as TonicBody, codec::CompressionEncoding::Gzip, server::NamedService};
use tonic_health::pb::health_check_response::ServingStatus;
use tower::{Service, ServiceExt, util::BoxCloneSyncService};

use crate::{
    body::{Body, Endless, Incoming},
    compression,
    health::health,
    reflection::{V1ALPHA, from_v1alpha, reflection},
    schema,
};

/// Calls of these services that one connection may have open. Their streams have no end, and tonic has a buffer for each.
pub(crate) const CALLS: usize = 16;

/// The most bytes of a message to these services, compressed or not. Such a message is little more than a name.
const MESSAGE_BYTES: usize = 4 << 10;

pub(crate) type Builtin = BoxCloneSyncService<Request<Incoming>, Response<TonicBody>, Infallible>;

/// `grpc.health.v1.Health`, `grpc.reflection.v1.ServerReflection` and its `v1alpha`, by name.
pub(crate) struct Builtins {
    services: [(&'static str, Builtin); 3],
    status: watch::Sender<ServingStatus>,
    stopped: CancellationToken,
}

impl Builtins {
    pub(crate) fn new(services: &Services) -> Result<Self> {
        let (status, health) = health(services.iter().map(ServiceDescriptor::full_name).collect());
        let reflection = reflection(&files(services)?);
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

    /// Answers a request to `builtin` if one of the connection's `permits` is free.
    pub(crate) async fn answer(
        &self,
        builtin: &Builtin,
        request: Request<Incoming>,
        permits: &Arc<Semaphore>,
    ) -> Result<Response<Body>> {
        let permit = Arc::clone(permits).try_acquire_owned().map_err(|_| {
            RpcError::resource_exhausted(format!("a connection may have {CALLS} calls of health and reflection open"))
        })?;
        let Ok(mut response) = builtin.clone().oneshot(request).await;
        response.headers_mut().insert(compression::ACCEPT_ENCODING, compression::ACCEPTED);
        Ok(response.map(|inner| {
            // An error without a message: the headers are the whole response.
            if inner.is_end_stream() {
                return Body::Empty;
            }
            Body::Many(Box::pin(Endless::new(inner, self.stopped.clone(), permit)))
        }))
    }

    /// Tells health's watchers of the shutdown, then ends all streams, which would not end otherwise. Each connection calls this
    /// when it drains; the first time does the work.
    pub(crate) fn stop(&self) {
        if self.stopped.is_cancelled() {
            return;
        }
        self.status.send_replace(ServingStatus::NotServing);
        self.stopped.cancel();
    }
}

/// The files that reflection lists: those of the services, of health and of reflection.
fn files(services: &Services) -> Result<Vec<FileDescriptorProto>> {
    let mut files = services.iter().map(schema::file).collect::<Result<Vec<_>>>()?;
    check_names(services, &files)?;
    for encoded in [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        files.extend(FileDescriptorSet::decode(encoded).map_err(RpcError::internal)?.file);
    }
    Ok(files)
}

/// Rejects services that have messages or enums of the same name: the `.proto` files of one package share their names.
fn check_names(services: &Services, files: &[FileDescriptorProto]) -> Result<()> {
    let mut names = HashSet::new();
    for (service, file) in services.iter().zip(files) {
        let messages = file.message_type.iter().map(DescriptorProto::name);
        for name in messages.chain(file.enum_type.iter().map(EnumDescriptorProto::name)) {
            if !names.insert((file.package(), name)) {
                let (service, package) = (service.full_name(), file.package());
                return Err(RpcError::failed_precondition(format!(
                    "grpc can't carry {service} beside the other services: there is a message {package}.{name} already; a \
                     package of its own would tell them apart"
                )));
            }
        }
    }
    Ok(())
}

fn named<S>(service: S) -> (&'static str, Builtin)
where
    S: NamedService + Clone + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<TonicBody>, Error = Infallible, Future: Send>,
{
    (S::NAME, BoxCloneSyncService::new(service))
}
