//! What happens on the relay, as it happens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;

use super::Caller;
use super::event_stream::{Ended, Event, EventWriter, HEARTBEAT, last_seen};
use super::problem::Problem;
use super::route::Routes;
use crate::server::Shared;
use crate::server::journal::{Bookmark, Entry};

pub(super) fn routes() -> Routes {
    Routes::new().get("/v1/events", events)
}

/// Connections that come and go, denials, failures of storage, compactions. Who comes back with the id of the last event that
/// they saw hears what they missed, as far as the relay remembers.
async fn events(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.administrator()?;
    let since = last_seen(&headers)?.and_then(Bookmark::parse);
    let (writer, response) = EventWriter::open(&shared, caller.clone())?;
    // Who goes away ends it.
    tokio::spawn(async move { tell(&shared, &caller, &writer, since).await.ok() });
    Ok(response)
}

async fn tell(
    shared: &Shared,
    caller: &Caller,
    writer: &EventWriter,
    since: Option<Bookmark>,
) -> Result<(), Ended> {
    let journal = &shared.watch.journal;
    let (missed, mut live) = journal.follow(caller.tenant(), since);
    writer.alive().await?;
    for entry in missed {
        tell_of(shared, writer, &entry).await?;
    }
    loop {
        match timeout(HEARTBEAT, live.recv()).await {
            Err(_) => writer.alive().await?,
            Ok(Ok(entry)) if entry.is_of(caller.tenant()) => tell_of(shared, writer, &entry).await?,
            Ok(Ok(_)) => {}
            Ok(Err(RecvError::Lagged(count))) => {
                let data = format!("{{\"kind\":\"missed\",\"count\":{count}}}");
                writer.event(&Event { id: None, kind: "missed", data: &data }).await?;
            }
            Ok(Err(RecvError::Closed)) => return Err(Ended),
        }
    }
}

async fn tell_of(shared: &Shared, writer: &EventWriter, entry: &Entry) -> Result<(), Ended> {
    let id = shared.watch.journal.bookmark(entry.number).to_string();
    let data = entry.told().to_string();
    writer.event(&Event { id: Some(&id), kind: entry.kind(), data: &data }).await
}
