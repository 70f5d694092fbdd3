//! `ids [SECONDS [DIR]]`: ids per second of one worker in this process, with the real clock, and the CPU time that they
//! cost (Linux: from /proc). With DIR the highest id is kept there.
//!
//! First the promise, 4,096 ids per millisecond for a single caller, idle while it waits. Then how `next` scales over
//! threads, with a layout that has more ids than anybody can take, so that no call waits.

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use everywire::{Result, RpcError};
use everywire_benches::{argument, process};
use everywire_engines::durable::DataDir;
use everywire_id::{Layout, Settings, Snowflake};
use tokio::runtime::Builder;

/// What one worker of the default layout can have.
const MOST_PER_SECOND: f64 = 4_096_000.0;

fn main() -> Result<()> {
    let seconds = argument(1, "seconds").map_or(Ok(5), |text| text.parse());
    let time = Duration::from_secs(seconds.map_err(|_| RpcError::invalid_argument("SECONDS is no number"))?);
    let dir = argument(2, "a directory").ok().map(|dir| DataDir::open(Path::new(&dir))).transpose()?;
    println!("one caller, layout {}, {time:?} each", Layout::default());
    for batch in [1, 100, 4_096, 100_000] {
        let ids = Snowflake::new(0)?;
        let ids = match &dir {
            Some(dir) => ids.durable(dir)?,
            None => ids,
        };
        let (rate, cpu) = measured(&[Arc::new(ids)], batch, time)?;
        let percent = 100.0 * rate / MOST_PER_SECOND;
        println!(
            "  {batch:>7} ids a call {rate:>10.0} ids/s {percent:>7.2} % of the most {:>6.1} % of a CPU",
            100.0 * cpu
        );
    }
    let layout = Layout::new(41, 0, 22)?;
    println!("one id a call, layout {layout}, {time:?} each");
    let ids = || Snowflake::with(Settings { layout, ..Settings::default() }).map(Arc::new);
    let shared = ids()?;
    let cases = [
        ("1 thread", vec![ids()?]),
        ("2 threads, a generator each", vec![ids()?, ids()?]),
        ("2 threads, one generator", vec![Arc::clone(&shared), shared]),
    ];
    for (name, ids) in cases {
        let (rate, cpu) = measured(&ids, 1, time)?;
        println!("  {name:<27} {rate:>10.0} ids/s {:>6.1} ns of CPU per id", 1e9 * cpu / rate);
    }
    Ok(())
}

/// Lets each generator make ids in a thread of its own: ids per second, and CPU seconds per second.
fn measured(generators: &[Arc<Snowflake>], batch: u32, time: Duration) -> Result<(f64, f64)> {
    let (began, cpu) = (Instant::now(), cpu_time()?);
    let threads: Vec<_> = generators
        .iter()
        .map(|ids| {
            let ids = Arc::clone(ids);
            thread::spawn(move || make(&ids, batch, time))
        })
        .collect();
    let mut count = 0;
    for thread in threads {
        count += thread.join().map_err(|_| RpcError::internal("a thread panicked"))??;
    }
    let (took, cpu) = (began.elapsed().as_secs_f64(), cpu_time()?.saturating_sub(cpu));
    Ok((count as f64 / took, cpu.as_secs_f64() / took))
}

fn make(ids: &Snowflake, batch: u32, time: Duration) -> Result<u64> {
    let runtime = Builder::new_current_thread().enable_time().build().map_err(RpcError::internal)?;
    runtime.block_on(async {
        let (began, mut count) = (Instant::now(), 0);
        while began.elapsed() < time {
            // A look at the time for many ids, as it costs as much as an id.
            for _ in 0..1_000_u32.div_ceil(batch) {
                count += if batch == 1 {
                    std::hint::black_box(ids.next().await?);
                    1
                } else {
                    std::hint::black_box(ids.next_many(batch).await?).len() as u64
                };
            }
        }
        Ok(count)
    })
}

/// User and system time of this process.
fn cpu_time() -> Result<Duration> {
    process::cpu_time(std::process::id()).ok_or_else(|| RpcError::unavailable("there is no /proc"))
}
