//! `#[service]`: turns a trait into a service and a client for every wire. Documented where it is re-exported, in `everywire_core` and `everywire`.

use proc_macro::TokenStream;

mod expand;
mod model;

/// Makes a trait callable over every wire.
///
/// # What you write
/// ```ignore
/// #[everywire::service(package = "demo.v1")]
/// pub trait Calculator {
///     /// Adds two integers.
///     #[idempotent]
///     async fn add(&self, a: i64, b: i64) -> everywire::Result<i64>;
/// }
/// ```
/// Every method is `async`, takes `&self` and owned arguments, and returns `everywire::Result<T>`. Arguments and replies
/// are types with serde's `Serialize` and `Deserialize` and schemars' `JsonSchema`. Trailing arguments whose type is an
/// `Option` may be left out of a call.
///
/// `#[idempotent]` on a method promises that running a call twice does what running it once does. A wire that may get one
/// request twice runs such a call again, and no other; schemas repeat the promise.
///
/// `#[waits]` on a method says that its calls may wait for other calls, as one that takes a lock waits for the one that
/// releases it. Such calls are counted apart from the others, so that however many wait, the call that ends their wait
/// is still read and run: see `everywire::Limits::waiting_calls`.
///
/// # What you get
/// - the trait itself, with each `async fn` as a method that returns `impl Future + Send`; write `async fn` in its
///   implementations
/// - `CalculatorService<T: Calculator>`, which implements `everywire::Service`: mount it on a `Server`
/// - `CalculatorClient<C: Caller>`, which implements `Calculator` itself over any wire
/// - `CalculatorService::descriptor()`: names, types and documentation
///
/// If clients are built from a `.proto`, commit it and let a test call `everywire::grpc::assert_proto(CalculatorService::descriptor(),
/// "api.proto")`: it fails if anything but appended methods and fields has changed.
///
/// The whole expansion of this trait stands in `rpc-core/tests/expanded/calculator.rs`.
///
/// # Parameters
/// - `package`: a dotted name, such as `demo.v1`: the prefix of the fully qualified method path. Required.
/// - `version`: the version of the service, which OpenRPC shows. Default: that of the crate that declares it.
/// - `crate`: the path of a re-export of `everywire`. By default the macro finds `everywire` or `everywire-core` among the
///   crate's dependencies.
#[proc_macro_attribute]
pub fn service(parameters: TokenStream, item: TokenStream) -> TokenStream {
    expand::service(parameters.into(), item.into()).into()
}
