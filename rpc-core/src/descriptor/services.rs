//! The services of one server.

use std::borrow::Cow;

use super::{method::Method, service::ServiceDescriptor};
use crate::error::{Result, RpcError};

/// The services of one server, and their methods by the names that wires give them.
///
/// A method `take` of `demo.v1.Stock` is called `demo.v1.Stock.take`, `Stock.take` if no other service has that name, and `take` if
/// no other service has such a method. gRPC calls it by its [path](Method::path).
#[derive(Debug, Clone)]
pub struct Services(Vec<&'static ServiceDescriptor>);

impl Services {
    /// These services, at least one.
    pub fn new(services: impl IntoIterator<Item = &'static ServiceDescriptor>) -> Self {
        Self(services.into_iter().collect())
    }

    /// The services in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &'static ServiceDescriptor> {
        self.0.iter().copied()
    }

    /// All methods, each with its shortest name.
    pub fn methods(&self) -> impl Iterator<Item = (Cow<'static, str>, &'static Method)> {
        self.iter().flat_map(|service| service.methods().iter().map(|method| (self.name(service, method), method)))
    }

    /// The method with this name. `UNIMPLEMENTED`, listing the known names, if there is none; `INVALID_ARGUMENT`, listing those that
    /// are meant, if there are several.
    pub fn find(&self, name: &str) -> Result<&'static Method> {
        // Most servers have one service, where no name is ambiguous.
        if let [only] = self.0[..]
            && let Some(method) = only.method(name)
        {
            return Ok(method);
        }
        self.only(self.iter(), name).unwrap_or_else(|| self.find_qualified(name))
    }

    /// The method with this path, such as `/demo.v1.Stock/Take`.
    pub fn at_path(&self, path: &str) -> Option<&'static Method> {
        self.iter().find_map(|service| service.methods().iter().find(|method| method.path() == path))
    }

    /// The service with this method, which is one of theirs.
    pub fn service_of(&self, method: &Method) -> Option<&'static ServiceDescriptor> {
        self.iter().find(|service| service.methods().get(method.index()).is_some_and(|own| std::ptr::eq(own, method)))
    }

    /// The error for a call of a method that no service has.
    pub fn unknown(&self, name: &str) -> RpcError {
        let known: Vec<_> = self.methods().map(|(name, _)| name).collect();
        let services: Vec<_> = self.iter().map(ServiceDescriptor::full_name).collect();
        let have = if services.len() == 1 { "it has" } else { "they have" };
        let (name, services, known) = (shortened(name), services.join(", "), known.join(", "));
        RpcError::unimplemented(format!("no method `{name}` in {services}; {have} {known}"))
    }

    #[cold]
    fn find_qualified(&self, name: &str) -> Result<&'static Method> {
        let (of, method) = name.rsplit_once('.').ok_or_else(|| self.unknown(name))?;
        let services = self.iter().filter(|service| of == service.full_name() || of == service.name());
        self.only(services, method).unwrap_or_else(|| Err(self.unknown(name)))
    }

    /// The method with this name of the only one of `services` that has one; an error if several have.
    fn only(
        &self,
        services: impl Iterator<Item = &'static ServiceDescriptor>,
        name: &str,
    ) -> Option<Result<&'static Method>> {
        let mut found = services.filter_map(|service| service.method(name));
        let first = found.next()?;
        let others: Vec<_> = found.collect();
        Some(if others.is_empty() { Ok(first) } else { Err(self.ambiguous(first, &others)) })
    }

    fn name(&self, service: &ServiceDescriptor, method: &Method) -> Cow<'static, str> {
        let others = || self.iter().filter(|other| !std::ptr::eq(*other, service));
        if others().all(|other| other.method(method.name()).is_none()) {
            method.name().into()
        } else if others().all(|other| other.name() != service.name()) {
            format!("{}.{}", service.name(), method.name()).into()
        } else {
            format!("{}.{}", service.full_name(), method.name()).into()
        }
    }

    #[cold]
    fn ambiguous(&self, first: &Method, others: &[&'static Method]) -> RpcError {
        let is_meant =
            |method: &Method| std::iter::once(first).chain(others.iter().copied()).any(|one| std::ptr::eq(one, method));
        let meant: Vec<_> = self.methods().filter(|(_, method)| is_meant(method)).map(|(name, _)| name).collect();
        let (name, meant) = (first.name(), meant.join(" or "));
        RpcError::invalid_argument(format!("several services have a method `{name}`; expected {meant}"))
    }

    /// Checks that no two services have the same name.
    pub(crate) fn check(&self) -> Result<()> {
        let is_repeated = |(index, service): &(usize, &'static ServiceDescriptor)| {
            self.0[..*index].iter().any(|other| other.full_name() == service.full_name())
        };
        match self.iter().enumerate().find(is_repeated) {
            Some((_, service)) => {
                let text = format!("the server has the service {} twice", service.full_name());
                Err(RpcError::failed_precondition(text))
            }
            None => Ok(()),
        }
    }
}

/// What an error repeats of an unknown method's name.
fn shortened(name: &str) -> std::str::EscapeDebug<'_> {
    name[..name.floor_char_boundary(NAME_BYTES)].escape_debug()
}

const NAME_BYTES: usize = 64;
