//! Documents brought over HTTP: read within bounds, checked like any peer's, and answered when they are durable.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crdt_core::graph::chunk::{ChunkKind, InvalidChunk, ParsedChange, split};
use crdt_core::id::DocumentId;
use crdt_core::limits::DOCUMENT_BYTES_MAX;
use crdt_core::wire::DenialCode;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body;
use super::documents::{named, tag_of};
use super::problem::Problem;
use super::route::{Method, Routes};
use super::{Caller, metadata};
use crate::access::Right;
use crate::hub::{Condition, Put, PutDone, PutError, Version, Versions};
use crate::server::engine::Event;
use crate::server::{Shared, now};

/// How long somebody who sends a body waits for their turn to have it checked.
const TURN_TIME_MAX: Duration = Duration::from_secs(20);

/// Most versions that a condition may name.
const VERSIONS_MAX: usize = 64;

pub(super) fn routes() -> Routes {
    Routes::new().on(Method::Put, "/v1/documents/{document}", put)
}

/// Brings a packed document, or changes one after another. What is there already is fine; nothing is taken away.
async fn put(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    document: Result<Path<DocumentId>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let document = named(document)?;
    let condition = Condition {
        matches: versions(&headers, &header::IF_MATCH)?,
        matches_none: versions(&headers, &header::IF_NONE_MATCH)?,
    };
    // It counts as a connection while it lasts.
    let visit = shared.visit().ok_or_else(Problem::too_many_connections)?;
    let body::Whole { bytes, share: _share } =
        body::read(&shared, &headers, body, DOCUMENT_BYTES_MAX).await?;
    let turn = timeout(TURN_TIME_MAX, shared.uploads.acquire()).await;
    let _turn = turn.map_err(|_| Problem::busy("too much is brought at once"))?.expect("it is never closed");
    let changes = tokio::task::spawn_blocking(move || changes_in(&bytes)).await;
    let changes = changes.map_err(|_| Problem::unavailable("the body could not be checked"))?;
    let changes = changes.map_err(|error| Problem::unprocessable(error.to_string()))?;
    if changes.is_empty() {
        return Err(Problem::bad_request("the body is empty: send a packed document, or changes"));
    }
    let permit = caller.permit().clone();
    let sees_all = permit.everywhere >= Some(Right::Read);
    let put = Box::new(Put { permit, document, changes, condition });
    let (answer, answered) = oneshot::channel();
    let event = Event::Put { connection: visit.connection(), put, answer };
    shared.mailboxes.put_to_holder(document, event).await.map_err(|_| Problem::stopping())?;
    match answered.await.map_err(|_| Problem::stopping())? {
        Ok(PutDone { heads, is_new }) => {
            let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
            let told = json!({
                "metadata": metadata(),
                "document": document,
                "heads": heads,
                "last_updated_at": now(),
            });
            Ok((status, [(header::ETAG, tag_of(&heads))], Json(told)).into_response())
        }
        // Whoever sees everything is only refused what was erased.
        Err(PutError::NotFound) if sees_all => Err(Problem::gone("the document was erased")),
        Err(error) => Err(refusal(error)),
    }
}

fn refusal(error: PutError) -> Problem {
    let detail = error.to_string();
    match error {
        PutError::NotFound => Problem::not_found(detail),
        PutError::Unexpected { version } => {
            Problem::precondition_failed(detail, version.map(|version| format!("\"{version}\"")))
        }
        PutError::Refused { code, retry_after, .. } => match code {
            DenialCode::Unauthenticated => Problem::unauthorized(detail),
            DenialCode::Forbidden => Problem::forbidden(detail),
            DenialCode::TooLarge => Problem::too_large(detail),
            DenialCode::Quota => Problem::no_room(detail),
            DenialCode::Rate => Problem::too_many(detail, retry_after.unwrap_or(Duration::from_secs(1))),
            DenialCode::Storage => Problem::unavailable(detail),
            _ => Problem::unprocessable(detail),
        },
    }
}

/// Every change in the body, each checked as if a peer had sent it.
fn changes_in(bytes: &[u8]) -> Result<Vec<ParsedChange>, InvalidChunk> {
    let mut changes = Vec::new();
    for chunk in split(bytes) {
        let chunk = chunk?;
        if chunk.kind() == ChunkKind::Document {
            let packed = chunk.packed()?;
            for change in packed.unpack()?.changes() {
                changes.push(ParsedChange::parse(&change.bytes)?);
            }
        } else {
            changes.push(chunk.change()?);
        }
    }
    Ok(changes)
}

/// The versions that a header names.
fn versions(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<Versions>, Problem> {
    let mut these = Vec::new();
    for value in headers.get_all(name) {
        let malformed = || Problem::bad_request(format!("{name} is not a list of entity tags"));
        for tag in value.to_str().map_err(|_| malformed())?.split(',') {
            let tag = tag.trim();
            if tag == "*" {
                return Ok(Some(Versions::Any));
            }
            let tag = tag.strip_prefix("W/").unwrap_or(tag);
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(malformed)?;
            these.push(Version::named(tag));
            if these.len() > VERSIONS_MAX {
                return Err(malformed());
            }
        }
    }
    Ok((!these.is_empty()).then_some(Versions::These(these)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_versions(value: &str) -> Option<Versions> {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_MATCH, value.parse().unwrap());
        versions(&headers, &header::IF_MATCH).ok()?
    }

    #[test]
    fn conditions_are_read_as_http_writes_them() {
        assert!(versions(&HeaderMap::new(), &header::IF_MATCH).is_ok_and(|none| none.is_none()));
        assert_eq!(read_versions("*"), Some(Versions::Any));
        let these = Versions::These(vec![Version::named("ab"), Version::named("c.d")]);
        assert_eq!(read_versions("\"ab\", W/\"c.d\""), Some(these));
        for bad in ["ab", "\"ab", "\"ab\", cd", "W/ab"] {
            assert_eq!(read_versions(bad), None, "{bad}");
        }
        assert_eq!(read_versions(&vec!["\"a\""; VERSIONS_MAX + 1].join(",")), None);
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        assert_eq!(changes_in(b"").map(|changes| changes.len()), Ok(0));
        assert!(changes_in(b"a document").is_err());
    }
}
