//! The status page for browsers: a few files that are part of the binary.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::route::Routes;

/// The page loads nothing from elsewhere, runs nothing that is not in its own files, and is shown in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/-/page.css", async || file("text/css", include_str!("../page/page.css")))
        .get("/-/page.js", async || file("text/javascript", include_str!("../page/page.js")))
        .get("/-/icon.svg", async || file("image/svg+xml", include_str!("../page/icon.svg")))
}

/// The page itself.
pub(super) fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("../page/index.html"))
}

/// Whether whoever asks is a browser with somebody before it.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let mut response = text.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
