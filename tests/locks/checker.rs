//! Whether a history is one that a lock can have.
//!
//! Linearizability is decided as by Wing and Gong with Lowe's just-in-time search: the calls are gone through in the order of
//! their beginnings and ends, and every state that the lock may be in is kept. Where a call ends, only those states stay in
//! which it took effect, after any of the calls that were under way.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Call, What};

/// Everything at once; what is wrong, if anything is.
pub(crate) fn check(calls: &[Call]) -> Result<(), String> {
    each_lock(calls, |calls| exclusive(calls).and_then(|()| ordered(calls)).and_then(|()| linearizable(calls)))
}

/// The tokens alone, which grow even if leases end too soon.
pub(crate) fn tokens(calls: &[Call]) -> Result<(), String> {
    each_lock(calls, ordered)
}

fn each_lock(calls: &[Call], check: impl Fn(&[&Call]) -> Result<(), String>) -> Result<(), String> {
    let mut locks: BTreeMap<usize, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        locks.entry(call.lock).or_default().push(call);
    }
    for (lock, mut calls) in locks {
        calls.sort_by_key(|call| call.asked);
        check(&calls).map_err(|error| format!("lock {lock}: {error}"))?;
    }
    Ok(())
}

/// No two owners are sure to have the lock at the same time: from the answer to the lock, to the question to unlock or the
/// soonest end of the lease.
fn exclusive(calls: &[&Call]) -> Result<(), String> {
    let given_back: BTreeMap<_, _> =
        calls.iter().filter(|call| token(call).is_none()).map(|call| (call.owner, call.asked)).collect();
    let mut holds: Vec<_> = calls
        .iter()
        .filter_map(|call| {
            let What::Granted { ttl, .. } = call.what else { return None };
            let lease = call.asked + ttl;
            Some((call.told, given_back.get(&call.owner).map_or(lease, |asked| lease.min(*asked)), call.owner))
        })
        .filter(|(from, to, _)| from < to)
        .collect();
    holds.sort_unstable();
    for pair in holds.windows(2) {
        let [(_, end, one), (start, _, other)] = pair else { continue };
        if start < end {
            return Err(format!("owners {one} and {other} have it at the same time"));
        }
    }
    Ok(())
}

/// Tokens are different, and whoever asked after another was told has the greater one.
fn ordered(calls: &[&Call]) -> Result<(), String> {
    let mut grants: Vec<_> =
        calls.iter().filter_map(|call| token(call).map(|token| (token, call.asked, call.told))).collect();
    grants.sort_unstable();
    let mut latest = 0;
    for (number, (token, asked, told)) in grants.iter().enumerate() {
        if number > 0 && grants[number - 1].0 == *token {
            return Err(format!("token {token} comes twice"));
        }
        // Everybody with a lower token must have asked before this one was told.
        if latest > *told {
            return Err(format!("a token below {token} was drawn after it"));
        }
        latest = latest.max(*asked);
    }
    Ok(())
}

/// What a lock is: its last token, who has it, and until when at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Lock {
    token: u64,
    held: Option<(u64, u64)>,
}

/// A state, and the calls under way that have taken effect.
type Possible = (Lock, BTreeSet<usize>);

fn linearizable(calls: &[&Call]) -> Result<(), String> {
    // Ends come before beginnings at the same time.
    let mut moments = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        moments.push((call.asked, 1, number));
        if call.what != What::Unknown {
            moments.push((call.told, 0, number));
        }
    }
    moments.sort_unstable();
    let mut under_way = BTreeSet::new();
    let mut possible = BTreeSet::from([Possible::default()]);
    for (_, begins, number) in moments {
        if begins == 1 {
            under_way.insert(number);
            continue;
        }
        let found = after(calls, &under_way, possible, number);
        under_way.remove(&number);
        if found.is_empty() {
            return Err(format!("no order of the calls explains the answer to {:?}", calls[number]));
        }
        let ended = |(lock, mut effective): Possible| {
            effective.remove(&number);
            (lock, effective)
        };
        possible = found.into_iter().map(ended).collect();
        possible = forget(calls, &mut under_way, possible);
    }
    Ok(())
}

/// The states in which `number` has taken effect, after any others that are under way.
fn after(calls: &[&Call], under_way: &BTreeSet<usize>, from: BTreeSet<Possible>, number: usize) -> BTreeSet<Possible> {
    let (mut found, mut seen, mut open) = (BTreeSet::new(), from.clone(), Vec::from_iter(from));
    while let Some((lock, effective)) = open.pop() {
        if effective.contains(&number) {
            found.insert((lock, effective));
            continue;
        }
        let next_token = under_way.difference(&effective).filter_map(|&next| token(calls[next])).min();
        for &next in under_way.difference(&effective) {
            let in_turn = token(calls[next]).is_none_or(|token| Some(token) == next_token);
            if let Some(lock) = effect(lock, calls[next]).filter(|_| in_turn) {
                let mut effective = effective.clone();
                effective.insert(next);
                if seen.insert((lock, effective.clone())) {
                    open.push((lock, effective));
                }
            }
        }
    }
    found
}

