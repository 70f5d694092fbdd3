#[everywire_core::service(package = "demo.v1")]
trait Demo {
    async fn add(&self, a: i64, b: i64) -> i64;
}

fn main() {}
