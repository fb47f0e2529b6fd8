//! The change feed of a tenant.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::problem::Problem;
use super::{Caller, metadata};
use crate::id::Sequence;
use crate::server::Shared;
use crate::server::storage::{Refusal, Request};
use crate::store::{FeedEntry, News};

/// Most entries in one answer.
const PAGE_MAX: usize = 1000;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/v1/changes", get(changes))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: Sequence,
    limit: Option<usize>,
}

/// What has changed since a sequence number, each document once, at its latest place.
async fn changes(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Query(query): Query<Since>,
) -> Result<Json<Value>, Problem> {
    if !caller.0.may_follow {
        return Err(Problem::forbidden("the change feed is for services (role: reader, service or admin)"));
    }
    let (answer, answered) = oneshot::channel();
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let tenant = caller.tenant().clone();
    shared.requests.send(Request::Feed { tenant, after: query.since, limit, answer }).ok();
    let entries = answered.await.map_err(|_| Problem::stopping())?.map_err(Refusal::from)?;
    let next = entries.last().map_or(query.since, |entry| entry.sequence);
    let entries: Vec<_> = entries.into_iter().map(told).collect();
    Ok(Json(json!({"metadata": metadata(), "tenant": caller.tenant(), "changes": entries, "next": next})))
}

fn told(entry: FeedEntry) -> Value {
    let FeedEntry { sequence, document, news } = entry;
    match news {
        News::Changed { heads } => json!({"sequence": sequence, "document": document, "heads": heads}),
        News::Erased => json!({"sequence": sequence, "document": document, "erased": true}),
    }
}
