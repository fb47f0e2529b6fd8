//! Whether the relay lives, and whether it can do its work: for whoever starts and stops it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::route::Routes;
use crate::server::Shared;

pub(super) fn routes() -> Routes {
    Routes::new().get("/healthz", async || "ok\n").get("/readyz", readyz)
}

/// Whether changes can be stored.
async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match shared.health.failure() {
        None => "ready\n".into_response(),
        Some(why) => Problem::unavailable(format!("storage fails: {why}")).into_response(),
    }
}
