//! The error table: what a method returns arrives unchanged, over every wire.

use everywire::{Code, Origin, Result, RpcError};

use crate::harness::{Wires, on_every_wire};

/// Fails on demand.
#[everywire::service(package = "test.v1")]
pub(crate) trait Failing {
    /// Fails with the code of this number.
    async fn fail(&self, code: i32, message: String) -> Result<()>;
    /// Panics.
    async fn panic(&self) -> Result<()>;
    /// Fails with a message and details of this many bytes each.
    async fn explain(&self, bytes: u32) -> Result<()>;
}

struct Fails;

impl Failing for Fails {
    async fn fail(&self, code: i32, message: String) -> Result<()> {
        Err(RpcError::new(Code::from_number(code).unwrap(), message))
    }

    async fn panic(&self) -> Result<()> {
        panic!("on purpose")
    }

    async fn explain(&self, bytes: u32) -> Result<()> {
        let text = "x".repeat(bytes as usize);
        Err(RpcError::unavailable(text.clone()).with_details(&text))
    }
}

/// The same service as another program believes it to be.
mod outdated {
    use everywire::Result;

    /// The same name, other methods.
    #[everywire::service(package = "test.v1")]
    pub(crate) trait Failing {
        /// Nobody has it.
        async fn missing(&self) -> Result<()>;
        /// It has other arguments.
        async fn fail(&self, code: Vec<String>, message: String) -> Result<()>;
    }
}

const MESSAGES: [&str; 4] = ["no such lock", "", "größer als 10 % & <b>\"x\"</b> – 锁 🔒", "two\nlines: and a colon"];

#[tokio::test(flavor = "multi_thread")]
async fn every_error_arrives_as_it_was() {
    let wires = Wires::serve(FailingService::new(Fails)).await;
    on_every_wire!(wires, |wire, caller| {
        let client = FailingClient::new(caller);
        for &code in Code::ALL {
            for message in MESSAGES {
                let error = client.fail(code.number(), message.into()).await.unwrap_err();
                let got = (error.code(), error.message(), error.origin());
                assert_eq!(got, (code, message, Origin::Remote), "{wire}");
            }
        }
    });
}

/// The table of docs/errors.md.
#[tokio::test(flavor = "multi_thread")]
async fn details_arrive_where_the_wire_has_a_place_for_them() {
    let wires = Wires::serve(FailingService::new(Fails)).await;
    on_every_wire!(wires, |wire, caller| {
        let client = FailingClient::new(caller);
        for bytes in [10_u32, 1_000, 2_000, 3_500] {
            let error = client.explain(bytes).await.unwrap_err();
            let text = "x".repeat(bytes as usize);
            let (message, details) = match wire {
                "xmlrpc" | "zerorpc" => (&*text, None),
                // The message is in the details once more.
                "grpc" if bytes >= 2_000 => (&text[..text.len().min(2 << 10)], None),
                _ => (&*text, Some(text.clone())),
            };
            assert_eq!((error.code(), error.message()), (Code::Unavailable, message), "{wire}, {bytes} bytes");
            assert_eq!(error.details::<String>(), details, "{wire}, {bytes} bytes");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_an_internal_error_and_harms_nobody() {
    let wires = Wires::serve(FailingService::new(Fails)).await;
    on_every_wire!(wires, |wire, caller| {
        let client = FailingClient::new(caller);
        for _ in 0..3 {
            let error = client.panic().await.unwrap_err();
            assert_eq!((error.code(), error.origin()), (Code::Internal, Origin::Remote), "{wire}");
            assert!(!error.message().contains("on purpose"), "{wire}: inner detail leaves the server: {error}");
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_method_is_named() {
    use outdated::{Failing, FailingClient};
    let wires = Wires::serve(FailingService::new(Fails)).await;
    on_every_wire!(wires, |wire, caller| {
        let error = FailingClient::new(caller).missing().await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::Unimplemented, Origin::Remote), "{wire}: {error}");
        assert!(error.message().to_lowercase().contains("missing"), "{wire}: {error}");
        assert!(error.message().contains("fail, panic"), "{wire} says which methods there are: {error}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_argument_is_named() {
    use outdated::{Failing, FailingClient};
    let wires = Wires::serve(FailingService::new(Fails)).await;
    on_every_wire!(wires, |wire, caller| {
        let error = FailingClient::new(caller).fail(vec!["text".into()], String::new()).await.unwrap_err();
        assert_eq!((error.code(), error.origin()), (Code::InvalidArgument, Origin::Remote), "{wire}: {error}");
        assert!(error.message().contains("argument `code`"), "{wire}: {error}");
        assert!(error.message().contains("fail(code: i32, message: String)"), "{wire} says how to call it: {error}");
    });
}
