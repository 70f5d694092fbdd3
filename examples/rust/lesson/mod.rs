//! What one can do over any wire: a client of one wire is a `Toolkit` like any other.

use everywire::{Code, Origin, Result};
use everywire_toolkit::Toolkit;

/// Adds, takes and keeps and gives back a lock, takes ids, and meets an error. `name` is the lock's.
pub(crate) async fn lesson(toolkit: &impl Toolkit, name: &str) -> Result<()> {
    let sum = toolkit.add(3, 4).await?;
    println!("3 + 4 = {sum}");
    assert_eq!(sum, 7);

    // For 10 s at first, after a wait of 15 s at most. The server makes a name for the owner up.
    let lock = toolkit.lock(name.into(), 10_000, Some(15_000), None).await?;
    assert!(lock.granted, "{lock:?}");
    // Send the token along with each write, and let the storage refuse one lower than the highest it has seen.
    println!("locked by {} with the fencing token {}", lock.owner, lock.token);
    let other = toolkit.lock(name.into(), 10_000, None, None).await?;
    assert!(!other.granted, "somebody else tries once: {other:?}");
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

    // The same sixteen codes on every wire; the origin tells an answer of the server from a conclusion of the client.
    let error = toolkit.lock(name.into(), 0, None, None).await.expect_err("a lock for 0 ms is refused");
    println!("a lock for 0 ms: {error}");
    assert_eq!((error.code(), error.origin()), (Code::InvalidArgument, Origin::Remote));
    Ok(())
}
