//! What can be asked over HTTP, one file a family of routes.

mod body;
mod changes;
mod cross_origin;
mod documents;
mod event_stream;
mod events;
mod health;
mod openapi;
mod page;
mod problem;
mod route;
mod sessions;
mod sse;
mod status;
mod sync;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use serde::de::DeserializeOwned;

use self::problem::Problem;
use self::route::Routes;
use super::door::Entry;
use super::{Shared, now};
use crate::access::{Permit, Right};
use crate::id::Tenant;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    routes()
        .into_router()
        .fallback(async || Problem::not_found("there is nothing at this address"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&shared), cross_origin::allow))
        .with_state(shared)
}

fn routes() -> Routes {
    sync::routes()
        .and(sse::routes())
        .and(page::routes())
        .and(openapi::routes())
        .and(health::routes())
        .and(status::routes())
        .and(events::routes())
        .and(sessions::routes())
        .and(changes::routes())
        .and(documents::routes())
        .and(upload::routes())
}

/// Most items in one answer.
const PAGE_MAX: usize = 1000;

/// How many items somebody wants in one answer.
fn page_limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(PAGE_MAX),
        Some(limit @ 1..=PAGE_MAX) => Ok(limit),
        Some(_) => Err(Problem::bad_request(format!("limit is between 1 and {PAGE_MAX}"))),
    }
}

/// Places in lists stay below what JavaScript counts to.
const PLACE_MAX: u64 = (1 << 53) - 1;

/// Where a page goes on.
fn place(asked: u64) -> Result<u64, Problem> {
    let why = || Problem::bad_request(format!("a place is at most {PLACE_MAX}"));
    (asked <= PLACE_MAX).then_some(asked).ok_or_else(why)
}

/// What stands behind the question mark of an address.
struct Asked<T>(T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Problem> {
        let query = Query::try_from_uri(&parts.uri);
        let Query(asked) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
        Ok(Self(asked))
    }
}

/// The answer to whoever asks too often.
pub(super) fn too_many_requests(of: &str, rest: Duration) -> Response {
    hasty(of, rest).into_response()
}

fn hasty(of: &str, rest: Duration) -> Problem {
    let seconds = rest.as_millis().div_ceil(1000);
    Problem::too_many(format!("too many requests of {of}; try again in {seconds} s"), rest)
}

/// Who asks, and what they are permitted. A route that takes one answers nobody else.
#[derive(Clone)]
struct Caller(Entry);

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        if !shared.door.allows_page(&parts.headers) {
            return Err(Problem::foreign_page());
        }
        let entry = shared.door.permit(&parts.headers, &parts.uri, now())?;
        shared.share.take(&entry.permit).map_err(|(of, rest)| hasty(of, rest))?;
        Ok(Self(entry))
    }
}

impl Caller {
    /// Only for those who look after the relay; without tokens that is everyone.
    fn administrator(&self) -> Result<(), Problem> {
        let permit = self.permit();
        let is_admin = permit.everywhere == Some(Right::Admin) || !permit.is_authenticated;
        is_admin.then_some(()).ok_or_else(|| Problem::forbidden("this is for administrators (role: admin)"))
    }

    /// Only for those who follow every document of their tenant.
    fn follower(&self) -> Result<(), Problem> {
        let why = "this is for programs that read everything (role: reader, service or admin)";
        self.permit().may_follow.then_some(()).ok_or_else(|| Problem::forbidden(why))
    }

    /// Whether they still are who they were when they asked.
    fn still(&self, shared: &Shared) -> Result<(), Problem> {
        let is_in = !self.permit().is_expired(now()) && shared.door.is_welcome(self.0.bearer.as_ref());
        is_in.then_some(()).ok_or_else(|| Problem::unauthorized("the token has ended meanwhile"))
    }

    fn permit(&self) -> &Permit {
        &self.0.permit
    }

    fn tenant(&self) -> &Tenant {
        &self.permit().tenant
    }
}

/// What every JSON answer carries.
fn metadata() -> Value {
    json!({"timestamp": now(), "version": env!("CARGO_PKG_VERSION")})
}
