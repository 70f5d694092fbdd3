//! The web pages that may call, as flags.

use clap::Args;
use rpc_core::Result;

use super::of_flag;

/// Which web pages may call over XML-RPC and JSON-RPC.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Web pages")]
pub(crate) struct OriginFlags {
    /// Let pages of this origin call through a browser, over XML-RPC and JSON-RPC, such as https://app.example; repeatable.
    /// Without it only pages that this server itself is the host of may, under an IP address or localhost
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Take requests whose Origin and Host both have this name, such as rpc.example; repeatable. Programs that are no
    /// browsers send such an Origin too
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
}

impl OriginFlags {
    /// `server`, which has `origin` and `host` to allow one more, with all that the flags allow.
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
    use rpc_core::RpcError;

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
        let refuse = |_: String, name: &str| Err(RpcError::invalid_argument(format!("not {name}")));
        let error = flags.allow(String::new(), refuse, note('h')).unwrap_err();
        assert_eq!(error.message(), "--allow-origin: not https://a");
        let error = flags.allow(String::new(), note('o'), refuse).unwrap_err();
        assert_eq!(error.message(), "--allow-host: not h");
    }
}
