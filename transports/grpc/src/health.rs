//! `grpc.health.v1.Health`, with the `Watch` of
//! [health.proto](https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto): for an unknown service the
//! stream says `SERVICE_UNKNOWN` and stays open.

use std::pin::Pin;

use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt, once, pending, wrappers::WatchStream};
use tonic::{Request, Response, Status, async_trait};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};

/// Answers for the server as a whole, whose name is empty, and for its services; all have the same status.
pub(crate) struct Statuses {
    services: Vec<&'static str>,
    status: watch::Receiver<ServingStatus>,
}

/// The health service, and the sender that changes its status.
pub(crate) fn health(services: Vec<&'static str>) -> (watch::Sender<ServingStatus>, HealthServer<Statuses>) {
    let (sender, status) = watch::channel(ServingStatus::Serving);
    (sender, HealthServer::new(Statuses { services, status }))
}

impl Statuses {
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

#[async_trait]
impl Health for Statuses {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if self.knows(&request.get_ref().service) {
            Ok(Response::new(response(*self.status.borrow())))
        } else {
            Err(Status::not_found(format!(
                "unknown service; expected `{}` or the empty name",
                self.services.join("`, `")
            )))
        }
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(if self.knows(&request.get_ref().service) {
            Box::pin(WatchStream::new(self.status.clone()).map(|status| Ok(response(status))))
        } else {
            // No service is added while the server runs, so the status never changes.
            Box::pin(once(Ok(response(ServingStatus::ServiceUnknown))).chain(pending()))
        }))
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
