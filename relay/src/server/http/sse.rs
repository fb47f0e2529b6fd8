//! The sync protocol where web sockets are blocked: a stream of events down, posted frames up.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crdt_core::limits::FRAME_BYTES_MAX;
use crdt_core::wire::split_frames;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::event_stream::{Event, HEARTBEAT, last_seen, response};
use super::problem::Problem;
use super::route::{Method, Routes};
use super::{Asked, Caller, body, metadata};
use crate::server::Shared;
use crate::server::stream::{Next, RESUME_TIME_MAX, SILENCE_MAX, Session, SessionError, SessionName};

/// Names the session. Where a browser can't send headers, the address does, as `session`.
const SESSION: &str = "pannier-session";

/// The number of the first frame in a body, from 1 on.
const SEQUENCE: &str = "pannier-sequence";

/// The last event that the peer has.
const ACKNOWLEDGED: &str = "pannier-acknowledged";

/// Most frames in one body.
const FRAMES_MAX: usize = 4096;

/// Events that may wait in a stream besides those that the session keeps anyway.
const WAITING_MAX: usize = 4;

pub(super) fn routes() -> Routes {
    Routes::new().get("/sync/sse", listen).on(Method::Post, "/sync/sse", speak).on(
        Method::Delete,
        "/sync/sse",
        leave,
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    session: Option<String>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// Opens a session, or goes on with one after the last event that its peer has seen.
async fn listen(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Asked(query): Asked<Query>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen =
        if last_seen(&headers)?.is_some() { number(&headers, "last-event-id")?.unwrap_or(0) } else { 0 };
    let name = if let Some(name) = named(&headers, &query) {
        name
    } else {
        let connection = shared.admit().ok_or_else(Problem::too_many_connections)?;
        shared.streams.open(&shared, connection, caller.0.clone()).ok_or_else(Problem::stopping)?
    };
    let session = shared.streams.find(&shared, &name, &caller.0)?;
    if seen > 0 {
        session.acknowledge(&shared, seen)?;
    }
    let stream = session.attach(seen)?;
    let (events, waiting) = mpsc::channel(WAITING_MAX);
    let hello = json!({
        "session": name.as_str(),
        "resume_milliseconds": RESUME_TIME_MAX.as_millis(),
        "silence_milliseconds": SILENCE_MAX.as_millis(),
    });
    let hello = Event { id: None, kind: "session", data: &hello.to_string() }.to_string();
    tokio::spawn(async move {
        if events.send(hello.into()).await.is_ok() {
            write(&session, stream, seen, &events).await;
        }
        session.detach(stream);
    });
    Ok(response(waiting))
}

/// Writes whatever there is, until the stream or the session ends.
async fn write(session: &Session, stream: u64, mut written: u64, events: &mpsc::Sender<axum::body::Bytes>) {
    let mut news = session.news();
    loop {
        news.borrow_and_update();
        match session.next(stream, written) {
            Next::Frames { first, frames } => {
                for (number, frame) in (first..).zip(frames) {
                    let (id, data) = (number.to_string(), STANDARD.encode(frame));
                    let event = Event { id: Some(&id), kind: "frame", data: &data }.to_string();
                    if events.send(event.into()).await.is_err() {
                        return;
                    }
                    written = number;
                }
            }
            Next::Closed { reason } => {
                let data = json!({"reason": reason}).to_string();
                let event = Event { id: None, kind: "close", data: &data }.to_string();
                events.send(event.into()).await.ok();
                return;
            }
            Next::Superseded => return,
            Next::Nothing => {
                let is_quiet = tokio::select! {
                    changed = timeout(HEARTBEAT, news.changed()) => changed.is_err(),
                    () = events.closed() => return,
                };
                if is_quiet && events.send(":\n\n".into()).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Takes frames, one after another in the body. A body that is posted again changes nothing.
async fn speak(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Asked(query): Asked<Query>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let name = named(&headers, &query).ok_or_else(|| Problem::bad_request("which session is missing"))?;
    let session = shared.streams.find(&shared, &name, &caller.0)?;
    if let Some(seen) = number(&headers, ACKNOWLEDGED)? {
        session.acknowledge(&shared, seen)?;
    }
    let body::Whole { bytes, share: _share } = body::read(&shared, &headers, body, FRAME_BYTES_MAX).await?;
    let mut frames = Vec::new();
    for frame in split_frames(&bytes) {
        let frame =
            frame.map_err(|error| Problem::unprocessable(format!("the body is no frames: {error}")))?;
        frames.push(frame.to_vec());
        if frames.len() > FRAMES_MAX {
            return Err(Problem::too_large(format!("at most {FRAMES_MAX} frames are accepted at once")));
        }
    }
    drop(bytes);
    let sequence = match number(&headers, SEQUENCE)? {
        Some(sequence @ 1..) => sequence,
        None if frames.is_empty() => 1,
        _ => {
            return Err(Problem::bad_request(format!(
                "{SEQUENCE} is missing: the number of the first frame"
            )));
        }
    };
    // Whoever hangs up in the middle does not leave a frame half delivered.
    let taking = tokio::spawn(session.take(Arc::clone(&shared), sequence, frames));
    let received = taking.await.map_err(|_| Problem::stopping())??;
    Ok(Json(json!({"metadata": metadata(), "received": received})))
}

/// Ends a session.
async fn leave(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Asked(query): Asked<Query>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let name = named(&headers, &query).ok_or_else(|| Problem::bad_request("which session is missing"))?;
    shared.streams.find(&shared, &name, &caller.0)?.leave();
    Ok(StatusCode::NO_CONTENT)
}

fn named(headers: &HeaderMap, query: &Query) -> Option<SessionName> {
    let header = headers.get(SESSION).and_then(|value| value.to_str().ok());
    header.or(query.session.as_deref()).map(SessionName::named)
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    // Counts stay below what JavaScript counts to, so that none overflows.
    let number = number.filter(|number: &u64| *number < 1 << 53);
    number.map(Some).ok_or_else(|| Problem::bad_request(format!("{name} is not a number")))
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        let detail = error.to_string();
        match error {
            SessionError::Unknown => Self::not_found(detail),
            SessionError::Gap { .. } | SessionError::NoSuchEvent { .. } => Self::conflict(detail),
            SessionError::Resting { rest } => Self::too_many(detail, rest),
            SessionError::Stopping => Self::stopping(),
        }
    }
}
