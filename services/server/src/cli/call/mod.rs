//! `everywire call`: one call over any wire, to any server.
//!
//! A [`target`] is what is called: a method of this program's own service, or of any other. What the server says of it decides
//! how the words of the command line are read ([`arguments`]).

mod arguments;
mod target;
mod toolkit;
mod watch;

use std::process::ExitCode;

use clap::Args;
use everywire::{Result, Streaming};
use everywire_toolkit::ToolkitService;
use serde_json::Value;
use tokio::task::block_in_place;

use self::{target::Target, watch::Watch};
use super::{
    exit, json_text, print, print_line,
    remote::{self, Location, Options, method},
    say,
};

/// Call one method of any server over any wire and print its reply as JSON
///
/// A reply that is a stream is printed as its items come, one JSON value a line. Ctrl-C ends it, here and on the server.
///
/// Without a method, lists what the server offers, as far as it describes itself: by XML-RPC's introspection, rpc.discover of
/// JSON-RPC, zerorpc's inspection, or gRPC's reflection.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = notes(), after_help = "`--help` says more: how values are read, exit codes, the methods of `everywire serve`.")]
pub(crate) struct Call {
    /// The server, such as `xmlrpc://127.0.0.1:4242`, or a URL that a server prints, such as `http://127.0.0.1:4242`
    url: String,
    /// The method, such as add; on gRPC also pkg.Service/Method
    method: Option<String>,
    /// The arguments: in order, or as NAME=VALUE; @FILE reads a value from a file, and @- from standard input. Flags come before
    /// them
    #[arg(allow_hyphen_values = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    options: Options,
    /// The method replies with a stream: print its items as they come. JSON-RPC and gRPC servers say so themselves
    #[arg(long)]
    stream: bool,
    /// Say on standard error what was called, and how long it took
    #[arg(short, long)]
    verbose: bool,
}

/// What `--help` says below the flags.
fn notes() -> String {
    let signatures = ToolkitService::descriptor().methods().iter().map(|method| format!("  {}\n", method.signature()));
    format!("{VALUES}\n{}\nMethods of `everywire serve`:\n{}", exit::table(), signatures.collect::<String>())
}

const VALUES: &str = "\
Values:
  A word is a value in JSON if it can be read as one, and text otherwise. Where
  the server says that it wants text, the word is the text. A JSON string is a
  text in any case: '\"7\"' is 7. `@@` stands for `@`.
  NAME=VALUE names an argument. Where the server says which parameters there
  are, NAME is one of them, and arguments are all named or all in order. A text
  such as a=b is then a JSON string, '\"a=b\"', or has its name: text=a=b.
  On gRPC, one JSON object may be the whole request. In replies, bytes are in
  base64.
";

impl Call {
    /// The time is for connecting and calling together, until a stream begins.
    pub(crate) async fn run(self) -> Result<ExitCode> {
        match remote::within(self.options.timeout, &self.url, Box::pin(self.answered())).await? {
            Answer::Printed(code) => Ok(code),
            Answer::Items { items, may_deny } => print_items(items, may_deny).await,
        }
    }

    async fn answered(&self) -> Result<Answer> {
        let location = Location::of(&self.url, self.options.metadata.context()?).await?;
        let Some(name) = &self.method else {
            print(method::list(&remote::methods(location, &self.options).await?))?;
            return Ok(Answer::Printed(ExitCode::SUCCESS));
        };
        let mut watch = Watch::start(&location);
        let target = Target::of(location, name, &self.options).await?;
        watch.ready();
        let outcome = self.called(&target).await;
        if self.verbose {
            say(watch);
        }
        outcome
    }

    async fn called(&self, target: &Target) -> Result<Answer> {
        let read = || arguments::read(&self.arguments, target.method(), target.has_names());
        // Standard input may keep it waiting. Meanwhile the connection needs its heartbeats.
        let arguments = block_in_place(read)?;
        if self.stream || target.method().streams {
            let items = target.stream(arguments).await?;
            return Ok(Answer::Items { items, may_deny: target.may_deny() });
        }
        let reply = target.call(arguments).await?;
        print(format_args!("{}\n", json_text(&reply)))?;
        Ok(Answer::Printed(if target.may_deny() && toolkit::is_denial(&reply) {
            exit::DENIED
        } else {
            ExitCode::SUCCESS
        }))
    }
}

/// What became of a call.
enum Answer {
    Printed(ExitCode),
    Items {
        items: Streaming<Value>,
        /// Whether an item may say that the caller did not get what it asked for.
        may_deny: bool,
    },
}

/// Prints items until the end of the stream, or until nobody reads them.
async fn print_items(mut items: Streaming<Value>, may_deny: bool) -> Result<ExitCode> {
    let mut is_denied = false;
    while let Some(item) = items.next().await {
        let item = item?;
        is_denied |= may_deny && toolkit::is_denial(&item);
        if !print_line(json_text(&item))? {
            break;
        }
    }
    Ok(if is_denied { exit::DENIED } else { ExitCode::SUCCESS })
}
