//! The listing's notes on locks and ids: what they promise, among which servers, and what a restart changes.

use everywire_id::{Guarantees, Ids, Scope};

/// Where the locks are, and what a restart does to them. `file` keeps the marks of tokens.
pub(crate) fn of_locks(engine: Option<&str>, file: Option<&str>) -> String {
    match (engine, file) {
        (Some(engine), _) => format!("Locks are in {engine}, for all servers there."),
        (None, Some(file)) => {
            format!("Locks are in memory: a restart forgets them. Tokens never repeat: {file} has a mark.")
        }
        (None, None) => "Locks are in memory: a restart forgets them, and their tokens begin at 1 again.".to_owned(),
    }
}

/// What the ids promise, among which servers and under which condition. `file` keeps their mark; `are_special` if all servers
/// need the same flags.
pub(crate) fn of_ids(ids: &Ids, are_special: bool, file: Option<&str>) -> Vec<String> {
    let scope = ids.scope();
    let mut notes =
        vec![format!("Ids are unique {}.{}{}", among(scope), sorted(ids.guarantees()), restart(scope, file))];
    if let Scope::Worker(_) = scope {
        let how = "Every other server needs another worker id: --worker N, or --worker auto with --lock URL.";
        notes.push(how.to_owned());
    }
    if are_special {
        notes.push("Every other server needs the same --id-epoch, --id-layout and --id-secret.".to_owned());
    }
    notes
}

fn among(scope: Scope<'_>) -> String {
    match scope {
        Scope::Worker(worker) => format!("as long as this is the only server with worker id {worker}"),
        Scope::Lease { engine, worker, rest } => format!(
            "among the servers that lease a worker id from {engine}, as long as it keeps the leases and their clocks differ by \
             less than {rest:?}. This one has worker id {worker}"
        ),
        Scope::Engine(engine) => {
            format!(
                "among the servers that take them from {engine} by the same --id, as long as it keeps what it wrote"
            )
        }
    }
}

fn sorted(Guarantees { k_sorted, monotonic, .. }: Guarantees) -> &'static str {
    match (k_sorted, monotonic) {
        (true, true) => " They are k-sorted and globally monotonic.",
        (true, false) => " They are k-sorted.",
        (false, true) => " They are globally monotonic.",
        (false, false) => "",
    }
}

/// What a restart of this process does to ids that it makes itself.
fn restart(scope: Scope<'_>, file: Option<&str>) -> String {
    match (scope, file) {
        (Scope::Engine(_), _) | (Scope::Lease { .. }, None) => String::new(),
        (_, Some(file)) => format!(" A restart repeats none: {file} has a mark."),
        (Scope::Worker(_), None) => " A restart may repeat some if the clock was set back.".to_owned(),
    }
}
