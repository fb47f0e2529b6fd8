//! What browsers ask before a page from elsewhere may read an answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::server::Shared;

const METHODS: &str = "GET, PUT, POST, DELETE";

/// What a page may send along.
const SENT: &str = "authorization, content-type, if-match, if-none-match, last-event-id, pannier-session, \
                    pannier-sequence, pannier-acknowledged";

/// What a page may read of an answer besides its body.
const READ: &str = "etag, retry-after";

/// For how many seconds a browser may remember the answer.
const REMEMBERED: &str = "600";

/// Lets pages from allowed origins read answers. There are no cookies here: a page has a token or has none.
pub(super) async fn allow(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let Some(origin) = origin.filter(|_| shared.door.allows_page(request.headers())) else {
        return next.run(request).await;
    };
    let is_question = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response =
        if is_question { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT),
        (header::ACCESS_CONTROL_MAX_AGE, REMEMBERED),
    ] {
        if is_question {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(READ));
    response
}
