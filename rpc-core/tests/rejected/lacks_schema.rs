use everywire_core::serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(crate = "everywire_core::serde")]
struct Item {
    name: String,
}

#[everywire_core::service(package = "demo.v1")]
trait Demo {
    async fn add(&self, items: Vec<Item>) -> everywire_core::Result<()>;
    async fn first(&self) -> everywire_core::Result<Item>;
}

fn main() {}
