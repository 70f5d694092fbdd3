//! The cases, by subject.

mod exclusion;
mod fencing;
mod leases;
mod names;
mod re_entry;
mod state;
mod waiting;

use crate::bench::Case;

pub(crate) fn all() -> Vec<Case> {
    [exclusion::all(), names::all(), leases::all(), re_entry::all(), fencing::all(), waiting::all(), state::all()]
        .into_iter()
        .flatten()
        .collect()
}
