//! The services of a gRPC server, and how a method of theirs is named.

use std::path::{Path, PathBuf};

use everywire::{Limits, Result, RpcError};
use prost_reflect::{DescriptorPool, MethodDescriptor};

/// The services that a server has beside its own.
const BUILTIN: &[&str] = &["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// The files that describe a server, and its services in them.
#[derive(Debug)]
pub(in crate::cli) struct Schema {
    pub(super) pool: DescriptorPool,
    /// The full names.
    pub(super) services: Vec<String>,
}

impl Schema {
    /// The methods of all services but reflection itself.
    pub(in crate::cli) fn methods(&self) -> impl Iterator<Item = MethodDescriptor> {
        let services = self.services.iter().filter(|name| !BUILTIN.contains(&name.as_str()));
        let services = services.filter_map(|name| self.pool.get_service_by_name(name));
        services.flat_map(|service| service.methods().collect::<Vec<_>>())
    }

    /// Whether the server has a service with this full name.
    pub(in crate::cli) fn has(&self, service: &str) -> bool {
        self.services.iter().any(|name| name == service)
    }

    /// The method called `name`: `pkg.Service/Method`, `pkg.Service.Method`, or `Method` alone if one service has it. Letter case
    /// and underscores do not matter in the name alone, so that `next_id` finds `NextId`.
    pub(in crate::cli) fn find(&self, name: &str) -> Result<MethodDescriptor> {
        let full = name.trim_start_matches('/').replace('/', ".");
        if let Some(method) = self.methods().find(|method| method.full_name() == full) {
            return Ok(method);
        }
        let found: Vec<_> = self.methods().filter(|method| plain(method.name()) == plain(name)).collect();
        match &found[..] {
            [method] => Ok(method.clone()),
            [] => Err(RpcError::unimplemented(format!("no method `{}`; {}", name.escape_debug(), self.offer()))),
            several => Err(RpcError::invalid_argument(format!("`{name}` may be {}", paths(several).join(" or ")))),
        }
    }

    fn offer(&self) -> String {
        let all: Vec<_> = self.methods().collect();
        if all.is_empty() { "no service is known".to_owned() } else { format!("there are {}", paths(&all).join(", ")) }
    }
}

fn paths(methods: &[MethodDescriptor]) -> Vec<String> {
    methods.iter().map(path).collect()
}

/// `pkg.Service/Method`.
pub(super) fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

/// Compiles a `.proto` file. It imports from `folders`, or from its own if there are none.
pub(super) fn compile(file: &Path, folders: &[PathBuf]) -> Result<Schema> {
    let failed = |reason: &dyn std::fmt::Display| {
        RpcError::invalid_argument(format!("--proto: {} can't be read: {reason}", file.display()))
    };
    let length = file.metadata().map_err(|error| failed(&error))?.len();
    if length > Limits::default().message_bytes as u64 {
        return Err(failed(&"it is too long"));
    }
    let own = file.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let folders: Vec<_> =
        if folders.is_empty() { own.into_iter().collect() } else { folders.iter().map(PathBuf::as_path).collect() };
    let files = protox::compile([file], folders).map_err(|error| failed(&error))?;
    let pool = DescriptorPool::from_file_descriptor_set(files).map_err(|error| failed(&error))?;
    let services = pool.services().map(|service| service.full_name().to_owned()).collect();
    Ok(Schema { pool, services })
}
