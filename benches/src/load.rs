//! The load: closed loops, and an open one.
//!
//! In a **closed** loop each connection sends its next call when it has the answer to the one before. That shows what a
//! server can do, and how long a call takes that waits for no other; but a server that stops for a while is asked
//! nothing meanwhile, so the calls that would have suffered are missing from the figures (coordinated omission). In the
//! **open** loop calls are due at random moments (Poisson) whatever the server does, and a call's time counts from the
//! moment when it was due, be it sent then or later.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use everywire::{Result, RpcError, wire::CancellationToken};
use hdrhistogram::Histogram;
use tokio::{
    runtime::Handle,
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
};

use crate::target::{Client, Work};

/// The longest time that is told from longer ones.
const LONGEST: Duration = Duration::from_mins(1);

/// Calls of an open loop that are on their way at the same time; one more waits, and its time runs. It is below the
/// connections and the calls that a server of everywire allows.
const MOST_IN_FLIGHT: usize = 192;

/// What a load has measured.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The times of the calls, in nanoseconds.
    pub times: Histogram<u64>,
    /// Calls that failed. They are in no other figure.
    pub errors: u64,
    /// What the first of them said.
    pub first_error: Option<String>,
    /// How long it took together.
    pub elapsed: Duration,
}

impl Sample {
    /// An empty one.
    pub fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_nanos()).expect("a minute has few nanoseconds");
        let times = Histogram::new_with_bounds(1, longest, 3).expect("the bounds are in order");
        Self { times, errors: 0, first_error: None, elapsed: Duration::ZERO }
    }

    pub(crate) fn note(&mut self, outcome: Result<()>, time: Duration) {
        match outcome {
            Ok(()) => self.times.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1)),
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| error.to_string());
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.times.add(&other.times).expect("all have the same bounds");
        self.errors += other.errors;
        if self.first_error.is_none() {
            self.first_error.clone_from(&other.first_error);
        }
    }

    /// Answered calls per second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The time in microseconds that the fraction `quantile` of the calls does not exceed.
    pub fn micros(&self, quantile: f64) -> f64 {
        self.times.value_at_quantile(quantile) as f64 / 1e3
    }
}

impl Default for Sample {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls for `time` with `in_flight` calls at the same time on each of `clients`.
pub async fn closed(clients: &[Arc<Client>], in_flight: usize, work: &Work, time: Duration) -> Result<Sample> {
    let began = Instant::now();
    let mut loops = JoinSet::new();
    for client in clients.iter().flat_map(|client| std::iter::repeat_n(client, in_flight)) {
        loops.spawn(one_after_another(Arc::clone(client), work.clone(), began + time));
    }
    let mut sample = Sample::new();
    while let Some(part) = loops.join_next().await {
        sample.add(&part.map_err(RpcError::internal)?);
    }
    sample.elapsed = began.elapsed();
    Ok(sample)
}

async fn one_after_another(client: Arc<Client>, work: Work, end: Instant) -> Sample {
    let mut sample = Sample::new();
    let mut sent = Instant::now();
    while sent < end {
        let outcome = client.run(&work).await;
        let answered = Instant::now();
        if outcome.is_err() {
            // A server that refuses at once is not asked a million times.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        sample.note(outcome, answered - sent);
        sent = answered;
    }
    sample
}

/// Calls for `time` at moments of a Poisson process with `rate` calls per second, over `clients` in turn. `seed` makes
/// the moments repeatable.
pub async fn open(clients: &[Arc<Client>], work: &Work, rate: f64, time: Duration, seed: u64) -> Result<Sample> {
    let stop = CancellationToken::new();
    let _stops_if_dropped = stop.clone().drop_guard();
    let pace = Pace {
        clients: clients.to_vec(),
        work: work.clone(),
        places: Arc::new(Semaphore::new(MOST_IN_FLIGHT)),
        sample: Arc::new(Mutex::new(Sample::new())),
        runtime: Handle::current(),
        stop,
    };
    // The runtime's timer has a resolution of a millisecond; a thread that sleeps is late by some ten microseconds.
    spawn_blocking(move || pace.run(rate, time, seed)).await.map_err(RpcError::internal)
}

struct Pace {
    clients: Vec<Arc<Client>>,
    work: Work,
    places: Arc<Semaphore>,
    sample: Arc<Mutex<Sample>>,
    runtime: Handle,
    stop: CancellationToken,
}

impl Pace {
    fn run(self, rate: f64, time: Duration, seed: u64) -> Sample {
        let mut random = Random(seed);
        let began = Instant::now();
        let mut due = Duration::ZERO;
        for client in self.clients.iter().cycle() {
            due += Duration::from_secs_f64(random.exponential() / rate);
            if due >= time || self.stop.is_cancelled() {
                break;
            }
            thread::sleep((began + due).saturating_duration_since(Instant::now()));
            self.send(Arc::clone(client), began + due);
        }
        // All places are free again when all calls are done.
        let all = u32::try_from(MOST_IN_FLIGHT).expect("a small number");
        let _ = self.runtime.block_on(self.places.acquire_many(all));
        let mut sample = self.sample.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sample.elapsed = began.elapsed();
        sample
    }

    fn send(&self, client: Arc<Client>, due: Instant) {
        let place = self.runtime.block_on(Arc::clone(&self.places).acquire_owned());
        let (work, sample) = (self.work.clone(), Arc::clone(&self.sample));
        self.runtime.spawn(async move {
            let outcome = client.run(&work).await;
            sample.lock().unwrap_or_else(PoisonError::into_inner).note(outcome, due.elapsed());
            drop(place);
        });
    }
}

/// Random numbers that repeat: `SplitMix64` (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Exponentially distributed with the mean 1.
    fn exponential(&mut self) -> f64 {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_those_of_a_poisson_process() {
        let mut random = Random(1);
        let times: Vec<f64> = (0..100_000).map(|_| random.exponential()).collect();
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / times.len() as f64;
        assert!((mean - 1.0).abs() < 0.02 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
        assert!(times.iter().all(|time| time.is_finite()));
    }

    #[test]
    fn errors_are_counted_and_not_timed() {
        let mut sample = Sample::new();
        sample.note(Ok(()), Duration::from_micros(100));
        sample.note(Err(RpcError::unavailable("gone")), Duration::from_nanos(1));
        let mut sum = Sample::new();
        sum.add(&sample);
        sum.add(&sample);
        assert_eq!((sum.times.len(), sum.errors), (2, 2));
        assert_eq!(sum.first_error.as_deref(), Some("UNAVAILABLE: gone"));
        assert!((sum.micros(0.5) - 100.0).abs() < 0.2);
    }
}
