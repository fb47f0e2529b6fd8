//! Who is here: this device as others are told, and others as they told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::clock::Moment;
use crate::id::DocumentId;
use crate::limits::PRESENCES_MAX;
use crate::wire::{DeviceId, PeerId, PeerRef, Presence, SessionId};

/// How often this device tells that it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresenceConfig {
    /// Told again after so long, and forgotten by others after three times that.
    pub interval: Duration,
    /// Not told more often than this, however fast the cursor moves.
    pub gap: Duration,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), gap: Duration::from_millis(100) }
    }
}

/// Somebody who is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub peer: PeerId,
    /// The tab or process.
    pub session: SessionId,
    pub device: DeviceId,
    /// Where; without a document, on another device of this person.
    pub document: Option<DocumentId>,
    /// The application's.
    pub data: Vec<u8>,
    /// How long ago the person was last active.
    pub idle: Duration,
}

/// One place where somebody can be.
pub(super) type Seat = (PeerId, SessionId, Option<DocumentId>);

#[derive(Debug)]
struct Seen {
    device: DeviceId,
    count: u64,
    data: Vec<u8>,
    active: Moment,
    expires: Moment,
}

/// Others, as they told.
#[derive(Debug, Default)]
pub(super) struct Others {
    seen: BTreeMap<Seat, Seen>,
}

/// What somebody's telling amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    Appeared,
    Disappeared,
    Nothing,
}

impl Others {
    /// Somebody told that they are here, or are no longer.
    pub(super) fn tell(&mut self, sender: PeerRef<'_>, presence: &Presence<'_>, now: Moment) -> News {
        let seat = (sender.to_owned(), presence.session.to_owned(), presence.document);
        if self.seen.get(&seat).is_some_and(|seen| presence.count <= seen.count) {
            return News::Nothing;
        }
        if presence.expires_after.is_zero() {
            return if self.seen.remove(&seat).is_some() { News::Disappeared } else { News::Nothing };
        }
        if !self.seen.contains_key(&seat) && self.seen.len() >= PRESENCES_MAX {
            return News::Nothing;
        }
        let idle = presence.idle;
        let seen = Seen {
            device: presence.device.to_owned(),
            count: presence.count,
            data: presence.data.to_owned(),
            // A moment before the replica began counts as its beginning.
            active: Moment::default() + now.since(Moment::default()).saturating_sub(idle),
            expires: now + presence.expires_after.min(EXPIRY_MAX),
        };
        let before = self.seen.insert(seat, seen);
        let is_news = before.is_none_or(|before| before.data != presence.data);
        if is_news { News::Appeared } else { News::Nothing }
    }

    /// Forgets those not heard of for too long.
    pub(super) fn take_expired(&mut self, now: Moment) -> Vec<(Seat, DeviceId)> {
        let expired = self.seen.extract_if(.., |_, seen| seen.expires <= now);
        expired.map(|(seat, seen)| (seat, seen.device)).collect()
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.seen.values().map(|seen| seen.expires).min()
    }

    pub(super) fn iter(&self, now: Moment) -> impl Iterator<Item = Present> + '_ {
        self.seen.iter().map(move |((peer, session, document), seen)| Present {
            peer: peer.clone(),
            session: session.clone(),
            device: seen.device.clone(),
            document: *document,
            data: seen.data.clone(),
            idle: now.since(seen.active),
        })
    }
}

/// Nobody is believed to be here for longer than this without telling again.
pub(super) const EXPIRY_MAX: Duration = Duration::from_mins(10);

/// This device, as others are told.
#[derive(Debug, Default)]
pub(super) struct Own {
    seats: BTreeMap<Option<DocumentId>, OwnSeat>,
    count: u64,
    active: Moment,
}

#[derive(Debug)]
struct OwnSeat {
    data: Vec<u8>,
    told: Option<Moment>,
    due: Moment,
}

/// What is to be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Telling {
    pub(super) document: Option<DocumentId>,
    pub(super) data: Vec<u8>,
    pub(super) count: u64,
    pub(super) idle: Duration,
    /// Zero: a goodbye.
    pub(super) expires_after: Duration,
}

impl Own {
    /// Is here from now on, or has something new to tell.
    pub(super) fn appear(
        &mut self,
        document: Option<DocumentId>,
        data: Vec<u8>,
        now: Moment,
        config: &PresenceConfig,
    ) {
        self.active = now;
        let told = self.seats.get(&document).and_then(|seat| seat.told);
        let due = told.map_or(now, |told| now.max(told + config.gap));
        self.seats.insert(document, OwnSeat { data, told, due });
    }

