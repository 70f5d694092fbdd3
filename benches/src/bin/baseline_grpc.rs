//! `baseline_grpc ADDRESS [THREADS]`: `add` as one writes it with tonic alone.
//!
//! The module `generated` is what tonic-build 0.14 makes of the service, without what one method does not use.

use std::error::Error;

use everywire_benches::{baseline_server, stdin_closed};
use generated::{AddReply, AddRequest, Adder, AdderServer};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

#[expect(clippy::default_trait_access, reason = "as tonic-build writes it")]
mod generated {
    use std::{
        convert::Infallible,
        future::Future,
        pin::Pin,
        sync::Arc,
        task::{Context, Poll},
    };

    use tonic::{Request, Response, Status, body::Body, server::NamedService};

    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub(super) struct AddRequest {
        #[prost(int64, tag = "1")]
        pub(super) a: i64,
        #[prost(int64, tag = "2")]
        pub(super) b: i64,
    }

    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub(super) struct AddReply {
        #[prost(int64, tag = "1")]
        pub(super) value: i64,
    }

    type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

    #[tonic::async_trait]
    pub(super) trait Adder: Send + Sync + 'static {
        async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddReply>, Status>;
    }

    #[derive(Debug)]
    pub(super) struct AdderServer<T> {
        inner: Arc<T>,
    }

    impl<T> AdderServer<T> {
        pub(super) fn new(inner: T) -> Self {
            Self { inner: Arc::new(inner) }
        }
    }

    impl<T> Clone for AdderServer<T> {
        fn clone(&self) -> Self {
            Self { inner: Arc::clone(&self.inner) }
        }
    }

    impl<T> NamedService for AdderServer<T> {
        const NAME: &'static str = "everywire.v1.Echo";
    }

    struct AddSvc<T>(Arc<T>);

    impl<T: Adder> tonic::server::UnaryService<AddRequest> for AddSvc<T> {
        type Response = AddReply;
        type Future = BoxFuture<Response<AddReply>, Status>;

        fn call(&mut self, request: Request<AddRequest>) -> Self::Future {
            let inner = Arc::clone(&self.0);
            Box::pin(async move { <T as Adder>::add(&inner, request).await })
        }
    }

    impl<T, B> tower::Service<http::Request<B>> for AdderServer<T>
    where
        T: Adder,
        B: hyper::body::Body + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        type Response = http::Response<Body>;
        type Error = Infallible;
        type Future = BoxFuture<Self::Response, Self::Error>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: http::Request<B>) -> Self::Future {
            match request.uri().path() {
                "/everywire.v1.Echo/Add" => {
                    let inner = Arc::clone(&self.inner);
                    Box::pin(async move {
                        let codec = tonic_prost::ProstCodec::default();
                        let mut grpc = tonic::server::Grpc::new(codec)
                            .apply_compression_config(Default::default(), Default::default())
                            .apply_max_message_size_config(None, None);
                        Ok(grpc.unary(AddSvc(inner), request).await)
                    })
                }
                _ => Box::pin(async move { Ok(Status::unimplemented("").into_http()) }),
            }
        }
    }
}

struct Plain;

#[tonic::async_trait]
impl Adder for Plain {
    async fn add(&self, request: Request<AddRequest>) -> Result<Response<AddReply>, Status> {
        let AddRequest { a, b } = request.into_inner();
        let value = a.checked_add(b).ok_or_else(|| Status::out_of_range("the sum is beyond 64 bits"))?;
        Ok(Response::new(AddReply { value }))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    baseline_server::serve(|listener| async {
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = tonic::transport::Server::builder();
        Ok(server.serve_with_incoming_shutdown(AdderServer::new(Plain), incoming, stdin_closed()).await?)
    })
}
