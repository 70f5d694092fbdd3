//! The cases of the matrix for the clients of this repository. Those for others are in `tests/foreign/cases.*`.

use std::{error::Error, fmt::Debug};

use everywire::{Caller, Code, Origin};

use super::service::{Blob, Inner, Interop, InteropClient, Outer, TOGETHER};

/// The columns, and what each shows.
pub(crate) const CASES: [(&str, &str); 10] = [
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
];

pub(crate) const TEXTS: [&str; 3] = ["", "größer, Ω, 日本語, עברית", "😀 e\u{301} <&>'\"]]> \\ \n\t"];
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

fn same<T: PartialEq + Debug + ?Sized>(got: &T, expected: &T) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("{expected:?} came back as {got:?}").into()) }
}
