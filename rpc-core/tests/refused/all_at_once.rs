#[rpc_core::service(package = "demo.v1")]
trait Demo: Clone {
    const VERSION: u32;
    fn plain(&self) -> rpc_core::Result<()>;
    async fn borrowed(&self, name: &str) -> rpc_core::Result<()>;
    #[idempotent = "yes"]
    async fn generic<T>(&self, value: T) -> rpc_core::Result<()>;
    async fn pattern(&self, (a, b): (i64, i64)) -> rpc_core::Result<()>;
    async fn number(&self) -> u64;
    async fn été(&self, #[serde(default)] b: i64) -> rpc_core::Result<()>;
    async fn body(&self) -> rpc_core::Result<()> {
        Ok(())
    }
}

fn main() {}
