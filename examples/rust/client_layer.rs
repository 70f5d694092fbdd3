//! A layer of your own around a client, a `Caller` around a `Caller`: one that tries calls again while the server is unavailable.
//! `cargo run --example client_layer`

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire::serde::{Serialize, de::DeserializeOwned};
use everywire::{
    Caller, Code, Context, Result, RpcError, Server, Streaming, Tcp, descriptor::Method, grpc, layer, service, xmlrpc,
};
use tokio::time::sleep;

/// The layer. It repeats calls of methods that are `#[idempotent]`: others may have run before the connection was lost.
#[derive(Clone)]
struct Retrying<C> {
    caller: C,
    attempts: u32,
    /// Before the second attempt. It doubles from one attempt to the next, up to a second.
    pause: Duration,
}

impl<C: Caller> Caller for Retrying<C> {
    async fn call<A, R>(&self, method: &'static Method, cx: &Context, args: &A) -> Result<R>
    where
        A: Serialize + Send + Sync,
        R: DeserializeOwned + Send,
    {
        let mut pause = self.pause;
        for _ in 1..self.attempts {
            let outcome = self.caller.call(method, cx, args).await;
            let is_in_time = cx.time_left().is_none_or(|left| left > pause);
            match &outcome {
                Err(error) if error.code() == Code::Unavailable && method.is_idempotent() && is_in_time => {}
                _ => return outcome,
            }
            sleep(pause).await;
            pause = Duration::from_secs(1).min(pause * 2);
        }
        self.caller.call(method, cx, args).await
    }

    async fn stream<A, R>(&self, method: &'static Method, cx: &Context, args: &A) -> Result<Streaming<R>>
    where
        A: Serialize + Send + Sync,
        R: DeserializeOwned + Send + 'static,
    {
        self.caller.stream(method, cx, args).await
    }
}

#[service(package = "demo.v1")]
trait Counter {
    /// Running it twice does what running it once does.
    #[idempotent]
    async fn read(&self) -> Result<u32>;
    async fn increment(&self) -> Result<u32>;
}

#[derive(Default)]
struct Plain(AtomicU32);

impl Counter for Plain {
    async fn read(&self) -> Result<u32> {
        Ok(self.0.load(Relaxed))
    }

    async fn increment(&self) -> Result<u32> {
        Ok(self.0.fetch_add(1, Relaxed) + 1)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // As many calls as this fail.
    let failing = Arc::new(AtomicU32::new(0));
    let fails = Arc::clone(&failing);
    let (xml, proto) = (Tcp::bind("127.0.0.1:0").await?, Tcp::bind("127.0.0.1:0").await?);
    let urls = [format!("xmlrpc://{}", xml.address()), format!("grpc://{}", proto.address())];
    let server = Server::new(CounterService::new(Plain::default()))
        .layer(layer::before(move |cx, _| {
            let fails = fails.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok();
            async move { if fails { Err(RpcError::unavailable("not now")) } else { Ok(cx) } }
        }))
        .mount((xml, xmlrpc::Server::new()))
        .mount((proto, grpc::Server::new()));
    tokio::spawn(server.serve_until(std::future::pending()));

    for url in urls {
        let pause = Duration::from_millis(20);
        let caller = Retrying { caller: everywire::connect(&url).await?, attempts: 4, pause };
        let counter = CounterClient::new(caller);

        failing.store(3, Relaxed);
        println!("{url}: {} after three failures", counter.read().await?);

        failing.store(4, Relaxed);
        let error = counter.read().await.expect_err("four failures are too many");
        println!("{url}: {error}");
        assert_eq!((error.code(), failing.load(Relaxed)), (Code::Unavailable, 0));

        failing.store(2, Relaxed);
        counter.increment().await.expect_err("it is not tried again");
        assert_eq!(failing.load(Relaxed), 1);

        let hurried = counter.with(&Context::new().timeout(Duration::from_millis(10)));
        hurried.read().await.expect_err("no time for another attempt");
        assert_eq!(failing.load(Relaxed), 0);
    }
    Ok(())
}
