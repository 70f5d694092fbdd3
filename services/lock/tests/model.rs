//! Locks in memory, compared with a simple model.

#![expect(clippy::unwrap_used, reason = "a test fails where its assumption does")]

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use everywire_lock::{LockGrant, LockState};
use everywire_lock::{MemoryLocks, Request};
use proptest::prelude::*;

use everywire_testing::model::{Difference, check_sequences, millisecond, same};

const NAMES: usize = 2;
const OWNERS: usize = 4;

/// Few and short times, so that several events often fall into the same millisecond.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Lock {
        name: usize,
        owner: usize,
        ttl: u64,
        wait: u64,
    },
    Unlock {
        name: usize,
        owner: usize,
    },
    Renew {
        name: usize,
        owner: usize,
        ttl: u64,
    },
    /// The oldest wait but `nth` is dropped, as when its client disconnects.
    Cancel {
        nth: usize,
    },
    /// The lock is released, and before a waiter notices, the oldest wait but `nth` is dropped.
    UnlockAndCancel {
        name: usize,
        owner: usize,
        nth: usize,
    },
    Pass {
        ms: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let (name, owner, ttl, nth) = (0..NAMES, 0..OWNERS, 1..=12_u64, 0..4_usize);
    let try_lock = (name.clone(), owner.clone(), ttl.clone());
    let wait = (name.clone(), owner.clone(), ttl.clone(), 1..=25_u64);
    let renew = try_lock.clone();
    let unlock = (name.clone(), owner.clone());
    let unlock_and_cancel = (name, owner, nth.clone());
    prop_oneof![
        2 => try_lock.prop_map(|(name, owner, ttl)| Operation::Lock { name, owner, ttl, wait: 0 }),
        6 => wait.prop_map(|(name, owner, ttl, wait)| Operation::Lock { name, owner, ttl, wait }),
        4 => unlock.prop_map(|(name, owner)| Operation::Unlock { name, owner }),
        2 => renew.prop_map(|(name, owner, ttl)| Operation::Renew { name, owner, ttl }),
        1 => nth.prop_map(|nth| Operation::Cancel { nth }),
        1 => unlock_and_cancel.prop_map(|(name, owner, nth)| Operation::UnlockAndCancel { name, owner, nth }),
        3 => (1..=10_u64).prop_map(|ms| Operation::Pass { ms }),
    ]
}

#[test]
fn locks_behave_as_their_model() {
    check_sequences(operation(), &async |operations| {
        let locks = MemoryLocks::default();
        let mut both = Both::new(&locks);
        for (step, &operation) in operations.iter().enumerate() {
            let outcome = both.run(operation).await;
            outcome.map_err(|difference| format!("{step}. {operation:?}, at {} ms: {difference}", both.model.now))?;
        }
        Ok(())
    });
}

type Call<'a> = Pin<Box<dyn Future<Output = LockGrant> + 'a>>;

/// The locks and their model.
struct Both<'a> {
    locks: &'a MemoryLocks,
    /// The calls that wait, the oldest first: id, lock, future.
    waits: Vec<(usize, usize, Call<'a>)>,
    last_wait: usize,
    model: Model,
    tokens: [Tokens; NAMES],
}

impl<'a> Both<'a> {
    fn new(locks: &'a MemoryLocks) -> Self {
        Self { locks, waits: Vec::new(), last_wait: 0, model: Model::default(), tokens: Default::default() }
    }

    async fn run(&mut self, operation: Operation) -> Difference {
        match operation {
            Operation::Lock { name, owner, ttl, wait } => self.lock(name, owner, ttl, wait)?,
            Operation::Unlock { name, owner } => self.unlock(name, owner)?,
            Operation::Renew { name, owner, ttl } => {
                let mut real = self.locks.renew(request(name, owner, ttl)).unwrap();
                let model = self.model.renew(name, owner, ttl);
                self.tokens[name].translate(&mut real.token, model.token)?;
                same("the answer", &real, &model)?;
            }
            Operation::Cancel { nth } => self.cancel(nth),
            Operation::UnlockAndCancel { name, owner, nth } => {
                self.unlock(name, owner)?;
                self.cancel(nth);
            }
            Operation::Pass { ms } => {
                for _ in 0..ms {
                    millisecond().await;
                    self.model.millisecond();
                    self.compare()?;
                }
            }
        }
        self.compare()
    }

