//! One check of a rate limiter in memory, uncontended: the keyed ones of `services`, and governor's beside them.

use std::{hint::black_box, num::NonZeroU32, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use everywire_limiter::{GcraLimiter, SlotLimiter};
use governor::{Quota, RateLimiter};

/// More than the loop takes, so that all is go; with 1 all but the first is sorry.
const PLENTY: u32 = u32::MAX;
/// Resources that exist already, as one alone would be in every cache.
const RESOURCES: usize = 1_000;

fn checks(c: &mut Criterion) {
    let names: Vec<String> = (0..RESOURCES).map(|number| format!("resource {number}")).collect();
    for (word, limit) in [("go", PLENTY), ("sorry", 1)] {
        let mut group = c.benchmark_group(word);
        let period = Duration::from_hours(1);
        let (gcra, slot) = (GcraLimiter::new(limit, period), SlotLimiter::new(limit, period));
        let burst = NonZeroU32::new(limit).expect("more than 0");
        let quota = Quota::with_period(period / limit).expect("not 0").allow_burst(burst);
        let governor = RateLimiter::keyed(quota);
        let mut all = names.iter().cycle();
        let mut next = || all.next().expect("a cycle has no end").as_str();
        group.bench_function("gcra/one resource", |b| b.iter(|| gcra.acquire(black_box("locker"), 1)));
        group.bench_function("gcra/1,000 resources", |b| b.iter(|| gcra.acquire(black_box(next()), 1)));
        group.bench_function("slot/one resource", |b| b.iter(|| slot.acquire(black_box("locker"), 1)));
        group.bench_function("governor/one resource", |b| {
            let key = "locker".to_owned();
            b.iter(|| governor.check_key(black_box(&key)).is_ok());
        });
        group.finish();
    }
    c.bench_function("the clock alone", |b| b.iter(|| black_box(tokio::time::Instant::now())));
}

criterion_group!(benches, checks);
criterion_main!(benches);
