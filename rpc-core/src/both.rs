//! Two services as one.

use crate::{
    descriptor::{Method, Services},
    service::{Call, Service},
};

/// Two services as one, made by [`Server::add`](crate::Server::add).
#[derive(Debug)]
pub struct Both<A, B> {
    first: A,
    second: B,
    services: Services,
}

impl<A: Service, B: Service> Both<A, B> {
    pub(crate) fn new(first: A, second: B) -> Self {
        let services = Services::new(first.services().iter().chain(second.services().iter()));
        Self { first, second, services }
    }
}

impl<A: Service, B: Service> Service for Both<A, B> {
    fn services(&self) -> &Services {
        &self.services
    }

    async fn dispatch<C: Call>(&self, method: &'static Method, call: &mut C) -> C::Reply {
        match self.first.services().service_of(method) {
            Some(_) => self.first.dispatch(method, call).await,
            None => self.second.dispatch(method, call).await,
        }
    }
}
