#[everywire_core::service(package = "Demo Service")]
trait Named {
    async fn add(&self) -> everywire_core::Result<()>;
}

#[everywire_core::service]
trait Unnamed {
    async fn add(&self) -> everywire_core::Result<()>;
}

#[everywire_core::service(pakage = "demo.v1")]
trait Misspelt {
    async fn add(&self) -> everywire_core::Result<()>;
}

fn main() {}
