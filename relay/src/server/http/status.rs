//! How the relay does: for people as JSON, for Prometheus as text.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use tokio::sync::oneshot;

use super::problem::Problem;
use super::route::Routes;
use super::{Caller, metadata};
use crate::server::Shared;
use crate::server::storage::{Refusal, Request};

/// Counters that go up and down; all others only go up.
const GAUGES: [&str; 2] = ["connections", "rooms"];

/// How many of the latest troubles are told.
const TROUBLES_MAX: usize = 20;

pub(super) fn routes() -> Routes {
    Routes::new().get("/v1/status", status).get("/metrics", metrics)
}

async fn status(State(shared): State<Arc<Shared>>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.administrator()?;
    let (answer, answered) = oneshot::channel();
    shared.requests.send(Request::Usage { tenant: caller.tenant().clone(), answer }).ok();
    let usage = answered.await.map_err(|_| Problem::stopping())?.map_err(Refusal::from)?;
    Ok(Json(json!({
        "metadata": metadata(),
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "storage": shared.health.failure().unwrap_or("ok"),
        "tenant": caller.tenant(),
        "documents": usage.documents,
        "bytes": usage.bytes,
        "changes_per_second": shared.health.changes_per_second(),
        "durable_after_milliseconds": shared.watch.latency.percentiles(Instant::now()),
        "counters": shared.health.counters(),
        "troubles": shared.watch.journal.troubles(caller.tenant(), TROUBLES_MAX),
    })))
}

async fn metrics(State(shared): State<Arc<Shared>>, caller: Caller) -> Result<Response, Problem> {
    caller.administrator()?;
    let mut text = String::new();
    let counters = serde_json::to_value(shared.health.counters()).expect("counters are numbers");
    for (name, value) in counters.as_object().into_iter().flatten() {
        metric(&mut text, name, value);
    }
    metric(&mut text, "storage_ok", &json!(u8::from(shared.health.failure().is_none())));
    metric(&mut text, "uptime_seconds", &json!(shared.started.elapsed().as_secs()));
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}

fn metric(text: &mut String, name: &str, value: &Value) {
    let is_gauge = GAUGES.contains(&name) || name == "storage_ok" || name == "uptime_seconds";
    let (kind, suffix) = if is_gauge { ("gauge", "") } else { ("counter", "_total") };
    writeln!(text, "# TYPE relay_{name}{suffix} {kind}\nrelay_{name}{suffix} {value}")
        .expect("strings take all");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_rises_is_a_counter() {
        let mut text = String::new();
        metric(&mut text, "connections", &json!(3));
        metric(&mut text, "frames_sent", &json!(40));
        assert_eq!(
            text,
            "# TYPE relay_connections gauge\nrelay_connections 3\n\
             # TYPE relay_frames_sent_total counter\nrelay_frames_sent_total 40\n"
        );
    }
}
