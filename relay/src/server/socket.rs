//! One WebSocket: a task that reads, and one that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use crdt_core::limits::FRAME_BYTES_MAX;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep, timeout};

use super::door::Entry;
use super::engine::{Arrived, Event, Link, Outgoing, Transport};
use super::{Shared, now};
use crate::hub::Input;
use crate::id::ConnectionId;

/// How often a peer is asked whether it is there. Phones' radios sleep between.
const PING_INTERVAL: Duration = Duration::from_secs(15);

/// A peer that has said nothing, not even that it is there, for this long is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// Bytes read at once. The library clears so many before each read, and keeps them for as long as the connection lasts.
pub(super) const READ_BUFFER_BYTES: usize = 2 << 10;

/// Bytes of waiting frames that are handed to the system together.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Longest reason in a close frame: control frames hold 125 bytes.
const CLOSE_REASON_BYTES_MAX: usize = 120;

/// Serves one connection until either side ends it.
pub(super) async fn serve(shared: Arc<Shared>, connection: ConnectionId, entry: Entry, socket: WebSocket) {
    let (sink, stream) = socket.split();
    let (outbox, outgoing) = mpsc::unbounded_channel();
    let paused_until = Arc::new(AtomicU64::new(0));
    let link = Link { outbox, paused_until: Arc::clone(&paused_until), transport: Transport::WebSocket };
    shared.door.let_in(connection, entry.bearer);
    let connected = Event::Connected { connection, permit: entry.permit, link };
    if shared.mailboxes.tell_front(connected).is_ok() {
        tokio::select! {
            () = write(&shared, connection, sink, outgoing) => {}
            () = read(&shared, connection, stream, &paused_until) => {}
        }
        // Behind the frames that it sent.
        shared.mailboxes.tell_front_in_turn(Input::Closed { connection }).await.ok();
    }
    shared.door.let_out(connection);
    shared.dismiss();
}

async fn read(
    shared: &Shared,
    connection: ConnectionId,
    mut stream: SplitStream<WebSocket>,
    paused_until: &AtomicU64,
) {
    loop {
        let rest = paused_until.load(Ordering::Relaxed).saturating_sub(now().as_millis());
        if rest > 0 {
            sleep(Duration::from_millis(rest)).await;
        }
        let Ok(Some(Ok(message))) = timeout(SILENCE_MAX, stream.next()).await else { return };
        let frame = match message {
            Message::Binary(bytes) => Vec::from(bytes),
            Message::Close(_) => return,
            // What is no frame is for the hub to refuse.
            Message::Text(text) => text.as_str().as_bytes().to_vec(),
            Message::Ping(_) | Message::Pong(_) => continue,
        };
        let share = u32::try_from(frame.len().min(FRAME_BYTES_MAX) / 1024 + 1).expect("frames are bounded");
        let Ok(share) = Arc::clone(&shared.inbox).acquire_many_owned(share).await else { return };
        let arrived = Arrived { connection, bytes: frame, _share: Arc::new(share) };
        if shared.mailboxes.put_frame(arrived).await.is_err() {
            return;
        }
    }
}

async fn write(
    shared: &Shared,
    connection: ConnectionId,
    mut sink: SplitSink<WebSocket, Message>,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
) {
    let mut pings = interval(PING_INTERVAL);
    pings.tick().await;
    loop {
        let first = tokio::select! {
            first = outgoing.recv() => first,
            _ = pings.tick() => {
                if sink.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
                continue;
            }
        };
        // What waits already goes with the same call of the system.
        let (mut next, mut bytes, mut written) = (first, 0, Vec::new());
        let mut is_over = next.is_none();
        while let Some(outgoing_now) = next {
            match outgoing_now {
                Outgoing::Close { reason } => {
                    sink.feed(Message::Close(Some(close_frame(&reason)))).await.ok();
                    is_over = true;
                    break;
                }
                Outgoing::Frame { frame, from } => {
                    bytes += frame.len();
                    note_written(&mut written, from, frame.len());
                    if sink.feed(Message::Binary(frame.into())).await.is_err() {
                        return;
                    }
                }
            }
            next = if bytes < WRITE_BYTES_MAX { outgoing.try_recv().ok() } else { None };
        }
        if sink.flush().await.is_err() || is_over {
            return;
        }
        for (from, bytes) in written {
            shared.mailboxes.tell(from, Event::Hub(Input::Written { connection, bytes })).ok();
        }
    }
}

/// Adds up what each hub is to be told.
fn note_written(written: &mut Vec<(usize, usize)>, from: usize, bytes: usize) {
    match written.iter_mut().find(|(hub, _)| *hub == from) {
        Some((_, sum)) => *sum += bytes,
        None => written.push((from, bytes)),
    }
}

fn close_frame(reason: &str) -> CloseFrame {
    let mut end = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    CloseFrame { code: close_code::NORMAL, reason: reason[..end].into() }
}
