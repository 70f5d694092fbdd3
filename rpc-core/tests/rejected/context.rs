use everywire_core::{Context, Result};

#[everywire_core::service(package = "demo.v1")]
trait Demo {
    async fn late(&self, a: i64, cx: &Context) -> Result<i64>;
    async fn with(&self, a: i64) -> Result<i64>;
    async fn owned(&self, cx: Context) -> Result<i64>;
}

fn main() {}
