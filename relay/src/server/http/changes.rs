//! The change feed of a tenant: in pages, by waiting, or as a stream.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::event_stream::{Ended, Event, EventWriter, HEARTBEAT, is_wanted, last_seen};
use super::problem::Problem;
use super::route::Routes;
use super::{Asked, Caller, metadata, page_limit, place};
use crate::id::Sequence;
use crate::server::Shared;
use crate::server::storage::Request;
use crate::store::{FeedEntry, News};

/// Longest wait, in seconds: proxies give up after a minute.
const WAIT_SECONDS_MAX: u64 = 50;

/// Most entries that are read at once for a stream.
const BATCH_MAX: usize = 256;

pub(super) fn routes() -> Routes {
    Routes::new().get("/v1/changes", changes)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    since: Sequence,
    limit: Option<usize>,
    /// Seconds to wait for something to tell.
    #[serde(default)]
    wait: u64,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// What has changed since a sequence number, each document once, at its latest place. Whoever keeps the last number that they
/// have dealt with misses nothing, whatever ends in between.
async fn changes(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    headers: HeaderMap,
    Asked(query): Asked<Wish>,
) -> Result<Response, Problem> {
    caller.follower()?;
    let limit = page_limit(query.limit)?;
    place(query.since.0)?;
    if query.wait > WAIT_SECONDS_MAX {
        return Err(Problem::bad_request(format!("wait is at most {WAIT_SECONDS_MAX} seconds")));
    }
    if is_wanted(&headers) {
        let since = match last_seen(&headers)?.map(str::parse) {
            None => query.since,
            Some(Ok(seen)) => Sequence(place(seen)?),
            Some(Err(_)) => return Err(Problem::bad_request("Last-Event-ID is not a number of this feed")),
        };
        return stream(shared, caller, since).await;
    }
    let mut follower = shared.watch.feeds.follow(caller.tenant());
    let mut entries = read(&shared, &caller, query.since, limit).await?;
    if entries.is_empty() && query.wait > 0 {
        // Who waits counts as a connection: there is a bound to them.
        let _connection = shared.visit().ok_or_else(Problem::too_many_connections)?;
        let deadline = Instant::now() + Duration::from_secs(query.wait);
        while entries.is_empty() && timeout_at(deadline, follower.changed()).await.is_ok_and(|it| it.is_ok())
        {
            caller.still(&shared)?;
            entries = read(&shared, &caller, query.since, limit).await?;
        }
    }
    let next = entries.last().map_or(query.since, |entry| entry.sequence);
    let told: Vec<_> = entries.iter().map(told).collect();
    let answer = json!({"metadata": metadata(), "tenant": caller.tenant(), "changes": told, "next": next});
    Ok(Json(answer).into_response())
}

async fn stream(shared: Arc<Shared>, caller: Caller, since: Sequence) -> Result<Response, Problem> {
    // A cursor that can't be gone on from is refused before the stream begins.
    read(&shared, &caller, since, 1).await?;
    let (writer, response) = EventWriter::open(&shared, caller.clone())?;
    tokio::spawn(async move { follow(&shared, &caller, &writer, since).await.ok() });
    Ok(response)
}

async fn follow(
    shared: &Shared,
    caller: &Caller,
    writer: &EventWriter,
    mut since: Sequence,
) -> Result<(), Ended> {
    let mut follower = shared.watch.feeds.follow(caller.tenant());
    writer.alive().await?;
    loop {
        let entries = read(shared, caller, since, BATCH_MAX).await.map_err(|_| Ended)?;
        for entry in &entries {
            let (id, data) = (entry.sequence.0.to_string(), told(entry).to_string());
            writer.event(&Event { id: Some(&id), kind: "change", data: &data }).await?;
            since = entry.sequence;
        }
        if !entries.is_empty() {
            continue;
        }
        match timeout(HEARTBEAT, follower.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Ended),
            Err(_) => writer.alive().await?,
        }
    }
}

async fn read(
    shared: &Shared,
    caller: &Caller,
    after: Sequence,
    limit: usize,
) -> Result<Vec<FeedEntry>, Problem> {
    let (answer, answered) = oneshot::channel();
    let tenant = caller.tenant().clone();
    shared.requests.send(Request::Feed { tenant, after, limit, answer }).ok();
    Ok(answered.await.map_err(|_| Problem::stopping())??)
}

fn told(entry: &FeedEntry) -> Value {
    let FeedEntry { sequence, document, news } = entry;
    match news {
        News::Changed { heads } => json!({"sequence": sequence, "document": document, "heads": heads}),
        News::Erased => json!({"sequence": sequence, "document": document, "erased": true}),
    }
}
