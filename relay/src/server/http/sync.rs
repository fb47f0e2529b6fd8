//! The sync protocol over WebSocket.

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use crdt_core::limits::FRAME_BYTES_MAX;

use super::page;
use super::problem::Problem;
use super::route::Routes;
use crate::server::door::SYNC_PROTOCOL;
use crate::server::{Shared, now, socket};

pub(super) fn routes() -> Routes {
    Routes::new().get("/", sync).get("/sync", sync)
}

/// The sync protocol, or a word to whoever came with a browser.
async fn sync(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let Ok(upgrade) = upgrade else {
        if page::is_wanted(&headers) {
            return Ok(page::page());
        }
        let word = "This is a relay. Point an automerge-repo client's WebSocket here; GET /v1/status tells how it does.\n";
        return Ok(word.into_response());
    };
    if !shared.door.allows_page(&headers) {
        return Err(Problem::foreign_page());
    }
    let entry = shared.door.permit(&headers, &uri, now())?;
    let Some(connection) = shared.admit() else {
        return Err(Problem::too_many_connections());
    };
    let failed = Arc::clone(&shared);
    Ok(upgrade
        .protocols([SYNC_PROTOCOL])
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .read_buffer_size(socket::READ_BUFFER_BYTES)
        .on_failed_upgrade(move |_| failed.dismiss())
        .on_upgrade(move |socket| socket::serve(shared, connection, entry, socket)))
}
