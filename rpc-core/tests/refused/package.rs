#[rpc_core::service(package = "Demo Service")]
trait Named {
    async fn add(&self) -> rpc_core::Result<()>;
}

#[rpc_core::service]
trait Unnamed {
    async fn add(&self) -> rpc_core::Result<()>;
}

#[rpc_core::service(pakage = "demo.v1")]
trait Misspelt {
    async fn add(&self) -> rpc_core::Result<()>;
}

fn main() {}
