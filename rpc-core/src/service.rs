//! The server side of one service, and one request to it.

use std::{any::Any, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use serde::{Deserializer, Serialize, de::DeserializeOwned};

use crate::{Code, Method, Result, RpcError, ServiceDescriptor};

/// Methods that can be called by name. `#[service]` writes it for a trait.
pub trait Service: Send + Sync + 'static {
    /// Names, argument names and types, documentation.
    fn descriptor(&self) -> &'static ServiceDescriptor;

    /// Runs `method` on the arguments of `call` and lets `call` put the outcome into its wire's form.
    ///
    /// It never panics: a panic of the method is an `INTERNAL` error.
    fn dispatch<C: Call>(&self, method: &str, call: C) -> impl Future<Output = C::Reply> + Send;
}

/// One request as its wire received it: a codec in two functions.
///
/// # Notes for implementers
/// Dispatch is static, so [`args`](Self::args) decodes straight from the wire's bytes into the arguments' struct and
/// [`reply`](Self::reply) encodes straight from the reply, with no tree of values between.
pub trait Call: Send {
    /// What the wire sends back.
    type Reply: Send + 'static;

    /// Decodes the arguments; called at most once.
    ///
    /// `A` is a struct whose fields are the arguments, to be read by position or by name. Arguments that do not fit are
    /// [`bad_arguments`].
    fn args<A: DeserializeOwned>(&mut self) -> Result<A>;

    /// Encodes the outcome, reply or error.
    fn reply<R: Serialize>(self, outcome: Result<R>) -> Self::Reply;
}

/// Runs one method: decodes its arguments, calls it, encodes the outcome. Generated code calls this.
pub async fn invoke<C, A, R, F>(method: &'static Method, mut call: C, run: impl FnOnce(A) -> F + Send) -> C::Reply
where
    C: Call,
    A: DeserializeOwned + Send,
    R: Serialize,
    F: Future<Output = Result<R>> + Send,
{
    let outcome = AssertUnwindSafe(async {
        let args = call.args().map_err(|error| explain(method, error))?;
        run(args).await
    })
    .catch_unwind()
    .await
    .unwrap_or_else(|panic| Err(panicked(method, panic.as_ref())));
    call.reply(outcome)
}

/// Answers a call of a method that `descriptor` doesn't have. Generated code calls this.
pub fn unknown_method<C: Call>(descriptor: &ServiceDescriptor, method: &str, call: C) -> C::Reply {
    let known: Vec<_> = descriptor.methods().iter().map(Method::name).collect();
    call.reply::<()>(Err(RpcError::unimplemented(format!(
        "no method `{}` in {}; it has {}",
        method.escape_debug(),
        descriptor.full_name(),
        known.join(", ")
    ))))
}

/// The error for arguments that could not be decoded, naming the one at fault.
///
/// A wire calls this after its ordinary decoding failed: reading `arguments` once more, slowly, finds the place, so
/// that good calls don't pay for the search.
pub fn bad_arguments<'de, A: DeserializeOwned>(arguments: impl Deserializer<'de>) -> RpcError {
    match serde_path_to_error::deserialize::<_, A>(arguments) {
        Err(error) => RpcError::invalid_argument(locate(error.path(), field_names::<A>(), &error.inner().to_string())),
        Ok(_) => RpcError::invalid_argument("the arguments do not fit, or more follow than the method takes"),
    }
}

fn locate(path: &serde_path_to_error::Path, names: &[&str], problem: &str) -> String {
    use serde_path_to_error::Segment;
    let mut segments = path.iter();
    let argument = match segments.next() {
        Some(Segment::Seq { index }) => names.get(*index).map(ToString::to_string),
        Some(Segment::Map { key }) => Some(key.clone()),
        _ => None,
    };
    let Some(argument) = argument else { return problem.to_owned() };
    let rest: String = segments
        .map(|segment| match segment {
            Segment::Seq { index } => format!("[{index}]"),
            other => format!(".{other}"),
        })
        .collect();
    format!("argument `{argument}{rest}`: {problem}")
}

/// The names of a struct's fields, as its `Deserialize` announces them.
fn field_names<A: DeserializeOwned>() -> &'static [&'static str] {
    struct Announced<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Announced<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_struct<V: serde::de::Visitor<'de>>(
            self,
            _name: &'static str,
            fields: &'static [&'static str],
            _visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(serde::de::Error::custom("only the names were asked for"))
        }

        fn deserialize_any<V: serde::de::Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
            Err(serde::de::Error::custom("not a struct"))
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut names: &'static [&'static str] = &[];
    let _ = A::deserialize(Announced(&mut names));
    names
}

/// Says what the method takes, where its arguments did not fit.
fn explain(method: &Method, error: RpcError) -> RpcError {
    if error.code() != Code::InvalidArgument {
        return error;
    }
    RpcError::invalid_argument(format!("{}; usage: {}", error.message(), method.signature()))
}

fn panicked(method: &Method, panic: &(dyn Any + Send)) -> RpcError {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    RpcError::internal(format_args!("{} panicked: {text}", method.path()))
}
