#[rpc_core::service(package = "demo.v1")]
trait Demo {
    async fn wait(&self, until: std::time::Instant) -> rpc_core::Result<()>;
}

fn main() {}
