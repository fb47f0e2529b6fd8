//! Bodies of requests, read within bounds.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::problem::Problem;
use crate::server::Shared;

/// How long a whole body may take.
const BODY_TIME_MAX: Duration = Duration::from_mins(2);

/// How long the next piece of a body may take.
const PIECE_TIME_MAX: Duration = Duration::from_secs(15);

/// A whole body, and its share of the bytes that may be held for bodies.
pub(super) struct Whole<'a> {
    pub(super) bytes: Vec<u8>,
    pub(super) share: Option<SemaphorePermit<'a>>,
}

/// Reads a body of at most `bytes_max` bytes.
pub(super) async fn read<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Whole<'a>, Problem> {
    let too_large = || Problem::too_large(format!("at most {bytes_max} bytes are accepted"));
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > bytes_max) {
        return Err(too_large());
    }
    let whole = async {
        let (mut bytes, mut share) = (Vec::new(), None::<SemaphorePermit<'_>>);
        let mut pieces = body.into_data_stream();
        while let Some(piece) = next(&mut pieces).await? {
            let piece = piece.map_err(|_| Problem::bad_request("the body ends too early"))?;
            if bytes.len() + piece.len() > bytes_max {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
            let held = share.as_ref().map_or(0, SemaphorePermit::num_permits);
            let missing = u32::try_from((bytes.len() / 1024 + 1).saturating_sub(held));
            let more = shared.body_bytes.try_acquire_many(missing.expect("bodies are bounded"));
            let more = more.map_err(|_| Problem::busy("too much is brought at once"))?;
            match &mut share {
                Some(share) => share.merge(more),
                None => share = Some(more),
            }
        }
        Ok(Whole { bytes, share })
    };
    timeout(BODY_TIME_MAX, whole).await.map_err(|_| Problem::too_slow())?
}

async fn next<T>(pieces: &mut (impl futures_util::Stream<Item = T> + Unpin)) -> Result<Option<T>, Problem> {
    timeout(PIECE_TIME_MAX, pieces.next()).await.map_err(|_| Problem::too_slow())
}
