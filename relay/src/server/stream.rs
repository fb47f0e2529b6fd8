//! Connections where web sockets are blocked: what the relay says is a stream of events, what the peer says is posted.
//!
//! A session outlives its requests. Frames to the peer are kept until it says that it has them, so a stream that was cut
//! goes on where it ended. Frames from the peer are numbered, so that one posted twice is taken once. Whoever comes back
//! has to be the subject that opened the session, and know its name, which is random.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crdt_core::limits::FRAME_BYTES_MAX;
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep};

use super::door::Entry;
use super::engine::{Arrived, Event, Link, Outgoing, Transport};
use super::{Shared, now};
use crate::access::Permit;
use crate::hub::Input;
use crate::id::ConnectionId;

/// How long a session waits for its peer to open a stream again.
pub(super) const RESUME_TIME_MAX: Duration = Duration::from_secs(30);

/// A peer that has posted nothing, not even that it is there, for this long is gone.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(45);

/// How long the last words of a session that has ended can be fetched.
const FAREWELL_TIME: Duration = Duration::from_secs(10);

/// Bytes of frames that wait for the peer to say that it has them. The hub stops long before; this is for many hubs at once.
const WAITING_BYTES_MAX: usize = 2 * FRAME_BYTES_MAX;

/// Longest rest that a post waits for by itself.
const REST_MAX: Duration = Duration::from_secs(5);

/// All sessions, by their names.
#[derive(Default)]
pub(super) struct Streams {
    all: Mutex<BTreeMap<SessionName, Arc<Session>>>,
}

/// What names a session to its peer: nobody can guess it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionName(String);

/// One connection.
pub(super) struct Session {
    connection: ConnectionId,
    permit: Mutex<Permit>,
    /// How many frames the peer has sent. Held while some are taken.
    received: tokio::sync::Mutex<u64>,
    /// Milliseconds since 1970 until which nothing is read.
    paused_until: Arc<AtomicU64>,
    down: Mutex<Down>,
    /// Changes whenever there is something for the reader of the stream.
    news: watch::Sender<()>,
}

/// What is said to the peer.
struct Down {
    /// Frames that the peer has not said it has, oldest first, and the number of the first.
    waiting: VecDeque<Waiting>,
    first: u64,
    bytes: usize,
    /// Which stream is the current one; older ones end.
    stream: u64,
    is_read: bool,
    /// When the peer last showed that it is there, and when it last had a stream.
    heard: Instant,
    seen: Instant,
    /// Why there is nothing more, once there is.
    closed: Option<String>,
}

#[derive(Clone)]
struct Waiting {
    frame: Bytes,
    /// The number of the hub that is to know when the peer has it.
    from: usize,
}

/// What a stream is to write next.
pub(super) enum Next {
    Frames {
        first: u64,
        frames: Vec<Bytes>,
    },
    /// The session has ended.
    Closed {
        reason: String,
    },
    /// Another stream has taken over.
    Superseded,
    Nothing,
}

/// Why something can't be done with a session.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SessionError {
    #[error("there is no such session, or it is not yours: open a new one")]
    Unknown,
    #[error("frames up to {received} have come, so {} is next, not {sequence}", received + 1)]
    Gap { received: u64, sequence: u64 },
    #[error("event {seen} is not among those that this session can go on from: open a new one")]
    NoSuchEvent { seen: u64 },
    #[error("you send too much: wait")]
    Resting { rest: Duration },
    #[error("the relay is stopping")]
    Stopping,
}