fn token(call: &Call) -> Option<u64> {
    match call.what {
        What::Granted { token, .. } => Some(token),
        _ => None,
    }
}

/// What a call makes of a lock, if its answer fits. A lease may have ended as soon as it could.
fn effect(lock: Lock, call: &Call) -> Option<Lock> {
    let has_it = lock.held.is_some_and(|(owner, _)| owner == call.owner);
    let may_be_free = lock.held.is_none_or(|(_, until)| call.told >= until);
    let free = Lock { held: None, ..lock };
    match call.what {
        What::Granted { ttl, token } => {
            let held = Some((call.owner, call.asked + ttl));
            (may_be_free && token > lock.token).then_some(Lock { token, held })
        }
        What::Unlocked(true) | What::Unknown => has_it.then_some(free),
        What::Unlocked(false) => (!has_it || may_be_free).then_some(if has_it { free } else { lock }),
    }
}

/// A call without an answer matters only as long as its owner may have the lock. After that it makes no difference whether it
/// took effect.
fn forget(calls: &[&Call], under_way: &mut BTreeSet<usize>, possible: BTreeSet<Possible>) -> BTreeSet<Possible> {
    let holders: BTreeSet<u64> = possible.iter().filter_map(|(lock, _)| lock.held).map(|(owner, _)| owner).collect();
    under_way.retain(|&number| calls[number].what != What::Unknown || holders.contains(&calls[number].owner));
    let matters = |(lock, mut effective): Possible| {
        effective.retain(|number| under_way.contains(number));
        (lock, effective)
    };
    possible.into_iter().map(matters).collect()
}

fn granted(owner: u64, token: u64, asked: u64, told: u64) -> Call {
    Call { lock: 0, owner, what: What::Granted { ttl: 100, token }, asked, told }
}

fn unlocked(owner: u64, had: bool, asked: u64, told: u64) -> Call {
    Call { lock: 0, owner, what: What::Unlocked(had), asked, told }
}

#[test]
fn good_histories_pass() {
    let unknown = Call { what: What::Unknown, ..unlocked(1, true, 10, 20) };
    let histories = [
        vec![granted(1, 1, 0, 5), unlocked(1, true, 10, 20), granted(2, 2, 8, 25)],
        vec![granted(1, 1, 0, 5), granted(2, 2, 8, 101), unlocked(1, false, 102, 103)],
        vec![granted(1, 1, 0, 5), unknown.clone(), granted(2, 2, 30, 40)],
        vec![granted(1, 2, 0, 50), granted(2, 1, 0, 50), unlocked(2, true, 50, 60)]
            .into_iter()
            .map(|mut call| {
                call.told += 100;
                call
            })
            .collect(),
    ];
    for history in histories {
        check(&history).unwrap_or_else(|error| panic!("{error}: {history:?}"));
    }
}

#[test]
fn bad_histories_are_found() {
    #[rustfmt::skip]
    let histories = [
        (vec![granted(1, 1, 0, 5), granted(2, 2, 6, 9)], "at the same time"),
        (vec![granted(1, 1, 0, 5), granted(2, 1, 200, 205)], "token 1 comes twice"),
        (vec![granted(1, 5, 0, 5), granted(2, 4, 200, 205)], "was drawn after it"),
        (vec![granted(1, 1, 0, 5), unlocked(1, false, 10, 20)], "no order of the calls"),
        (vec![granted(1, 1, 0, 5), unlocked(1, true, 10, 20), unlocked(1, true, 30, 40)], "no order of the calls"),
        (vec![granted(1, 1, 0, 5), unlocked(1, true, 50, 60), granted(2, 2, 6, 49)], "at the same time"),
        (vec![granted(1, 1, 0, 30), unlocked(1, true, 31, 90), granted(2, 2, 0, 29), unlocked(2, false, 30, 32)], "no order of the calls"),
    ];
    for (history, expected) in histories {
        let error = check(&history).expect_err(expected);
        assert!(error.contains(expected), "{error} is not {expected}: {history:?}");
    }
}

/// As many calls at the same time as a run has, and answers that are never told.
#[test]
fn a_long_history_is_decided() {
    let mut calls = Vec::new();
    for number in 0..2_000 {
        let (owner, start) = (number + 1, 10 + number * 10);
        calls.push(granted(owner, owner, start.saturating_sub(80), start));
        let what = if number % 10 == 0 { What::Unknown } else { What::Unlocked(true) };
        calls.push(Call { what, ..unlocked(owner, true, start + 1, start + 9) });
    }
    check(&calls).unwrap();
}
