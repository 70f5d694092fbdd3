//! What a service looks like from outside: the source of every schema and of introspection.

mod builder;
mod method;
mod service;
mod services;
pub mod shape;

pub use self::{
    builder::{Builder, MethodBuilder},
    method::{Argument, Method, Type},
    service::ServiceDescriptor,
    services::Services,
};
