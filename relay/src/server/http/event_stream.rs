//! Answers that go on: events as browsers read them (`text/event-stream`).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Caller;
use super::problem::Problem;
use crate::id::ConnectionId;
use crate::server::{Shared, now};

/// How often a stream says that it lives, and looks whether its reader may still read.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(10);

/// Events that may wait in a stream. Its reader takes them, or nothing more is made.
const WAITING_MAX: usize = 8;

/// A reader that takes nothing for this long is gone.
const STALLED_TIME_MAX: Duration = Duration::from_mins(1);

/// A comment: whoever reads knows that the stream lives.
const ALIVE: &[u8] = b":\n\n";

/// The writing end of a stream. It counts as a connection.
pub(super) struct EventWriter {
    shared: Arc<Shared>,
    caller: Caller,
    connection: ConnectionId,
    events: mpsc::Sender<Bytes>,
}

/// The reader is gone, or may not read any more.
#[derive(Debug)]
pub(super) struct Ended;

impl EventWriter {
    /// Opens a stream to the caller, unless there are too many connections.
    pub(super) fn open(shared: &Arc<Shared>, caller: Caller) -> Result<(Self, Response), Problem> {
        let connection = shared.admit().ok_or_else(Problem::too_many_connections)?;
        shared.door.let_in(connection, caller.0.bearer.clone());
        let (events, waiting) = mpsc::channel(WAITING_MAX);
        let writer = Self { shared: Arc::clone(shared), caller, connection, events };
        Ok((writer, response(waiting)))
    }

    /// Writes an event.
    pub(super) async fn event(&self, event: &Event<'_>) -> Result<(), Ended> {
        self.write(event.to_string().into()).await
    }

    /// Says that the stream lives.
    pub(super) async fn alive(&self) -> Result<(), Ended> {
        self.write(Bytes::from_static(ALIVE)).await
    }

    async fn write(&self, bytes: Bytes) -> Result<(), Ended> {
        let entry = &self.caller.0;
        if entry.permit.is_expired(now()) || !self.shared.door.is_welcome(entry.bearer.as_ref()) {
            return Err(Ended);
        }
        timeout(STALLED_TIME_MAX, self.events.send(bytes)).await.map_err(|_| Ended)?.map_err(|_| Ended)
    }
}

impl Drop for EventWriter {
    fn drop(&mut self) {
        self.shared.door.let_out(self.connection);
        self.shared.dismiss();
    }
}

/// An answer whose body is what comes through the channel.
pub(super) fn response(waiting: mpsc::Receiver<Bytes>) -> Response {
    let body = stream::unfold(waiting, |mut waiting| async move {
        let bytes = waiting.recv().await?;
        Some((Ok::<_, Infallible>(bytes), waiting))
    });
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies are asked not to hold back what comes.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// One event. Its data has no line breaks.
pub(super) struct Event<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) kind: &'a str,
    pub(super) data: &'a str,
}

impl std::fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(id) = self.id {
            writeln!(f, "id: {id}")?;
        }
        write!(f, "event: {}\ndata: {}\n\n", self.kind, self.data)
    }
}

/// Whether the request asks for a stream.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// The last event that a reader who comes back has seen. Browsers send none, or an empty one, before the first.
pub(super) fn last_seen(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else { return Ok(None) };
    value.to_str().map(Some).map_err(|_| Problem::bad_request("Last-Event-ID is no event of this stream"))
}
