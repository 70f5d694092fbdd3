//! soon
use crate::{compare::Change, result::Results};
/// soon
pub fn page(results: &Results, changes: Option<&[Change]>) -> String { let _ = (results, changes); String::new() }
/// soon
pub fn text(results: &Results, changes: Option<&[Change]>) -> String { let _ = (results, changes); String::new() }