    /// Each wait is one future, polled for the first time when the call is made.
    fn lock(&mut self, name: usize, owner: usize, ttl: u64, wait: u64) -> Difference {
        self.last_wait += 1;
        let (locks, id) = (self.locks, self.last_wait);
        let call = async move { locks.lock(request(name, owner, ttl), Duration::from_millis(wait)).await.unwrap() };
        self.model.lock(id, name, owner, ttl, wait);
        self.waits.push((id, name, Box::pin(call)));
        self.compare()
    }

    fn unlock(&mut self, name: usize, owner: usize) -> Difference {
        let real = self.locks.unlock(&name_of(name), &owner_of(owner)).unwrap();
        same("the answer", &real, &self.model.unlock(name, owner))
    }

    fn cancel(&mut self, nth: usize) {
        if nth < self.waits.len() {
            let (id, _, wait) = self.waits.remove(nth);
            drop(wait);
            self.model.cancel(id);
        }
    }

    /// Lets all calls proceed as far as they can, and compares their replies and the states of all locks.
    fn compare(&mut self) -> Difference {
        let (mut real, model) = (self.answers(), self.model.answers());
        for (real, model) in real.iter_mut().zip(&model).filter(|(real, model)| real.id == model.id) {
            self.tokens[model.name].translate(&mut real.grant.token, model.grant.token)?;
        }
        same("the answers", &real, &model)?;
        for name in 0..NAMES {
            let (mut real, model) = (self.locks.state(&name_of(name)).unwrap(), self.model.state(name));
            self.tokens[name].translate(&mut real.token, model.token)?;
            same(&name_of(name), &real, &model)?;
        }
        Ok(())
    }

    /// One reply may wake the next wait, so this ends when nothing changes any more. A wait that was not woken finds nothing new when
    /// it is polled, because it waits for its own alarm. So a missing wake-up is noticed.
    fn answers(&mut self) -> Vec<Answer> {
        let (mut answers, mut moved) = (Vec::new(), true);
        while moved {
            let before = answers.len();
            self.waits.retain_mut(|(id, name, wait)| {
                let answer = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                let Poll::Ready(grant) = answer else { return true };
                answers.push(Answer { id: *id, name: *name, grant });
                false
            });
            moved = answers.len() > before;
        }
        answers.sort_by_key(|answer| answer.id);
        answers
    }
}

/// The reply to a call of `lock`.
#[derive(Debug, PartialEq)]
struct Answer {
    id: usize,
    name: usize,
    grant: LockGrant,
}

/// The tokens of one lock, by those of the model: different numbers in the same order. The numbers differ because all locks share
/// one counter, and the order in which two locks are handed over in one millisecond is unspecified.
struct Tokens(BTreeMap<u64, u64>);

impl Default for Tokens {
    /// 0 is no token.
    fn default() -> Self {
        Self(BTreeMap::from([(0, 0)]))
    }
}

impl Tokens {
    /// Replaces a token by the model's, if it is the one that the model means.
    fn translate(&mut self, real: &mut u64, model: u64) -> Difference {
        let fits = match self.0.get(&model) {
            Some(known) => known == real,
            None => self.0.iter().all(|(other, known)| (other < &model) == (known < real) && known != real),
        };
        if !fits {
            return Err(format!(
                "token {real} is not the model's {model}; the model's and the real ones: {:?}",
                self.0
            ));
        }
        self.0.insert(model, std::mem::replace(real, model));
        Ok(())
    }
}

fn name_of(name: usize) -> String {
    format!("lock {name}")
}

fn owner_of(owner: usize) -> String {
    format!("owner {owner}")
}

fn request(name: usize, owner: usize, ttl: u64) -> Request {
    Request::new(name_of(name), ttl, Some(owner_of(owner))).unwrap()
}

/// The model of locks, as simple as possible: time is a count of milliseconds, and each millisecond is examined.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    locks: [Lock; NAMES],
    /// The replies since they were last taken.
    answers: Vec<Answer>,
}

#[derive(Debug, Default)]
struct Lock {
    last_token: u64,
    holder: Option<Holder>,
    queue: Vec<Wait>,
}

#[derive(Debug)]
struct Holder {
    owner: usize,
    token: u64,
    holds: u32,
    since: u64,
    until: u64,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    id: usize,
    owner: usize,
    ttl: u64,
    deadline: u64,
}

