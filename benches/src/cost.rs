//! What a call costs without a socket: the format alone, and all that a wire does but for its connection.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use everywire::{Budget, Caller, Limits, Result};
use everywire_grpc as grpc;
use everywire_xmlrpc as xmlrpc;
use everywire_zerorpc as zerorpc;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    EchoClient, EchoService, Plain,
    result::Cost,
    summary::Figure,
    target::{By, Target, Work},
};

/// The arguments of `add`, as the wires write them.
#[derive(Serialize, Deserialize)]
struct Add {
    a: i64,
    b: i64,
}

/// The argument of `echo`.
#[derive(Serialize, Deserialize)]
struct Text {
    text: String,
}

/// One reply, where a format has to wrap it.
#[derive(Serialize, Deserialize)]
struct Reply<T> {
    value: T,
}

/// Measures a wire for about `time`; nothing for what is no wire with messages of its own.
pub async fn cost(target: &Target, text: Option<u32>, time: Duration) -> Result<Option<Cost>> {
    let time = time / 2;
    let codec = match text {
        None => codec(target.by, &Add { a: 3, b: 4 }, &[3_i64, 4], &7_i64, time),
        Some(bytes) => {
            let text = "x".repeat(bytes as usize);
            codec(target.by, &Text { text: text.clone() }, std::slice::from_ref(&text), &text, time)
        }
    };
    let Some(codec) = codec else { return Ok(None) };
    let service = Arc::new(EchoService::new(Plain::default()));
    let budget = Budget::new(Limits::default());
    let work = text.map_or(Work::Add, |bytes| Work::text(bytes as usize));
    let whole = match target.by {
        By::Xmlrpc => whole(xmlrpc::Loopback::new(service, budget), &work, time).await?,
        By::Grpc => whole(grpc::Loopback::new(service, budget), &work, time).await?,
        By::Zerorpc => whole(zerorpc::Loopback::new(service, budget), &work, time).await?,
        _ => whole(everywire_json::Loopback::new(service, budget), &work, time).await?,
    };
    Ok(Some(Cost { target: target.name.to_owned(), text, codec, whole }))
}

/// Nanoseconds to write and read the arguments and the reply in the format of `by`. XML-RPC has no names for arguments,
/// so `values` are the same without.
fn codec<A, V, R>(by: By, args: &A, values: &[V], reply: &R, time: Duration) -> Option<f64>
where
    A: Serialize + DeserializeOwned,
    V: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    let repeated = |there_and_back: &dyn Fn() -> Option<()>| {
        let mut pace = Pace::new(time);
        while pace.goes_on() {
            there_and_back()?;
        }
        Some(pace.median())
    };
    match by {
        By::Xmlrpc => repeated(&|| {
            for value in values {
                drop(black_box(xmlrpc::from_str::<V>(&xmlrpc::to_string(value).ok()?).ok()?));
            }
            drop(black_box(xmlrpc::from_str::<R>(&xmlrpc::to_string(reply).ok()?).ok()?));
            Some(())
        }),
        By::Grpc => repeated(&|| {
            let args = grpc::from_slice::<A>(&grpc::to_vec(args).ok()?).ok()?;
            let value = grpc::to_vec(&Reply { value: reply }).ok()?;
            let reply = grpc::from_slice::<Reply<R>>(&value).ok()?;
            drop(black_box((args, reply.value)));
            Some(())
        }),
        By::Zerorpc => repeated(&|| {
            let args = rmp_serde::from_slice::<A>(&rmp_serde::to_vec(args).ok()?).ok()?;
            let reply = rmp_serde::from_slice::<R>(&rmp_serde::to_vec(reply).ok()?).ok()?;
            drop(black_box((args, reply)));
            Some(())
        }),
        By::Http | By::WebSocket | By::Amqp => repeated(&|| {
            let args = serde_json::from_slice::<A>(&serde_json::to_vec(args).ok()?).ok()?;
            let reply = serde_json::from_slice::<R>(&serde_json::to_vec(reply).ok()?).ok()?;
            drop(black_box((args, reply)));
            Some(())
        }),
        _ => None,
    }
}

/// Nanoseconds of a call through `caller`.
async fn whole(caller: impl Caller, work: &Work, time: Duration) -> Result<f64> {
    let client = EchoClient::new(caller);
    let mut pace = Pace::new(time);
    while pace.goes_on() {
        work.on(&client).await?;
    }
    Ok(pace.median())
}

/// Times of a few calls at a time, so that the clock costs nothing, until the time is over.
struct Pace {
    end: Instant,
    since: Instant,
    calls: u32,
    times: Vec<f64>,
}

impl Pace {
    const AT_A_TIME: u32 = 50;

    fn new(time: Duration) -> Self {
        let now = Instant::now();
        Self { end: now + time, since: now, calls: 0, times: Vec::new() }
    }

    /// Asked before each call.
    fn goes_on(&mut self) -> bool {
        if self.calls < Self::AT_A_TIME {
            self.calls += 1;
            return true;
        }
        let now = Instant::now();
        self.times.push((now - self.since).as_nanos() as f64 / f64::from(Self::AT_A_TIME));
        (self.since, self.calls) = (now, 1);
        now < self.end
    }

    /// Nanoseconds of a call.
    fn median(self) -> f64 {
        Figure::of(self.times).map_or(f64::NAN, |figure| figure.median)
    }
}
