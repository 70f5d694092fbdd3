//! The server side of HTTP/1, within the limits, for the wires that have a body per call.

use std::{convert::Infallible, pin::pin, sync::Arc};

use bytes::Bytes;
use everywire_core::{
    Budget,
    wire::{CancellationToken, Io, Socket},
};
use http::{Request, Response, header};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1::Builder,
    service::service_fn,
    upgrade::{OnUpgrade, Parts},
};
use hyper_util::rt::TokioIo;

pub use crate::{
    body::{Received, collect, receive},
    rejection::{not_post, not_received, rejection},
};
use crate::{
    head,
    head_timer::{Activity, HeadTimer, Tracked},
    origin::WebOrigins,
};

/// What a connection may buffer: the longest head of a request, and the largest piece of a body.
const BUFFER_BYTES: usize = 64 << 10;

/// Serves one connection until the peer closes it, a response has `Connection: close`, or `stop` is cancelled. The request in
/// progress then still gets its response; a request whose head has not arrived is dropped. Connections may be [upgraded].
/// Requests of pages that `origins` does not allow, requests that break HTTP, and OPTIONS get their response here and do not
/// reach `answer`.
pub async fn serve<F, B>(
    socket: Socket<impl Io>,
    budget: &Arc<Budget>,
    origins: &WebOrigins,
    stop: &CancellationToken,
    answer: impl Fn(Request<Incoming>) -> F,
) -> hyper::Result<()>
where
    F: Future<Output = Response<B>>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + From<String> + 'static,
{
    let activity = Arc::new(Activity::default());
    let service = service_fn(async |request: Request<Incoming>| {
        let response = head::respond(request, origins, &answer).await;
        let closes = response.headers().contains_key(header::CONNECTION);
        activity.answered(closes);
        Ok::<_, Infallible>(response)
    });
    let io = Tracked::new(socket, &activity);
    let mut connection = pin!(
        Builder::new()
            .timer(HeadTimer::new(&activity, budget))
            .header_read_timeout(budget.limits().handshake_time)
            .max_buf_size(BUFFER_BYTES)
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades()
    );
    tokio::select! {
        ended = &mut connection => return ended,
        () = stop.cancelled() => {}
    }
    activity.stop();
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// The socket of a connection that [`serve`] has upgraded, and any bytes already read past the request. `None` if the
/// connection broke before.
pub async fn upgraded<IO: Io>(upgrade: OnUpgrade) -> Option<(Socket<IO>, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Tracked<IO>>>().ok()?;
    let Parts { io, read_buf, .. } = parts;
    Some((io.into_inner().into_socket(), read_buf))
}
