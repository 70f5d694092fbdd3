#[everywire_core::service(package = "demo.v1")]
trait Demo {
    async fn read(&self, path: String) -> Result<String, std::io::Error>;
}

fn main() {}
