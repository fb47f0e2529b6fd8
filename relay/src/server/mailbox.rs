//! Where what happens is put for the hubs: one mailbox each.

use anyhow::{Result, bail};
use crdt_core::id::DocumentId;
use tokio::sync::mpsc;

use super::engine::Event;
use crate::hub::{Input, Place, Shards};
use crate::id::DocumentKey;

/// Frames that wait for one hub.
const FRAMES_MAX: usize = 4096;

/// The mailboxes of all hubs.
pub(super) struct Mailboxes {
    shards: Shards,
    all: Vec<Mailbox>,
}

struct Mailbox {
    events: mpsc::Sender<Event>,
    /// For what must not wait behind frames: that bytes were written, that the store has answered.
    notices: mpsc::UnboundedSender<Event>,
}

/// The inside of one mailbox, for the engine that empties it.
pub(super) struct Inbox {
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) notices: mpsc::UnboundedReceiver<Event>,
}

/// The hub is no more: the relay stops.
#[derive(Debug)]
pub(super) struct Gone;

impl Mailboxes {
    pub(super) fn new(shards: Shards) -> (Self, Vec<Inbox>) {
        let pairs = shards.iter().map(|_| {
            let (events, events_inside) = mpsc::channel(FRAMES_MAX);
            let (notices, notices_inside) = mpsc::unbounded_channel();
            (Mailbox { events, notices }, Inbox { events: events_inside, notices: notices_inside })
        });
        let (all, inboxes) = pairs.unzip();
        (Self { shards, all }, inboxes)
    }

    /// Puts a frame where it belongs, and waits while there is no room.
    pub(super) async fn put_frame(&self, frame: super::engine::Arrived) -> Result<(), Gone> {
        match self.shards.place(&frame.bytes) {
            Place::One(index) => self.all[index].put(Event::Frame(frame)).await,
            Place::All => {
                for mailbox in &self.all {
                    mailbox.put(Event::Frame(frame.clone())).await?;
                }
                Ok(())
            }
        }
    }

    /// Puts something where a document is handled, and waits while there is no room.
    pub(super) async fn put_to_holder(&self, document: DocumentId, event: Event) -> Result<(), Gone> {
        self.all[self.shards.holder(document)].put(event).await
    }

    /// Asks every hub, the front first.
    pub(super) fn tell_all(&self, mut event: impl FnMut() -> Event) {
        for mailbox in &self.all {
            mailbox.notices.send(event()).ok();
        }
    }

    /// Tells the front, behind the frames that it was given.
    pub(super) async fn tell_front_in_turn(&self, input: Input) -> Result<(), Gone> {
        self.all[0].put(Event::Hub(input)).await
    }

    /// Tells the front.
    pub(super) fn tell_front(&self, event: Event) -> Result<(), Gone> {
        self.tell(0, event)
    }

    /// Tells all but the front.
    pub(super) fn tell_others(&self, event: impl Fn() -> Event) {
        for mailbox in &self.all[1..] {
            // One that is gone has nothing left to hear.
            mailbox.notices.send(event()).ok();
        }
    }

    /// Tells the hub that handles a document.
    pub(super) fn tell_holder(&self, key: &DocumentKey, input: Input) -> Result<(), Gone> {
        self.tell(self.shards.holder(key.document), Event::Hub(input))
    }

    /// Tells one hub.
    pub(super) fn tell(&self, index: usize, event: Event) -> Result<(), Gone> {
        self.all[index].notices.send(event).map_err(|_| Gone)
    }

    /// Tells every hub to stop.
    pub(super) fn stop(&self) -> Result<()> {
        for index in 0..self.all.len() {
            if self.tell(index, Event::Stop).is_err() {
                bail!("hub {index} has ended by itself");
            }
        }
        Ok(())
    }
}

impl Mailbox {
    async fn put(&self, event: Event) -> Result<(), Gone> {
        self.events.send(event).await.map_err(|_| Gone)
    }
}
