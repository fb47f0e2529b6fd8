//! How the relay does: for people as JSON, for Prometheus as text.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Caller, metadata};
use crate::server::Shared;

/// Counters that go up and down; all others only go up.
const GAUGES: [&str; 2] = ["connections", "rooms"];

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/v1/status", get(status)).route("/metrics", get(metrics))
}

async fn status(State(shared): State<Arc<Shared>>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.administrator()?;
    Ok(Json(json!({
        "metadata": metadata(),
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "storage": shared.health.failure().unwrap_or("ok"),
        "counters": shared.health.counters(),
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