impl Model {
    fn lock(&mut self, id: usize, name: usize, owner: usize, ttl: u64, wait: u64) {
        let call = Wait { id, owner, ttl, deadline: self.now + wait };
        match &self.locks[name].holder {
            None => self.grant(name, call),
            Some(holder) if holder.owner == owner => self.grant(name, call),
            Some(_) if wait > 0 => self.locks[name].queue.push(call),
            Some(_) => self.refuse(name, call),
        }
    }

    fn unlock(&mut self, name: usize, owner: usize) -> bool {
        let Some(holder) = self.locks[name].holder.as_mut().filter(|holder| holder.owner == owner) else {
            return false;
        };
        holder.holds -= 1;
        if holder.holds == 0 {
            self.hand_over(name);
        }
        true
    }

    fn renew(&mut self, name: usize, owner: usize, ttl: u64) -> LockGrant {
        let now = self.now;
        match &mut self.locks[name].holder {
            Some(holder) if holder.owner == owner => {
                holder.until = now + ttl;
                holder.grant(now)
            }
            other => not_granted(owner, other.as_ref().map_or(0, |holder| holder.until - now)),
        }
    }

    /// A wait in the queue leaves it; a grant that was not collected is released.
    fn cancel(&mut self, id: usize) {
        for lock in &mut self.locks {
            lock.queue.retain(|wait| wait.id != id);
        }
        let Some(index) = self.answers.iter().position(|answer| answer.id == id) else { return };
        let Answer { name, grant, .. } = self.answers.remove(index);
        let holder = self.locks[name].holder.as_ref();
        if let Some(owner) = holder.filter(|holder| holder.token == grant.token).map(|holder| holder.owner) {
            self.unlock(name, owner);
        }
    }

    /// Leases end first, then waits.
    fn millisecond(&mut self) {
        self.now += 1;
        for name in 0..NAMES {
            if self.locks[name].holder.as_ref().is_some_and(|holder| holder.until <= self.now) {
                self.hand_over(name);
            }
            let now = self.now;
            for late in self.locks[name].queue.extract_if(.., |wait| wait.deadline <= now).collect::<Vec<_>>() {
                self.refuse(name, late);
            }
        }
    }

    /// The lock goes to the first in the queue, and to the other waits of the same owner.
    fn hand_over(&mut self, name: usize) {
        let lock = &mut self.locks[name];
        lock.holder = None;
        let Some(next) = lock.queue.first().copied() else { return };
        for call in lock.queue.extract_if(.., |wait| wait.owner == next.owner).collect::<Vec<_>>() {
            self.grant(name, call);
        }
    }

    /// Grants a hold to a call.
    fn grant(&mut self, name: usize, call: Wait) {
        let (now, Wait { id, owner, ttl, .. }) = (self.now, call);
        let Lock { holder, last_token, .. } = &mut self.locks[name];
        let holder = holder.get_or_insert_with(|| {
            *last_token += 1;
            Holder { owner, token: *last_token, holds: 0, since: now, until: now }
        });
        holder.holds += 1;
        holder.until = holder.until.max(now + ttl);
        self.answers.push(Answer { id, name, grant: holder.grant(now) });
    }

    fn refuse(&mut self, name: usize, call: Wait) {
        let rest = self.locks[name].holder.as_ref().map_or(0, |holder| holder.until - self.now);
        self.answers.push(Answer { id: call.id, name, grant: not_granted(call.owner, rest) });
    }

    /// The replies since the last call of this, in the order of the calls.
    fn answers(&mut self) -> Vec<Answer> {
        self.answers.sort_by_key(|answer| answer.id);
        std::mem::take(&mut self.answers)
    }

    fn state(&self, name: usize) -> LockState {
        let Lock { holder, queue, .. } = &self.locks[name];
        let Some(holder) = holder else {
            return LockState { held: false, owner: None, token: 0, held_ms: 0, ttl_ms: 0, waiting: 0 };
        };
        LockState {
            held: true,
            owner: Some(owner_of(holder.owner)),
            token: holder.token,
            held_ms: self.now - holder.since,
            ttl_ms: holder.until - self.now,
            waiting: queue.len().try_into().unwrap(),
        }
    }
}

impl Holder {
    fn grant(&self, now: u64) -> LockGrant {
        let &Self { owner, token, holds, until, .. } = self;
        LockGrant { granted: true, owner: owner_of(owner), token, ttl_ms: until - now, holds, fenced: true }
    }
}

fn not_granted(owner: usize, ttl_ms: u64) -> LockGrant {
    LockGrant { granted: false, owner: owner_of(owner), token: 0, ttl_ms, holds: 0, fenced: true }
}
