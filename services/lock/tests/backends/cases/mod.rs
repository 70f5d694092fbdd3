//! The cases, by subject.

mod exclusion;
mod fencing;
mod holds;
mod leases;
mod names;
mod re_entry;
mod state;
mod waiting;
mod watches;

use crate::bench::Case;

pub(crate) fn all() -> Vec<Case> {
    let cases = [
        exclusion::all(),
        names::all(),
        leases::all(),
        re_entry::all(),
        fencing::all(),
        waiting::all(),
        state::all(),
        watches::all(),
        holds::all(),
    ];
    cases.into_iter().flatten().collect()
}
