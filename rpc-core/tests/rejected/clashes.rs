#[everywire_core::service(package = "demo.v1")]
trait Demo {
    async fn new(&self) -> everywire_core::Result<()>;
    async fn next_id(&self) -> everywire_core::Result<u64>;
    async fn next__id(&self) -> everywire_core::Result<u64>;
}

fn main() {}
