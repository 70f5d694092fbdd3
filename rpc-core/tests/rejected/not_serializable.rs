#[everywire_core::service(package = "demo.v1")]
trait Demo {
    async fn wait(&self, until: std::time::Instant) -> everywire_core::Result<()>;
}

fn main() {}
