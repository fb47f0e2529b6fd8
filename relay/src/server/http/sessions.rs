//! Who is connected.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::problem::Problem;
use super::route::Routes;
use super::{Asked, Caller, metadata, page_limit, place};
use crate::id::ConnectionId;
use crate::server::Shared;
use crate::server::engine::Event;

pub(super) fn routes() -> Routes {
    Routes::new().get("/v1/sessions", sessions)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// The tenant's connections, in the order in which they came.
async fn sessions(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Asked(page): Asked<Page>,
) -> Result<Json<Value>, Problem> {
    caller.administrator()?;
    let limit = page_limit(page.limit)?;
    let (after, tenant) = (ConnectionId(place(page.after)?), caller.tenant());
    let mut answers = Vec::new();
    shared.mailboxes.tell_all(|| {
        let (answer, answered) = oneshot::channel();
        answers.push(answered);
        Event::Sessions { tenant: tenant.clone(), after, limit, answer }
    });
    let mut answers = answers.into_iter();
    let front = answers.next().ok_or_else(Problem::stopping)?;
    let mut sessions = front.await.map_err(|_| Problem::stopping())?;
    // The front knows who is there; each hub knows what is done with its own documents.
    let mut elsewhere: BTreeMap<ConnectionId, usize> = BTreeMap::new();
    for answer in answers {
        for (session, _) in answer.await.map_err(|_| Problem::stopping())? {
            *elsewhere.entry(session.connection).or_default() += session.documents;
        }
    }
    let next = sessions.last().filter(|_| sessions.len() == limit);
    let next = next.map(|(session, _)| session.connection.0.to_string());
    let told = sessions.drain(..).map(|(session, transport)| {
        let documents = session.documents + elsewhere.get(&session.connection).copied().unwrap_or(0);
        json!({
            "id": session.connection.0.to_string(),
            "peer": session.peer.as_str(),
            "subject": session.subject,
            "connected_at": session.since,
            "documents": documents,
            "transport": transport,
        })
    });
    Ok(Json(json!({"metadata": metadata(), "sessions": told.collect::<Vec<_>>(), "next": next})))
}
