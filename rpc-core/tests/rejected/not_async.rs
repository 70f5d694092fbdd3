#[everywire_core::service(package = "demo.v1")]
trait Demo {
    fn add(&self, a: i64) -> everywire_core::Result<i64>;
}

fn main() {}
