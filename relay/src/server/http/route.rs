//! Routes as the families of them declare them.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use crate::server::Shared;

/// Some routes, each with a method and a path.
pub(super) struct Routes {
    router: Router<Arc<Shared>>,
}

/// What is done with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Get,
    Put,
    Delete,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { router: Router::new() }
    }

    pub(super) fn on<H, T>(mut self, method: Method, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        let filter = match method {
            Method::Get => MethodFilter::GET,
            Method::Put => MethodFilter::PUT,
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
        self.router = self.router.merge(others.router);
        self
    }

    pub(super) fn into_router(self) -> Router<Arc<Shared>> {
        self.router
    }
}
