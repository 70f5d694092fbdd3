#[rpc_core::service(package = "demo.v1")]
trait Demo {
    fn add(&self, a: i64) -> rpc_core::Result<i64>;
}

fn main() {}
