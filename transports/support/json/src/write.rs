//! Values as JSON, without the silent loss of what JSON has no word for.

use std::io;

use everywire_core::wire::{NotFinite, check_finite};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Writes `value` to `out`, and returns whether it has a `null`.
#[inline]
pub(crate) fn write(out: impl io::Write, value: &impl Serialize) -> serde_json::Result<bool> {
    let mut has_null = false;
    value.serialize(&mut Serializer::with_formatter(out, NoticesNull(&mut has_null)))?;
    Ok(has_null)
}

/// Checks that no `null` in what was written of `value` stands for a NaN or an infinity. A value without a `null` is not looked at.
pub(crate) fn check(has_null: bool, value: &impl Serialize) -> Result<(), NotFinite> {
    if has_null { check_finite(value) } else { Ok(()) }
}

/// Writes as `serde_json` does by default.
struct NoticesNull<'a>(&'a mut bool);

impl Formatter for NoticesNull<'_> {
    fn write_null<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        *self.0 = true;
        writer.write_all(b"null")
    }
}
