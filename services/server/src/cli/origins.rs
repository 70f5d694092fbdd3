//! The web pages that may call, as flags.

use clap::Args;
use everywire::{Result, WebOrigins};

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
    /// The pages that the flags allow.
    pub(crate) fn origins(&self) -> Result<WebOrigins> {
        let mut origins = WebOrigins::default();
        for origin in &self.allow_origin {
            origins = origins.allow_origin(origin).map_err(of_flag("--allow-origin"))?;
        }
        for host in &self.allow_host {
            origins = origins.allow_host(host).map_err(of_flag("--allow-host"))?;
        }
        Ok(origins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        origins: OriginFlags,
    }

    fn allowed(arguments: &str) -> std::result::Result<String, String> {
        let flags = Flags::parse_from(arguments.split(' ')).origins;
        flags.origins().map(|origins| format!("{origins:?}")).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn every_flag_is_applied_and_named_in_its_error() {
        let flags = "everywire --allow-origin https://a --allow-host h --allow-origin https://b";
        let expected = WebOrigins::default().allow_origin("https://a").unwrap();
        let expected = expected.allow_origin("https://b").unwrap().allow_host("h").unwrap();
        assert_eq!(allowed(flags), Ok(format!("{expected:?}")));
        for flag in ["--allow-origin", "--allow-host"] {
            let error = allowed(&format!("everywire {flag} a://b://c")).unwrap_err();
            assert!(error.starts_with(&format!("{flag}: `a://b://c` is not a valid ")), "{error}");
        }
    }
}
