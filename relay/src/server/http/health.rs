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

/// Whether changes can be stored, and whether everything that was asked for could be served.
async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    match (shared.health.failure(), shared.health.damaged()) {
        (None, 0) => "ready\n".into_response(),
        // All others are served: to send them elsewhere would help nobody.
        (None, damaged) => {
            format!("ready, but for {damaged} damaged document(s): see `relay store check`\n").into_response()
        }
        (Some(why), _) => Problem::unavailable(format!("storage fails: {why}")).into_response(),
    }
}
