//! What can be asked over HTTP.

use std::sync::{Arc, PoisonError};

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use crdt_core::limits::FRAME_BYTES_MAX;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::storage::Request;
use super::{Health, Shared, now, open_permit, socket};
use crate::hub::Counters;
use crate::id::Sequence;
use crate::store::News;

/// Most entries of the change feed in one answer.
const FEED_PAGE_MAX: usize = 1000;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(sync))
        .route("/sync", get(sync))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/v1/status", get(status))
        .route("/v1/changes", get(changes))
        .with_state(shared)
}

/// The sync protocol, or a word to whoever came with a browser.
async fn sync(
    State(shared): State<Arc<Shared>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return "This is a relay. Point an automerge-repo client's WebSocket here; GET /v1/status tells how it does.\n"
            .into_response();
    };
    let Some(connection) = shared.admit() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "10")], "too many connections\n")
            .into_response();
    };
    let failed = Arc::clone(&shared);
    upgrade
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_failed_upgrade(move |_| failed.dismiss())
        .on_upgrade(move |socket| socket::serve(shared, connection, socket))
}

/// Whether changes can be stored.
async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match shared.health.storage.get() {
        None => "ready\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("storage fails: {why}\n")).into_response(),
    }
}

async fn status(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(json!({
        "metadata": metadata(),
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "storage": shared.health.storage.get().map_or("ok", String::as_str),
        "counters": shared.health.counters(),
    }))
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: Sequence,
    limit: Option<usize>,
}

/// The change feed: what has changed since a sequence number, each document once, at its latest place.
async fn changes(State(shared): State<Arc<Shared>>, Query(query): Query<Since>) -> Response {
    let (answer, answered) = oneshot::channel();
    let limit = query.limit.unwrap_or(FEED_PAGE_MAX).clamp(1, FEED_PAGE_MAX);
    let request = Request::Feed { tenant: open_permit().tenant, after: query.since, limit, answer };
    shared.requests.send(request).ok();
    match answered.await {
        Ok(Ok(entries)) => {
            let next = entries.last().map_or(query.since, |entry| entry.sequence);
            let entries: Vec<_> = entries
                .into_iter()
                .map(|entry| match entry.news {
                    News::Changed { heads } => {
                        json!({"sequence": entry.sequence, "document": entry.document, "heads": heads})
                    }
                    News::Erased => {
                        json!({"sequence": entry.sequence, "document": entry.document, "erased": true})
                    }
                })
                .collect();
            Json(json!({"metadata": metadata(), "changes": entries, "next": next})).into_response()
        }
        Ok(Err(error)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage has ended\n").into_response(),
    }
}

fn metadata() -> Value {
    json!({"timestamp": now(), "version": env!("CARGO_PKG_VERSION")})
}

impl Health {
    /// Notes why storage fails; it does not recover without a restart.
    pub(super) fn fail(&self, why: &str) {
        self.storage.get_or_init(|| why.to_owned());
    }

    /// Notes what one hub has counted so far.
    pub(super) fn report(&self, hub: usize, counters: Counters) {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)[hub] = counters;
    }

    fn counters(&self) -> Counters {
        let all = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().copied().sum()
    }
}