    /// Is here no longer. What to tell of that, if anyone was told before.
    pub(super) fn disappear(&mut self, document: Option<DocumentId>, now: Moment) -> Option<Telling> {
        self.seats.remove(&document)?.told?;
        self.count += 1;
        let (data, count, idle) = (Vec::new(), self.count, now.since(self.active));
        Some(Telling { document, data, count, idle, expires_after: Duration::ZERO })
    }

    /// The person did something.
    pub(super) fn active(&mut self, now: Moment) {
        self.active = now;
    }

    /// Somebody new is there who was told nothing yet.
    pub(super) fn tell_again(&mut self, now: Moment) {
        for seat in self.seats.values_mut() {
            seat.due = now;
        }
    }

    /// What is to be told now.
    pub(super) fn take_due(&mut self, now: Moment, config: &PresenceConfig, stretch: u32) -> Vec<Telling> {
        let interval = config.interval * stretch;
        let mut due = Vec::new();
        for (document, seat) in &mut self.seats {
            if seat.due > now {
                continue;
            }
            (seat.told, seat.due) = (Some(now), now + interval);
            self.count += 1;
            due.push(Telling {
                document: *document,
                data: seat.data.clone(),
                count: self.count,
                idle: now.since(self.active),
                expires_after: interval * 3,
            });
        }
        due
    }

    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.seats.values().map(|seat| seat.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{DeviceRef, SessionRef};

    fn second(n: u64) -> Moment {
        Moment::default() + Duration::from_secs(n)
    }

    fn presence(count: u64, expires: u64, data: &[u8]) -> Presence<'_> {
        Presence {
            session: SessionRef::new("tab").unwrap(),
            device: DeviceRef::new("pixel").unwrap(),
            count,
            document: None,
            idle: Duration::from_secs(2),
            expires_after: Duration::from_secs(expires),
            data,
        }
    }

    #[test]
    fn others_appear_tell_expire_and_say_goodbye() {
        let mut others = Others::default();
        let phone = PeerRef::new("phone").unwrap();
        assert_eq!(others.tell(phone, &presence(1, 30, b"a"), second(10)), News::Appeared);
        assert_eq!(others.tell(phone, &presence(2, 30, b"a"), second(11)), News::Nothing, "nothing is new");
        assert_eq!(others.tell(phone, &presence(3, 30, b"b"), second(12)), News::Appeared);
        assert_eq!(others.tell(phone, &presence(2, 30, b"a"), second(12)), News::Nothing, "it is old");
        let present: Vec<_> = others.iter(second(20)).collect();
        assert_eq!(present.len(), 1);
        assert_eq!((present[0].data.as_slice(), present[0].idle), (&b"b"[..], Duration::from_secs(10)));
        assert_eq!(others.next_deadline(), Some(second(42)));
        assert_eq!(others.take_expired(second(41)), []);
        assert_eq!(others.take_expired(second(42)).len(), 1);
        others.tell(phone, &presence(4, 30, b"b"), second(50));
        assert_eq!(others.tell(phone, &presence(5, 0, b""), second(51)), News::Disappeared);
        assert_eq!(others.iter(second(51)).count(), 0);
    }

    #[test]
    fn nobody_fills_the_registry_or_stays_for_ever() {
        let mut others = Others::default();
        for n in 0..PRESENCES_MAX + 10 {
            let name = n.to_string();
            others.tell(PeerRef::new(&name).unwrap(), &presence(1, u64::MAX >> 12, b""), second(0));
        }
        assert_eq!(others.iter(second(0)).count(), PRESENCES_MAX);
        assert_eq!(others.take_expired(Moment::default() + EXPIRY_MAX).len(), PRESENCES_MAX);
    }

    #[test]
    fn a_moving_cursor_is_told_now_and_then_and_a_still_one_seldom() {
        let config = PresenceConfig::default();
        let mut own = Own::default();
        let mut told = Vec::new();
        for millisecond in 0..1000 {
            let now = Moment::default() + Duration::from_millis(millisecond);
            own.appear(None, millisecond.to_string().into_bytes(), now, &config);
            told.extend(own.take_due(now, &config, 1));
        }
        assert_eq!(told.len(), 10);
        assert!(told.is_sorted_by_key(|telling| telling.count));
        let next = own.next_deadline().unwrap();
        let last = own.take_due(next, &config, 1);
        assert_eq!(last[0].data, b"999", "the last word is told");
        assert_eq!(own.next_deadline(), Some(next + config.interval));
        let goodbye = own.disappear(None, next).unwrap();
        assert!(goodbye.expires_after.is_zero() && goodbye.count > last[0].count);
        assert_eq!(own.disappear(None, next), None);
    }
}
