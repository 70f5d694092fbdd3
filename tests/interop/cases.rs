//! The cases of the matrix for the clients of this repository. Those for others are in `tests/foreign/cases.*`.

use std::{error::Error, fmt::Debug, pin::pin, time::Duration};

use everywire::{Caller, Code, Context, Origin, Trace};
use tokio::select;

use super::service::{Blob, Inner, Interop, InteropClient, Outer, TOGETHER};

/// How many cases are about arguments, replies and connections. The others are about what travels with a call.
pub(crate) const CALLS: usize = 10;

/// The columns of both tables, and what each shows.
pub(crate) const CASES: [(&str, &str); 14] = [
    ("add", "3 + 4, and a negative sum"),
    ("i64", "the limits of 64 bits, values just beyond 32 bits, and 2⁵³ + 1 return unchanged"),
    ("u64", "2⁶³ and 2⁶⁴ − 1 return unchanged"),
    ("optional", "an absent text, an empty one and any other are told apart"),
    ("text", "accents, astral and combining characters, and what XML and JSON escape"),
    ("bytes", "all 256 values, and none"),
    ("nested", "structs within structs in a list"),
    ("fault", "an error has the code of `NOT_FOUND` on that wire, and a message that is not ASCII"),
    ("concurrent", "four concurrent calls, none of which returns before all four are in the method"),
    (
        "reuse",
        "a hundred consecutive calls share one connection, or where a note says so a pool of at most fifty; a proxy counts them",
    ),
    (
        "metadata",
        "an entry that the client adds to one call arrives in its method, and is not there in the next call; in gRPC also one of \
         bytes, under a name that ends in `-bin`",
    ),
    (
        "deadline",
        "a call with a deadline of 300 ms to a method that takes 20 s ends with `DEADLINE_EXCEEDED`, and the method sees \
         the deadline and ends. The error is the server's; only everywire's and gRPC's clients have a timer for it too",
    ),
    ("cancel", "the client gives up a call, and the method ends"),
    ("trace", "the method sees the client's `traceparent` and `tracestate`"),
];

