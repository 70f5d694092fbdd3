//! A flash sale: 50 tasks want one of 10 pieces, and one distributed lock lets one at a time see the stock.
//!
//! `cargo run --example seckill -- http://127.0.0.1:4242`

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use everywire::{Result, xmlrpc};
use everywire_toolkit::{Toolkit, ToolkitClient};
use tokio::{task::JoinSet, time::sleep};

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:4242".into());
    // Longer than the longest wait for the lock.
    let client = xmlrpc::Client::connect(&url).await?.timeout(Duration::from_secs(70));
    let toolkit = Arc::new(ToolkitClient::new(client));
    let stock = Arc::new(AtomicU32::new(10));
    let mut buyers = JoinSet::new();
    for buyer in 0..50 {
        buyers.spawn(buy(buyer, Arc::clone(&toolkit), Arc::clone(&stock)));
    }
    let mut purchases = buyers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    // In the order of the fencing tokens, which is the order of the holders: the first ten bought a piece.
    purchases.sort_unstable_by_key(|(token, _)| *token);
    let sold = purchases.iter().filter(|(_, bought)| *bought).count();
    println!("{sold} of 50 have bought, and {} pieces are left", stock.load(Relaxed));
    assert!(sold == 10 && stock.load(Relaxed) == 0);
    assert!(purchases[..10].iter().all(|(_, bought)| *bought));
    Ok(())
}

/// Buys a piece if one is left. Returns the fencing token, and whether it bought one.
async fn buy(buyer: u32, toolkit: Arc<impl Toolkit>, stock: Arc<AtomicU32>) -> Result<(u64, bool)> {
    let lock = toolkit.lock("seckill.rs".into(), 10_000, Some(60_000), None).await?;
    assert!(lock.granted, "{lock:?}");
    println!("buyer {buyer} got the lock");
    let left = stock.load(Relaxed);
    sleep(Duration::from_millis(1)).await; // without the lock, others would now read the same stock
    if left > 0 {
        stock.store(left - 1, Relaxed);
    }
    assert!(toolkit.unlock("seckill.rs".into(), lock.owner).await?);
    Ok((lock.token, left > 0))
}
