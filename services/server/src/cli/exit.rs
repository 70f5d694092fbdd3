//! The exit codes of the commands that call a server.

use std::process::ExitCode;

use everywire::{Code, RpcError};

/// The reply says that the caller did not get what it asked for.
pub(super) const DENIED: ExitCode = ExitCode::FAILURE;

/// The exit code of an error is its code's number and this.
const ERRORS: u8 = 10;

/// The exit code of an error, such as 13 for `INVALID_ARGUMENT`.
pub(super) fn of(error: &RpcError) -> ExitCode {
    ExitCode::from(number(error.code()))
}

fn number(code: Code) -> u8 {
    u8::try_from(code.number()).map_or(ERRORS, |number| ERRORS + number)
}

/// The exit codes as `--help` shows them.
pub(super) fn table() -> String {
    let codes: Vec<_> =
        Code::ALL.iter().map(|code| format!("{:<23}", format!("{} {}", number(*code), code.name()))).collect();
    let rows: Vec<_> = codes.chunks(3).map(|row| format!("  {}\n", row.concat().trim_end())).collect();
    format!(
        "Exit codes:\n  0 success\n  1 the reply is a denial: the lock was not granted, or the limiter says sorry\n  \
         2 the command line is wrong\n{}",
        rows.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_in_the_table_within_80_columns() {
        let table = table();
        for code in Code::ALL {
            assert!(table.contains(&format!("{} {}", number(*code), code.name())), "{table}");
        }
        assert!(table.lines().all(|line| line.len() < 80), "{table}");
        assert_eq!((number(Code::Cancelled), number(Code::Unauthenticated)), (11, 26));
    }
}
