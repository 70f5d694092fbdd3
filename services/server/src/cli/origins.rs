//! The web pages that may call, as flags.

use clap::Args;
use everywire::Result;

use super::of_flag;

/// Which web pages may call over XML-RPC and JSON-RPC.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Web pages")]
pub(crate) struct OriginFlags {
    /// Let web pages of this origin, such as `https://app.example`, call over XML-RPC and JSON-RPC; repeatable. By default only
    /// the server's own pages may call, under an IP address or localhost
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Accept requests whose Origin and Host are both this name, such as rpc.example; repeatable. Some programs other than
    /// browsers also send such an Origin
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
}

impl OriginFlags {
    /// Lets `server` accept what the flags allow: `origin` and `host` each allow one more.
    pub(crate) fn allow<S>(
        &self,
        server: S,
        origin: impl Fn(S, &str) -> Result<S>,
        host: impl Fn(S, &str) -> Result<S>,
    ) -> Result<S> {
        let mut origins = self.allow_origin.iter();
        let server =
            origins.try_fold(server, |server, name| origin(server, name)).map_err(of_flag("--allow-origin"))?;
        self.allow_host.iter().try_fold(server, |server, name| host(server, name)).map_err(of_flag("--allow-host"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use everywire::RpcError;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        origins: OriginFlags,
    }

    #[test]
    fn every_flag_is_applied_and_named_in_its_error() {
        let arguments = "everywire --allow-origin https://a --allow-host h --allow-origin https://b";
        let flags = Flags::parse_from(arguments.split(' ')).origins;
        let note = |kind: char| move |noted: String, name: &str| Ok(format!("{noted}{kind} {name}; "));
        assert_eq!(flags.allow(String::new(), note('o'), note('h')).unwrap(), "o https://a; o https://b; h h; ");
        let reject = |_: String, name: &str| Err(RpcError::invalid_argument(format!("not {name}")));
        let error = flags.allow(String::new(), reject, note('h')).unwrap_err();
        assert_eq!(error.message(), "--allow-origin: not https://a");
        let error = flags.allow(String::new(), note('o'), reject).unwrap_err();
        assert_eq!(error.message(), "--allow-host: not h");
    }
}
