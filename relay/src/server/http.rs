//! What can be asked over HTTP, one file a family of routes.

mod changes;
mod documents;
mod health;
mod problem;
mod status;
mod sync;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde_json::{Value, json};

use self::problem::Problem;
use super::{Shared, now};
use crate::access::{Permit, Right};
use crate::id::Tenant;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .merge(sync::routes())
        .merge(health::routes())
        .merge(status::routes())
        .merge(changes::routes())
        .merge(documents::routes())
        .fallback(async || Problem::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(shared)
}

/// Who asks, and what they are permitted. A route that takes one answers nobody else.
struct Caller(Permit);

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        if !shared.door.allows_page(&parts.headers) {
            return Err(Problem::foreign_page());
        }
        Ok(Self(shared.door.permit(&parts.headers, &parts.uri, now())?.permit))
    }
}

impl Caller {
    /// Only for those who look after the relay; without tokens that is everyone.
    fn administrator(&self) -> Result<(), Problem> {
        let is_admin = self.0.everywhere == Some(Right::Admin) || !self.0.is_authenticated;
        is_admin.then_some(()).ok_or_else(|| Problem::forbidden("this is for administrators (role: admin)"))
    }

    fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }
}

/// What every JSON answer carries.
fn metadata() -> Value {
    json!({"timestamp": now(), "version": env!("CARGO_PKG_VERSION")})
}
