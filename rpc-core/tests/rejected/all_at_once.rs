#[everywire_core::service(package = "demo.v1")]
trait Demo: Clone {
    const VERSION: u32;
    fn plain(&self) -> everywire_core::Result<()>;
    async fn borrowed(&self, name: &str) -> everywire_core::Result<()>;
    #[idempotent = "yes"]
    async fn generic<T>(&self, value: T) -> everywire_core::Result<()>;
    async fn pattern(&self, (a, b): (i64, i64)) -> everywire_core::Result<()>;
    async fn number(&self) -> u64;
    async fn été(&self, #[serde(default)] b: i64) -> everywire_core::Result<()>;
    async fn body(&self) -> everywire_core::Result<()> {
        Ok(())
    }
}

fn main() {}
