//! The arguments of a statement, and its errors.

use std::error::Error;

use tokio_postgres::types::{ToSql, Type};

use crate::failure::Failure;

/// An argument of a statement, and its type.
pub type Argument<'a> = (&'a (dyn ToSql + Sync), Type);

/// SQLSTATEs, or their prefixes, of a server that is read-only, is shutting down, or has closed the connection.
const CONNECTION_LOST: [&str; 4] = ["25006", "08", "57P", "25P0"];

pub(super) fn failure(error: &tokio_postgres::Error) -> Failure {
    let is_lost = |code: &str| CONNECTION_LOST.iter().any(|lost| code.starts_with(lost));
    match error.code() {
        Some(code) if !is_lost(code.code()) => Failure::Rejected(words(error)),
        _ => Failure::Lost(words(error)),
    }
}

/// The server's message; without one, the library's with its causes.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let hint = said.hint().map_or_else(String::new, |hint| format!("; {hint}"));
        return format!("{}: {} (SQLSTATE {}){hint}", said.severity(), said.message(), said.code().code());
    }
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
