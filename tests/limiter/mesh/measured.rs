//! How much the mesh grants beyond its limit while it is asked all the time: with a network in order, a slow one, and none.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use everywire_toolkit::Permit;
use tokio::{task::JoinSet, time::sleep};

use super::{LIMIT, LIMITERS, Mesh};

/// How often each limiter is asked: all together take the limit in 100 ms.
const PACE: Duration = Duration::from_millis(10);
/// So often each is asked for a permit, and each could grant the limit alone.
const ASKED: u32 = LIMIT + 5;
const ROUNDS: usize = 12;

/// What one limiter was asked and answered.
#[derive(Debug)]
struct Answer {
    asked: Instant,
    answered: Instant,
    permit: Permit,
}

/// What the others granted beyond the limit, and how long news took.
#[derive(Debug)]
struct Slot {
    overshoot: usize,
    bound: usize,
    delay: Duration,
}

impl Mesh {
    async fn cut_each(&self, pause: Duration) {
        loop {
            self.cut();
            sleep(pause).await;
        }
    }

    /// Asks all limiters, in turns within a pace.
    async fn ask(&self, resource: &str) -> Vec<Vec<Answer>> {
        let mut asking = JoinSet::new();
        let start = Instant::now() + PACE;
        for (turn, limiter) in (0..).zip(&self.limiters) {
            let (limiter, resource) = (Arc::clone(limiter), resource.to_owned());
            asking.spawn(async move {
                let mut answers = Vec::new();
                let first = start + PACE * turn / LIMITERS;
                for step in 0..ASKED {
                    sleep((first + step * PACE).saturating_duration_since(Instant::now())).await;
                    let asked = Instant::now();
                    let permit = limiter.acquire(&resource, 1).unwrap();
                    answers.push(Answer { asked, answered: Instant::now(), permit });
                }
                answers
            });
        }
        asking.join_all().await
    }

    /// The overshoot of some slots, each within its bound.
    async fn measure(&self, name: &str) {
        let (mut overshoots, mut bounds, mut delays) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let slot = slot(&self.ask(&format!("{name} {round}")).await);
            assert!(slot.overshoot <= slot.bound, "{name}: {slot:?}");
            overshoots.push(slot.overshoot);
            bounds.push(slot.bound);
            delays.push(usize::try_from(slot.delay.as_millis()).unwrap());
        }
        println!("{name}: {} of {}; news took {} ms", spread(&overshoots), spread(&bounds), spread(&delays));
    }
}

/// Looks at a slot. Each answer says how many permits its limiter counts, so it says how many it had heard of.
fn slot(answers: &[Vec<Answer>]) -> Slot {
    let (mut delay, mut last) = (Duration::ZERO, None);
    for (by, answers_of_one) in answers.iter().enumerate() {
        let others = granted_by_others(answers, by);
        let mut own = 0;
        for answer in answers_of_one {
            own += usize::from(answer.permit.go);
            if answer.permit.remaining == 0 && !answer.permit.go {
                // Nobody can see how many more it counts.
                continue;
            }
            let heard = (LIMIT - answer.permit.remaining) as usize - own;
            let granted = others.iter().filter(|other| other.asked < answer.answered).count();
            assert!(heard <= granted, "{by} has heard of {heard} permits, but there are {granted}");
            if let Some(unheard) = others.get(heard) {
                delay = delay.max(answer.asked.saturating_duration_since(unheard.answered));
            }
            if answer.permit.go && last.is_none_or(|(_, asked)| asked < answer.asked) {
                last = Some((by, answer.asked));
            }
        }
    }
    let (by, asked) = last.expect("the first one is go");
    let others = granted_by_others(answers, by);
    let granted = others.len() + answers[by].iter().filter(|answer| answer.permit.go).count();
    let bound = others.iter().filter(|other| other.answered + delay >= asked).count();
    Slot { overshoot: granted.saturating_sub(LIMIT as usize), bound, delay }
}

/// The permits of all limiters but one, in the order in which they were granted.
fn granted_by_others(answers: &[Vec<Answer>], by: usize) -> Vec<&Answer> {
    let others = answers.iter().enumerate().filter(|(own, _)| *own != by).flat_map(|(_, answers)| answers);
    let mut granted: Vec<_> = others.filter(|answer| answer.permit.go).collect();
    granted.sort_by_key(|answer| answer.answered);
    granted
}

/// The least, the most, and the mean.
fn spread(figures: &[usize]) -> String {
    let (least, most) = (figures.iter().min().unwrap(), figures.iter().max().unwrap());
    format!("{least} to {most} (mean {})", figures.iter().sum::<usize>() / figures.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_overshoot_is_within_its_bound() {
    println!("{LIMITERS} limiters, {LIMIT} permits, {ROUNDS} slots: permits beyond the limit, of the bound");
    let mesh = Mesh::start().await;
    mesh.measure("in order").await;

    let delay = Duration::from_millis(30);
    mesh.proxies.iter().for_each(|proxy| proxy.delay(delay));
    // What comes while something else is being held waits for that too.
    mesh.measure("30 to 60 ms late").await;
    mesh.proxies.iter().for_each(|proxy| proxy.delay(Duration::ZERO));

    tokio::select! {
        () = mesh.measure("all connections cut each 100 ms") => {}
        () = mesh.cut_each(Duration::from_millis(100)) => {}
    }

    mesh.hold(true);
    mesh.measure("partitioned").await;
    mesh.hold(false);

    mesh.hears_itself("after the partition").await;
    mesh.measure("healed").await;
}
