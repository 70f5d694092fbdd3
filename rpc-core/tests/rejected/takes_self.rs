#[everywire_core::service(package = "demo.v1")]
trait Demo {
    async fn consume(self) -> everywire_core::Result<()>;
    async fn change(&mut self) -> everywire_core::Result<()>;
    async fn detached(a: i64) -> everywire_core::Result<()>;
}

fn main() {}
