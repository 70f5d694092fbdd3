#[rpc_core::service(package = "demo.v1")]
trait Demo {
    async fn consume(self) -> rpc_core::Result<()>;
    async fn change(&mut self) -> rpc_core::Result<()>;
    async fn detached(a: i64) -> rpc_core::Result<()>;
}

fn main() {}
