//! The `.proto` of a service, made from its descriptor: as text for people, as descriptors for reflection.
//!
//! Both come from one model, a `FileDescriptorProto` with its comments, so that they can't disagree. A method `add` takes
//! `AddRequest`, whose fields are the arguments. It returns the reply if that is a struct, and otherwise `AddReply` with the
//! reply as field `value`. Fields are numbered in the order of declaration, so a service that is in use may only append;
//! [`breaking_changes`] finds any other change, and [`assert_proto`] does so in a test for a file that you commit.

mod changes;
mod comments;
mod committed;
mod members;
mod model;
mod names;
mod print;
mod read;
mod types;

pub use changes::breaking_changes;
pub use committed::assert_proto;
use everywire_core::{Result, RpcError, descriptor::ServiceDescriptor};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

/// Rejects a service with a type or a name that proto3 can't express. The error says where it is, and why.
pub fn check(service: &ServiceDescriptor) -> Result<()> {
    file(service).map(|_| ())
}

/// The `.proto` file of the service as text.
///
/// # Panics
/// If [`check`] rejects the service.
pub fn proto(service: &ServiceDescriptor) -> String {
    print::print(&checked(service))
}

/// The `.proto` file of the service as descriptors.
///
/// # Panics
/// If [`check`] rejects the service.
pub fn file_descriptor_set(service: &ServiceDescriptor) -> FileDescriptorSet {
    FileDescriptorSet { file: vec![checked(service)] }
}

fn checked(service: &ServiceDescriptor) -> FileDescriptorProto {
    file(service).unwrap_or_else(|error| panic!("{error}"))
}

/// The one model that text and descriptors are made from.
pub(crate) fn file(service: &ServiceDescriptor) -> Result<FileDescriptorProto> {
    service.check_types("grpc", |r#type, types| types::carries(r#type.shape()?, types))?;
    model::file(service)
        .map_err(|reason| RpcError::failed_precondition(format!("grpc can't carry {}: {reason}", service.full_name())))
}
