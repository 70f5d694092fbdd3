//! `everywire call`: one call over any wire.
//!
//! The words of the command line become JSON, and the service's own argument decoding does the rest: a client is a
//! [`Toolkit`](everywire_toolkit::Toolkit), so it can be served like one, in memory.

use std::time::Duration;

use clap::Args;
use everywire::{
    Caller, Result, RpcError,
    descriptor::{Method, shape::Shape},
    memory,
};
use everywire_net::without_user_info;
use everywire_toolkit::{ToolkitClient, ToolkitService};
use serde_json::{Map, Value};

use super::{print, probe};

/// Call one method over any wire and print its reply as JSON
#[derive(Debug, Clone, Args)]
#[command(after_help = methods())]
pub(crate) struct Call {
    /// The server, such as `xmlrpc://127.0.0.1:4242`, or a URL that a server prints, such as `http://127.0.0.1:4242`
    url: String,
    /// The method, such as add
    method: String,
    /// The arguments: in order, or as NAME=VALUE
    #[arg(allow_hyphen_values = true)]
    arguments: Vec<String>,
    /// Time to wait for the response
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

fn methods() -> String {
    let signatures = ToolkitService::descriptor().methods().iter().map(|method| format!("  {}", method.signature()));
    std::iter::once("Methods:".to_owned()).chain(signatures).collect::<Vec<_>>().join("\n")
}

impl Call {
    /// The time is for connecting and calling together.
    pub(crate) async fn run(self) -> Result<()> {
        tokio::time::timeout(self.timeout, self.answered()).await.unwrap_or_else(|_| {
            let (url, time) = (without_user_info(&self.url), self.timeout);
            Err(RpcError::deadline_exceeded(format!("no response from {url} within {time:?}")))
        })
    }

    async fn answered(&self) -> Result<()> {
        let Self { url, timeout, .. } = self;
        // A server at `*` listens on every address, loopback included.
        let url = url.replacen("://*", "://127.0.0.1", 1);
        let url = match url.strip_prefix("http://") {
            Some(location) => format!("{}://{location}", probe::scheme_at(location).await?),
            None => url,
        };
        self.over(everywire::connect(&url).await?.timeout(*timeout)).await
    }

    async fn over(&self, caller: impl Caller) -> Result<()> {
        let arguments = match ToolkitService::descriptor().method(&self.method) {
            Some(method) => to_json(method, &self.arguments),
            // The service itself says which methods it has.
            None => Value::Array(Vec::new()),
        };
        let service = ToolkitService::new(ToolkitClient::new(caller));
        print(format_args!("{}\n", memory::call(&service, &self.method, arguments).await?))
    }
}

/// The words as a JSON array, or as an object where they are named.
fn to_json(method: &Method, words: &[String]) -> Value {
    let named: Option<Map<_, _>> = words.iter().map(|word| named(method, word)).collect();
    match named {
        Some(arguments) if !arguments.is_empty() => Value::Object(arguments),
        _ => positional(method, words),
    }
}

fn named(method: &Method, word: &str) -> Option<(String, Value)> {
    let (name, text) = word.split_once('=')?;
    let argument = method.arguments().iter().find(|argument| argument.name() == name)?;
    Some((name.to_owned(), value(argument.r#type().shape().ok(), text)))
}

fn positional(method: &Method, words: &[String]) -> Value {
    let shapes =
        method.arguments().iter().map(|argument| argument.r#type().shape().ok()).chain(std::iter::repeat(None));
    words.iter().zip(shapes).map(|(word, shape)| value(shape, word)).collect()
}

/// An argument is taken as text if the method expects text, and as JSON otherwise. What is not JSON stays text, and the service
/// rejects it.
fn value(shape: Option<&Shape>, word: &str) -> Value {
    let is_text = |shape: &Shape| matches!(shape, Shape::String | Shape::Char);
    match shape {
        Some(shape) if is_text(shape) => Value::from(word),
        Some(Shape::Option(inner)) if is_text(inner) && word != "null" => Value::from(word),
        _ => serde_json::from_str(word).unwrap_or_else(|_| Value::from(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_arguments() {
        let lock = ToolkitService::descriptor().method("lock").unwrap();
        #[rustfmt::skip]
        let cases: &[(&[&str], &str)] = &[
            (&["7", "1000"], r#"["7",1000]"#),
            (&["job", "1000", "null", "17"], r#"["job",1000,null,"17"]"#),
            (&["ttl_ms=5", "name=a=b"], r#"{"ttl_ms":5,"name":"a=b"}"#),
            (&["name=a", "5"], r#"["name=a",5]"#),
            (&["job", "soon"], r#"["job","soon"]"#),
            (&[], "[]"),
        ];
        for (words, expected) in cases {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(to_json(lock, &words).to_string(), *expected, "{words:?}");
        }
    }
}
