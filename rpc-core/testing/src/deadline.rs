//! Waits with a deadline.

use std::time::Duration;

use tokio::time::timeout;

/// Longer than any test waits for something that should happen at once.
const SOON: Duration = Duration::from_secs(30);

/// Waits for what should happen at once; names `what` if it doesn't.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what}: no end within {SOON:?}"))
}
