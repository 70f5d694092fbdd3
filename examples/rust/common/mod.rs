//! What works over any wire: the client of every wire is a `Toolkit`.

use everywire::{Code, Origin, Result};
use everywire_toolkit::Toolkit;

/// Adds, acquires, renews and releases the lock `name`, takes ids, reads a stream of them, and handles an error.
pub(crate) async fn run(toolkit: &impl Toolkit, name: &str) -> Result<()> {
    let sum = toolkit.add(3, 4).await?;
    println!("3 + 4 = {sum}");
    assert_eq!(sum, 7);

    // A lease of 10 s, after waiting at most 15 s. The server makes up an owner name.
    let lock = toolkit.lock(name.into(), 10_000, Some(15_000), None).await?;
    assert!(lock.granted, "{lock:?}");
    // Send the token with each write, and let the storage reject one lower than the highest it has seen.
    println!("locked by {} with the fencing token {}", lock.owner, lock.token);
    let other = toolkit.lock(name.into(), 10_000, None, None).await?;
    assert!(!other.granted, "another owner tries once: {other:?}");
    let renewed = toolkit.renew(name.into(), lock.owner.clone(), 10_000).await?;
    assert!(renewed.granted && renewed.token == lock.token, "{renewed:?}");
    assert!(toolkit.unlock(name.into(), lock.owner).await?);
    let later = toolkit.lock(name.into(), 10_000, None, None).await?;
    println!("locked again with {}", later.token);
    assert!(later.token > lock.token);
    toolkit.unlock(name.into(), later.owner).await?;

    let ids = toolkit.next_ids(1_000).await?;
    println!("1000 ids, from {} to {}", ids[0], ids[999]);
    assert!(ids.len() == 1_000 && ids.is_sorted_by(|one, next| one < next));

    // A stream: the server makes them as they are read.
    let mut stream = toolkit.ids(10_000).await?;
    let (mut count, mut last) = (0, 0);
    while let Some(id) = stream.next().await {
        let id = id?;
        assert!(id > last);
        (count, last) = (count + 1, id);
    }
    println!("a stream of {count} ids, up to {last}");
    assert_eq!(count, 10_000);

    // Every wire has the same sixteen codes. The origin tells an error of the server from one that the client found itself.
    let error = toolkit.lock(name.into(), 0, None, None).await.expect_err("a lock for 0 ms is rejected");
    println!("a lock for 0 ms: {error}");
    assert_eq!((error.code(), error.origin()), (Code::InvalidArgument, Origin::Remote));
    Ok(())
}
