//! Routes, and a list of them: what is described to others is compared with it.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use crate::server::Shared;

/// Some routes, each with a method and a path.
pub(super) struct Routes {
    router: Router<Arc<Shared>>,
    listed: Vec<(Method, &'static str)>,
}

/// What is done with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Get,
    Put,
    Post,
    Delete,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { router: Router::new(), listed: Vec::new() }
    }

    pub(super) fn on<H, T>(mut self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        self.listed.push((method, path));
        let filter = match method {
            Method::Get => MethodFilter::GET,
            Method::Put => MethodFilter::PUT,
            Method::Post => MethodFilter::POST,
            Method::Delete => MethodFilter::DELETE,
        };
        self.router = self.router.route(path, on(filter, handler));
        self
    }

    pub(super) fn get<H, T>(self, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        self.on(Method::Get, path, handler)
    }

    pub(super) fn and(mut self, others: Self) -> Self {
        self.listed.extend(others.listed);
        self.router = self.router.merge(others.router);
        self
    }

    pub(super) fn into_router(self) -> Router<Arc<Shared>> {
        self.router
    }

    /// Every method and path.
    #[cfg(test)]
    pub(super) fn listed(&self) -> &[(Method, &'static str)] {
        &self.listed
    }
}
