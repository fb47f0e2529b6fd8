//! Stored documents: their bytes, their history, who may use them.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crdt_core::graph::Item;
use crdt_core::graph::chunk::ParsedChange;
use crdt_core::id::{ChangeHash, DocumentId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::problem::Problem;
use super::route::{Method, Routes};
use super::{Asked, Caller, metadata, page_limit, place};
use crate::access::{Access, Right};
use crate::hub::{Version, decode_index};
use crate::id::Subject;
use crate::server::storage::{Action, Fetched, Refusal, Request};
use crate::server::{Shared, now};
use crate::store::LoadError;

pub(super) fn routes() -> Routes {
    Routes::new()
        .get("/v1/documents", list)
        .get("/v1/documents/{document}", bytes)
        .on(Method::Delete, "/v1/documents/{document}", erase)
        .get("/v1/documents/{document}/history", history)
        .get("/v1/documents/{document}/access", access)
        .on(Method::Put, "/v1/documents/{document}/access/{subject}", grant)
        .on(Method::Delete, "/v1/documents/{document}/access/{subject}", revoke)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListPage {
    after: Option<DocumentId>,
    limit: Option<usize>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// The tenant's documents in the order of their ids, for those who read all of them anyway.
async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Asked(page): Asked<ListPage>,
) -> Result<Json<Value>, Problem> {
    caller.follower()?;
    let limit = page_limit(page.limit)?;
    let (answer, answered) = oneshot::channel();
    let tenant = caller.tenant().clone();
    shared.requests.send(Request::List { tenant, after: page.after, limit, answer }).ok();
    let listed = answered.await.map_err(|_| Problem::stopping())?.map_err(Refusal::from)?;
    let next = listed.last().filter(|_| listed.len() == limit).map(|last| last.document);
    let told = listed.iter().map(|it| {
        json!({
            "document": it.document,
            "standing": it.standing,
            "sequence": it.sequence,
            "changes": it.changes,
            "bytes": it.bytes,
            "last_updated_at": it.modified,
        })
    });
    Ok(Json(json!({"metadata": metadata(), "documents": told.collect::<Vec<_>>(), "next": next})))
}

/// The whole document in Automerge's format. Its tag names its heads.
async fn bytes(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    document: Result<Path<DocumentId>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let fetched = fetch(&shared, &caller, named(document)?).await?;
    let tag = tag_of(&fetched.heads);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let mut bytes = fetched.snapshot;
    for (_, change) in fetched.document.changes {
        bytes.extend(change);
    }
    let kind = "application/octet-stream".to_owned();
    Ok(([(header::CONTENT_TYPE, kind), (header::ETAG, tag)], bytes).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// The changes of a document in the order in which the relay has them, without their contents.
async fn history(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    document: Result<Path<DocumentId>, PathRejection>,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, Problem> {
    let document = named(document)?;
    let fetched = fetch(&shared, &caller, document).await?;
    let damaged = |what: &str| Problem::unavailable(LoadError::Damaged { what: what.to_owned() }.to_string());
    let packed = match &fetched.document.snapshot {
        Some(snapshot) => decode_index(&snapshot.index).ok_or_else(|| damaged("snapshot's index"))?,
        None => Vec::new(),
    };
    let mut changes: Vec<_> = packed.iter().map(|item| told(item, None)).collect();
    for (_, bytes) in &fetched.document.changes {
        let change = ParsedChange::parse(bytes).map_err(|_| damaged("history"))?;
        changes.push(told(&Item::from(&change), Some(bytes.len())));
    }
    let limit = page_limit(page.limit)?;
    place(page.after)?;
    let total = changes.len();
    let start = usize::try_from(page.after).unwrap_or(usize::MAX).min(total);
    let end = (start + limit).min(total);
    Ok(Json(json!({
        "metadata": metadata(),
        "document": document,
        "last_updated_at": fetched.document.modified,
        "heads": fetched.heads,
        "total": total,
        "changes": changes.drain(start..end).collect::<Vec<_>>(),
        "next": (end < total).then_some(end),
    })))
}

/// One change. The size of one that is packed with others is not its own.
fn told(item: &Item, bytes: Option<usize>) -> Value {
    let author = item.author.as_ref();
    json!({
        "hash": item.id,
        "actor": author.map(|author| &author.actor),
        "sequence": author.map(|author| author.seq),
        "operations": author.map(|author| author.max_op + 1 - author.start_op),
        "bytes": bytes,
    })
}

/// Who may use the document.
async fn access(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    document: Result<Path<DocumentId>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    administer(&shared, &caller, named(document)?, Action::Look).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Granted {
    right: Right,
}

/// Gives somebody a right, in place of the one they had.
async fn grant(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    names: Result<Path<(DocumentId, Subject)>, PathRejection>,
    body: Result<Json<Granted>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let (document, subject) = named(names)?;
    let Json(Granted { right }) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    administer(&shared, &caller, document, Action::Grant { subject, right }).await
}

/// Takes back what was granted, also from those who are connected.
async fn revoke(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    names: Result<Path<(DocumentId, Subject)>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let (document, subject) = named(names)?;
    administer(&shared, &caller, document, Action::Revoke { subject }).await
}

/// Leaves nothing of the document but the fact that it was erased.
async fn erase(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    document: Result<Path<DocumentId>, PathRejection>,
) -> Result<StatusCode, Problem> {
    administer(&shared, &caller, named(document)?, Action::Erase).await.map(|_| StatusCode::NO_CONTENT)
}

async fn fetch(shared: &Shared, caller: &Caller, document: DocumentId) -> Result<Fetched, Problem> {
    let (answer, answered) = oneshot::channel();
    let (key, permit) = (caller.permit().key(document), caller.permit().clone());
    shared.requests.send(Request::Fetch { key, permit, answer }).ok();
    Ok(answered.await.map_err(|_| Problem::stopping())??)
}

async fn administer(
    shared: &Shared,
    caller: &Caller,
    document: DocumentId,
    action: Action,
) -> Result<Json<Value>, Problem> {
    let (answer, answered) = oneshot::channel();
    let (key, permit) = (caller.permit().key(document), caller.permit().clone());
    shared.requests.send(Request::Administer { key, permit, action, at: now(), answer }).ok();
    let access: Option<Access> = answered.await.map_err(|_| Problem::stopping())??;
    let (owner, grants) = access.as_ref().map(|access| (access.owner(), access.grants())).unzip();
    Ok(Json(json!({"metadata": metadata(), "document": document, "owner": owner, "grants": grants})))
}

/// What the address names.
pub(super) fn named<T>(names: Result<Path<T>, PathRejection>) -> Result<T, Problem> {
    names.map(|Path(names)| names).map_err(|error| Problem::bad_request(error.body_text()))
}

/// Heads as an entity tag.
pub(super) fn tag_of(heads: &[ChangeHash]) -> String {
    format!("\"{}\"", Version::of(heads))
}
