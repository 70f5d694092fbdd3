//! The flag for what travels with a call besides its arguments.

use clap::Args;
use everywire::{Context, Result, RpcError};
use tokio::task::block_in_place;

use crate::cli::{at_file, of_flag};

/// The metadata of every request to a server.
#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct MetadataFlag {
    /// Metadata to send, such as `authorization=Bearer TOKEN`, or NAME=@FILE; may be repeated
    ///
    /// It travels with the call and with the questions about the server's methods, on every wire. `NAME: VALUE` is the same.
    /// NAME=@FILE reads the value from a file, and NAME=@- from standard input: a command line is seen by all users of the machine.
    /// `@@` stands for `@`.
    #[arg(short = 'H', long = "metadata", value_name = "NAME=VALUE")]
    entries: Vec<String>,
}

impl MetadataFlag {
    /// The context of the calls. It reads the files, and standard input for `@-`, so it is asked for once.
    pub(in crate::cli) fn context(&self) -> Result<Context> {
        block_in_place(|| self.read()).map_err(of_flag("--metadata"))
    }

    fn read(&self) -> Result<Context> {
        self.entries.iter().try_fold(Context::new(), |context, entry| {
            let (name, value) = name_and_value(entry)?;
            // Names are lowercase on every wire; HTTP's users write them with capitals. A file often ends in a line end.
            context.metadata(&name.to_ascii_lowercase(), at_file::value(value)?.trim_end_matches(['\r', '\n']))
        })
    }
}

/// Splits `NAME=VALUE`, or `NAME: VALUE` as HTTP writes it. The error does not repeat the text, which may be a credential.
fn name_and_value(entry: &str) -> Result<(&str, &str)> {
    let end = entry.find(['=', ':']).ok_or_else(|| RpcError::invalid_argument("expected NAME=VALUE or NAME: VALUE"))?;
    let (name, value) = (&entry[..end], &entry[end + 1..]);
    Ok((name, if entry[end..].starts_with(':') { value.trim_start() } else { value }))
}

#[cfg(test)]
mod tests {
    use std::{fs, slice};

    use super::*;

    #[test]
    fn names_and_values_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "Bearer a=b:c\n").unwrap();
        let from_file = format!("Authorization=@{}", file.display());
        #[rustfmt::skip]
        let cases = [
            ("tenant=7", "tenant", "7"),
            ("tenant= 7", "tenant", " 7"),
            ("X-Tenant:  7", "x-tenant", "7"),
            ("x-tenant:7", "x-tenant", "7"),
            ("url=http://x?a=b", "url", "http://x?a=b"),
            ("at=@@you", "at", "@you"),
            ("empty=", "empty", ""),
            (&from_file, "authorization", "Bearer a=b:c"),
            (&from_file.replacen('=', ": ", 1), "authorization", "Bearer a=b:c"),
        ];
        for (entry, name, value) in cases {
            let flag = MetadataFlag { entries: vec![entry.to_owned()] };
            assert_eq!(flag.read().unwrap().metadata.iter().collect::<Vec<_>>(), [(name, value)], "{entry}");
        }
        let twice = MetadataFlag { entries: vec!["a=1".to_owned(), "a=2".to_owned()] };
        assert_eq!(twice.read().unwrap().metadata.get_all("a").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn what_is_wrong_is_said_without_the_value() {
        for (entry, expected) in [
            ("secret", "expected NAME=VALUE or NAME: VALUE"),
            ("a b=secret", "metadata `a b`: expected a name of at most "),
            ("te=secret", "metadata `te`: the name is used by the wires themselves"),
            ("a=sécret", "metadata `a`: expected a value of printable ASCII"),
            ("a=@/no/such/file", "`@/no/such/file`: "),
        ] {
            let flag = MetadataFlag { entries: slice::from_ref(&entry.to_owned()).to_vec() };
            let error = flag.read().unwrap_err();
            assert!(error.message().starts_with(expected) && !error.message().contains("cret"), "{error}");
        }
    }
}
