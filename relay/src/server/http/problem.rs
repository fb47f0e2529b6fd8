//! What went wrong, as problem details (RFC 9457).

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth::Unauthorized;
use crate::server::storage::Refusal;

/// An answer that is not what was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    /// When to try again.
    #[serde(skip)]
    retry_after: Option<Duration>,
    /// What the document is like now.
    #[serde(skip)]
    tag: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self { status: status.as_u16(), title, detail: detail.into(), retry_after: None, tag: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn foreign_page() -> Self {
        Self::forbidden("web pages from this origin may not connect: allow it with --allow-origin")
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not answer this method")
    }

    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(super) fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, detail)
    }

    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// The document is not what a condition says; its tag is what it is instead.
    pub(super) fn precondition_failed(detail: impl Into<String>, tag: Option<String>) -> Self {
        Self { tag, ..Self::new(StatusCode::PRECONDITION_FAILED, detail) }
    }

    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")
    }

    pub(super) fn no_room(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, detail)
    }

    pub(super) fn too_many(detail: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// It may work in a moment.
    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::unavailable(detail) }
    }

    pub(super) fn too_many_connections() -> Self {
        Self::busy("too many connections")
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let retry_after = Some(Duration::from_secs(10));
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// The storage thread is no more: the relay stops.
    pub(super) fn stopping() -> Self {
        Self::unavailable("the relay is stopping")
    }
}

impl From<Unauthorized> for Problem {
    fn from(error: Unauthorized) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Gone => StatusCode::GONE,
            Refusal::Forbidden => StatusCode::FORBIDDEN,
            Refusal::NoSuchPlace { .. } => StatusCode::CONFLICT,
            Refusal::Load(_) | Refusal::Commit(_) => return Self::unavailable(refusal.to_string()),
        };
        Self::new(status, refusal.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("it was one");
        let (retry_after, tag) = (self.retry_after, self.tag.clone());
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if let Some(tag) = tag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
            headers.insert(header::ETAG, tag);
        }
        response
    }
}