impl SessionName {
    fn random() -> Self {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system has random numbers");
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn named(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Streams {
    /// Opens a session for whoever has been let in as this connection.
    pub(super) fn open(
        &self,
        shared: &Arc<Shared>,
        connection: ConnectionId,
        entry: Entry,
    ) -> Option<SessionName> {
        let (outbox, outgoing) = mpsc::unbounded_channel();
        let paused_until = Arc::new(AtomicU64::new(0));
        let link = Link { outbox, paused_until: Arc::clone(&paused_until), transport: Transport::Sse };
        let session = Arc::new(Session {
            connection,
            permit: Mutex::new(entry.permit.clone()),
            received: tokio::sync::Mutex::new(0),
            paused_until,
            down: Mutex::new(Down::new(Instant::now())),
            news: watch::Sender::new(()),
        });
        let name = SessionName::random();
        shared.door.let_in(connection, entry.bearer);
        self.lock().insert(name.clone(), Arc::clone(&session));
        let connected = Event::Connected { connection, permit: entry.permit, link };
        let is_open = shared.mailboxes.tell_front(connected).is_ok();
        tokio::spawn(serve(Arc::clone(shared), name.clone(), session, outgoing));
        is_open.then_some(name)
    }

    /// The session that the holder of a permit means. Whose name is not known, or who is somebody else, learns nothing.
    pub(super) fn find(
        &self,
        shared: &Shared,
        name: &SessionName,
        entry: &Entry,
    ) -> Result<Arc<Session>, SessionError> {
        let session = self.lock().get(name).cloned().ok_or(SessionError::Unknown)?;
        let mut permit = session.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if (&permit.tenant, &permit.subject) != (&entry.permit.tenant, &entry.permit.subject) {
            return Err(SessionError::Unknown);
        }
        // A newer token takes the place of the one that the session was opened with.
        if entry.permit.expires > permit.expires {
            permit.clone_from(&entry.permit);
            shared.door.let_in(session.connection, entry.bearer.clone());
            let renewed = Input::Permitted { connection: session.connection, permit: entry.permit.clone() };
            shared.mailboxes.tell_front(Event::Hub(renewed)).map_err(|_| SessionError::Stopping)?;
        }
        drop(permit);
        session.down().heard = Instant::now();
        Ok(session)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionName, Arc<Session>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn down(&self) -> MutexGuard<'_, Down> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a stream after the event that the peer has seen last. Older streams of the session end.
    pub(super) fn attach(&self, seen: u64) -> Result<u64, SessionError> {
        let mut down = self.down();
        if seen + 1 < down.first || seen >= down.end() {
            return Err(SessionError::NoSuchEvent { seen });
        }
        down.stream += 1;
        down.is_read = true;
        let stream = down.stream;
        drop(down);
        self.news.send_replace(());
        Ok(stream)
    }

    /// The stream has ended.
    pub(super) fn detach(&self, stream: u64) {
        let mut down = self.down();
        if down.stream == stream {
            (down.is_read, down.seen) = (false, Instant::now());
        }
    }

    /// Something that changes when there is more to write. Ask for it before asking what is next.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// What this stream is to write after the event with this number.
    pub(super) fn next(&self, stream: u64, written: u64) -> Next {
        let down = self.down();
        if down.stream != stream {
            return Next::Superseded;
        }
        let first = (written + 1).max(down.first);
        let skipped = usize::try_from(first - down.first).unwrap_or(usize::MAX);
        let frames: Vec<_> = down.waiting.iter().skip(skipped).map(|waiting| waiting.frame.clone()).collect();
        match &down.closed {
            _ if !frames.is_empty() => Next::Frames { first, frames },
            Some(reason) => Next::Closed { reason: reason.clone() },
            None => Next::Nothing,
        }
    }

    /// The peer has all events up to this one.
    pub(super) fn acknowledge(&self, shared: &Shared, seen: u64) -> Result<(), SessionError> {
        let mut down = self.down();
        if seen >= down.end() {
            return Err(SessionError::NoSuchEvent { seen });
        }
        while down.first <= seen {
            let Some(Waiting { frame, from }) = down.waiting.pop_front() else { break };
            down.first += 1;
            down.bytes -= frame.len();
            let written = Input::Written { connection: self.connection, bytes: frame.len() };
            shared.mailboxes.tell(from, Event::Hub(written)).map_err(|_| SessionError::Stopping)?;
        }
        Ok(())
    }

    /// Takes frames of which the first has this number, leaves out those that have come before, and says how many have come
    /// in all.
    pub(super) async fn take(
        self: Arc<Self>,
        shared: Arc<Shared>,
        sequence: u64,
        frames: Vec<Vec<u8>>,
    ) -> Result<u64, SessionError> {
        let mut received = self.received.lock().await;
        if sequence > *received + 1 {
            return Err(SessionError::Gap { received: *received, sequence });
        }
        for (number, bytes) in (sequence..).zip(frames) {
            if number <= *received {
                continue;
            }
            let rest = self.paused_until.load(Ordering::Relaxed).saturating_sub(now().as_millis());
            let rest = Duration::from_millis(rest);
            if rest > REST_MAX {
                return Err(SessionError::Resting { rest });
            }
            sleep(rest).await;
            let share =
                u32::try_from(bytes.len().min(FRAME_BYTES_MAX) / 1024 + 1).expect("frames are bounded");
            let share = Arc::clone(&shared.inbox).acquire_many_owned(share).await;
            let share = Arc::new(share.map_err(|_| SessionError::Stopping)?);
            let arrived = Arrived { connection: self.connection, bytes, _share: share };
            shared.mailboxes.put_frame(arrived).await.map_err(|_| SessionError::Stopping)?;
            *received = number;
        }
        Ok(*received)
    }

    /// Ends the session, since its peer says so.
    pub(super) fn leave(&self) {
        self.end("the peer has left");
    }

    fn end(&self, reason: &str) {
        self.down().closed.get_or_insert_with(|| reason.to_owned());
        self.news.send_replace(());
    }

    /// Why the session can't go on, if it can't.
    fn is_over(&self) -> Option<&'static str> {
        let down = self.down();
        let is_left = !down.is_read && down.seen.elapsed() > RESUME_TIME_MAX;
        if down.closed.is_some() {
            Some("the session has ended")
        } else if is_left {
            Some("nobody has read for too long")
        } else if down.heard.elapsed() > SILENCE_MAX {
            Some("nothing was posted for too long")
        } else if down.bytes > WAITING_BYTES_MAX {
            Some("too much waits to be acknowledged")
        } else {
            None
        }
    }
}

impl Down {
    fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            first: 1,
            bytes: 0,
            stream: 0,
            is_read: false,
            heard: now,
            seen: now,
            closed: None,
        }
    }

    /// The number of the next event.
    fn end(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }
}

/// Keeps what the relay says for the peer to fetch, until either ends the session.
async fn serve(
    shared: Arc<Shared>,
    name: SessionName,
    session: Arc<Session>,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
) {
    let mut looks = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            next = outgoing.recv() => match next {
                Some(Outgoing::Frame { frame, from }) => {
                    let mut down = session.down();
                    down.bytes += frame.len();
                    down.waiting.push_back(Waiting { frame: frame.into(), from });
                    drop(down);
                    session.news.send_replace(());
                }
                Some(Outgoing::Close { reason }) => {
                    session.end(&reason);
                    break;
                }
                None => break,
            },
            _ = looks.tick() => {
                if let Some(reason) = session.is_over() {
                    session.end(reason);
                    break;
                }
            }
        }
    }
    session.end("the relay has closed the connection");
    shared.mailboxes.tell_front_in_turn(Input::Closed { connection: session.connection }).await.ok();
    shared.door.let_out(session.connection);
    shared.dismiss();
    sleep(FAREWELL_TIME).await;
    shared.streams.lock().remove(&name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_sessions_are_long_and_never_the_same() {
        let names: Vec<_> = (0..100).map(|_| SessionName::random()).collect();
        assert!(names.iter().all(|name| name.as_str().len() == 43));
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
