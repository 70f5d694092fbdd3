//! `add(3, 4)` there and back over each wire, server and client in one process, and the TCP floor.
//!
//! For figures that don't share a process, a report and other servers: `everywire bench`.

use criterion::{Criterion, criterion_group, criterion_main};
use everywire_benches::{run::own_targets, server::Bound, target::Work};
use tokio::runtime::Runtime;

fn round_trips(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads can be started");
    let bound = runtime.block_on(Bound::bind("127.0.0.1", None)).expect("there are free ports");
    let targets = own_targets(&bound.addresses, &[], None).expect("all wires are known");
    runtime.spawn(bound.serve_until(std::future::pending()));
    let mut group = c.benchmark_group("add");
    for target in targets {
        let client = runtime.block_on(target.connect()).expect("the server is there");
        group.bench_function(target.name, |b| {
            b.iter(|| runtime.block_on(client.run(&Work::Add)).expect("an answer"));
        });
    }
}

criterion_group!(benches, round_trips);
criterion_main!(benches);