pub(crate) const TEXTS: [&str; 3] = ["", "größer, Ω, 日本語, עברית", "😀 e\u{301} <&>'\"]]> \\ \n\t"];
/// The deadline of a call that takes longer, in milliseconds.
const DEADLINE_MS: u32 = 300;
/// What is well before any other timeout, in milliseconds.
const SOON_MS: u32 = 5_000;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "vendor=x";
const MESSAGE: &str = "no such lock: 锁 <&> 100 %";

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Each case and how it went. `counted` connects through a proxy that counts; who counts has the last word on `reuse`.
pub(crate) async fn run<C: Caller>(
    client: &InteropClient<C>,
    counted: &InteropClient<C>,
    name: &str,
) -> [(&'static str, Outcome); CASES.len()] {
    [
        ("add", add(client).await),
        ("i64", signed(client).await),
        ("u64", unsigned(client).await),
        ("optional", optional(client).await),
        ("text", text(client).await),
        ("bytes", bytes(client).await),
        ("nested", nested(client).await),
        ("fault", fault(client).await),
        ("concurrent", concurrent(client, name).await),
        ("reuse", reuse(counted).await),
        ("metadata", metadata(client).await),
        ("deadline", deadline(client, name).await),
        ("cancel", cancel(client, name).await),
        ("trace", trace(client).await),
    ]
}

async fn add(client: &impl Interop) -> Outcome {
    same(&client.add(3, 4).await?, &7)?;
    same(&client.add(-5, 4).await?, &-1)
}

async fn signed(client: &impl Interop) -> Outcome {
    let edge = i64::from(i32::MAX);
    for value in [i64::MIN, -edge - 2, 0, edge + 1, (1 << 53) + 1, i64::MAX] {
        same(&client.int(value).await?, &value)?;
    }
    Ok(())
}

async fn unsigned(client: &impl Interop) -> Outcome {
    for value in [1 << 63, u64::MAX] {
        same(&client.uint(value).await?, &value)?;
    }
    Ok(())
}

async fn optional(client: &impl Interop) -> Outcome {
    for value in [None, Some(String::new()), Some("x".to_owned())] {
        same(&client.maybe(value.clone()).await?, &value)?;
    }
    Ok(())
}

async fn text(client: &impl Interop) -> Outcome {
    for value in TEXTS {
        same(&*client.text(value.to_owned()).await?, value)?;
    }
    Ok(())
}

async fn bytes(client: &impl Interop) -> Outcome {
    for value in [Blob((0..=255).collect()), Blob(Vec::new())] {
        same(&client.blob(value.clone()).await?, &value)?;
    }
    Ok(())
}

async fn nested(client: &impl Interop) -> Outcome {
    let inner = Inner { number: -7, labels: vec![String::new(), "二".to_owned()] };
    let value = [("外", inner), ("", Inner::default())];
    let value = value.map(|(name, inner)| Outer { name: name.to_owned(), inner }).to_vec();
    same(&client.nest(value.clone()).await?, &value)
}

async fn fault(client: &impl Interop) -> Outcome {
    let error = client.fail(MESSAGE.to_owned()).await.err().ok_or("no error")?;
    same(&(error.code(), error.message(), error.origin()), &(Code::NotFound, MESSAGE, Origin::Remote))
}

async fn concurrent(client: &impl Interop, name: &str) -> Outcome {
    let meet = || client.meet(name.to_owned());
    let (a, b, c, d) = tokio::try_join!(meet(), meet(), meet(), meet())?;
    same(&[a, b, c, d], &[u32::try_from(TOGETHER)?; TOGETHER])
}

async fn reuse(counted: &impl Interop) -> Outcome {
    for number in 0..100 {
        same(&counted.add(number, 1).await?, &(number + 1))?;
    }
    Ok(())
}

async fn metadata(client: &impl Interop) -> Outcome {
    let (none, entries) = (Context::new(), [("tenant", "7 <&>"), ("key-bin", "AAH/")]);
    for (name, value) in entries {
        let cx = none.clone().metadata(name, value)?;
        same(&client.metadata(&cx, name.to_owned()).await?.as_deref(), &Some(value))?;
        same(&client.metadata(&none, name.to_owned()).await?, &None)?;
    }
    Ok(())
}

async fn deadline(client: &impl Interop, name: &str) -> Outcome {
    let cx = Context::new().timeout(Duration::from_millis(DEADLINE_MS.into()));
    let name = format!("{name} deadline");
    let error = client.linger(&cx, name.clone()).await.err().ok_or("no error")?;
    same(&error.code(), &Code::DeadlineExceeded)?;
    match client.lingered(name).await?[..] {
        [1..=DEADLINE_MS, ..SOON_MS] => Ok(()),
        ref times => Err(format!("left and lasted: {times:?}").into()),
    }
}

async fn cancel(client: &impl Interop, name: &str) -> Outcome {
    let name = format!("{name} cancel");
    {
        let (cx, begun) = (Context::new(), client.lingering(name.clone()));
        let call = pin!(client.linger(&cx, name.clone()));
        // At the end of this block, the call is dropped.
        select! {
            biased;
            reply = call => return Err(format!("the call ended by itself: {reply:?}").into()),
            begun = begun => same(&begun?, &1)?,
        }
    }
    client.lingered(name).await?;
    Ok(())
}

async fn trace(client: &impl Interop) -> Outcome {
    let cx = Context::new().trace(Trace::parse(PARENT, Some(STATE)).ok_or("no trace")?);
    let seen = client.trace(&cx).await?.ok_or("no trace in the method")?;
    let (parent, state) = seen.split_once(' ').unwrap_or_default();
    let seen = Trace::parse(parent, Some(state)).ok_or(seen)?;
    // Each call has a span of its own in the trace.
    same(&(seen.trace_id(), seen.state()), &(PARENT[3..35].to_owned(), Some(STATE)))?;
    if PARENT.contains(&seen.span_id()) { Err("the span is the caller's".into()) } else { Ok(()) }
}

fn same<T: PartialEq + Debug + ?Sized>(got: &T, expected: &T) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("{expected:?} came back as {got:?}").into()) }
}
