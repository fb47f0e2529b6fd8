//! One place that the replica keeps connected to.

use std::time::Duration;

use rand_core::Rng;

use super::backoff::{Backoff, between};
use super::clock::Moment;
use super::port::{ConnectionId, Role};

/// How a connection that is to be kept stands.
///
/// ```text
/// Disconnected -> Connecting -> Connected -> Reconnecting -> Connected ...
///       ^             |                           |
///       +-------------+---- refused for good -----+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnectionStatus {
    /// Nobody tries: it was refused for good, or is not wanted.
    Disconnected,
    /// Being tried for the first time.
    Connecting,
    /// Frames go both ways.
    Connected,
    /// Was lost, or failed at first; being tried again and again.
    Reconnecting,
}

/// When to dial again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialConfig {
    pub backoff: Backoff,
    /// A connection that lasted so long makes the next backoff start afresh. A shorter one does not: a relay that
    /// accepts and drops would otherwise be dialled without a pause.
    pub stable_after: Duration,
    /// How long dialling and the handshake may take.
    pub handshake_max: Duration,
}

impl Default for DialConfig {
    fn default() -> Self {
        Self {
            backoff: Backoff { first: Duration::from_millis(500), longest: Duration::from_mins(1) },
            stable_after: Duration::from_secs(10),
            handshake_max: Duration::from_secs(10),
        }
    }
}

/// A place to stay connected to, and the attempts at it.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) role: Role,
    attempt: Attempt,
    failed: u32,
    /// Whether it was ever connected, or failed.
    tried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    Waiting { until: Moment, at_will: bool },
    Dialling { connection: ConnectionId },
    Up { connection: ConnectionId, since: Moment },
    Given,
}

impl Endpoint {
    pub(super) fn new(role: Role, now: Moment) -> Self {
        Self { role, attempt: Attempt::Waiting { until: now, at_will: false }, failed: 0, tried: false }
    }

    pub(super) fn status(&self) -> ConnectionStatus {
        match self.attempt {
            Attempt::Given => ConnectionStatus::Disconnected,
            Attempt::Up { .. } => ConnectionStatus::Connected,
            Attempt::Waiting { .. } | Attempt::Dialling { .. } if self.tried => {
                ConnectionStatus::Reconnecting
            }
            Attempt::Waiting { .. } | Attempt::Dialling { .. } => ConnectionStatus::Connecting,
        }
    }

    /// The connection that is there or being tried.
    pub(super) fn connection(&self) -> Option<ConnectionId> {
        match self.attempt {
            Attempt::Dialling { connection } | Attempt::Up { connection, .. } => Some(connection),
            Attempt::Waiting { .. } | Attempt::Given => None,
        }
    }

    /// When to dial, if nothing else happens first.
    pub(super) fn dial_at(&self) -> Option<Moment> {
        match self.attempt {
            Attempt::Waiting { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Dialling begins.
    pub(super) fn dialled(&mut self, connection: ConnectionId) {
        self.attempt = Attempt::Dialling { connection };
    }

    /// The handshake is done.
    pub(super) fn up(&mut self, now: Moment) {
        if let Attempt::Dialling { connection } = self.attempt {
            self.attempt = Attempt::Up { connection, since: now };
            self.tried = true;
        }
    }

    /// The connection is gone, or never came to be: tries again after a while.
    pub(super) fn down(&mut self, now: Moment, config: &DialConfig, rng: &mut dyn Rng) {
        let was_stable =
            matches!(self.attempt, Attempt::Up { since, .. } if now.since(since) >= config.stable_after);
        if was_stable {
            self.failed = 0;
        }
        let wait = config.backoff.wait(self.failed, rng);
        self.failed = self.failed.saturating_add(1);
        self.tried = true;
        self.attempt = Attempt::Waiting { until: now + wait, at_will: true };
    }

    /// The other end is gone, and asked to come back at some moment between two.
    pub(super) fn sent_away(&mut self, now: Moment, least: Duration, most: Duration, rng: &mut dyn Rng) {
        self.tried = true;
        self.attempt = Attempt::Waiting { until: now + between(least, most, rng), at_will: false };
    }

    /// Trying again does not help.
    pub(super) fn give_up(&mut self) {
        self.attempt = Attempt::Given;
    }

    /// There is a network again: whoever waits because of a failure waits no more. The failures still count, so that a
    /// network that comes and goes does not make a relay that is down be dialled all the time.
    pub(super) fn hurry(&mut self, now: Moment) {
        if let Attempt::Waiting { at_will: true, .. } = self.attempt {
            self.attempt = Attempt::Waiting { until: now, at_will: false };
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    const CONNECTION: ConnectionId = ConnectionId(1);

    fn second(n: u64) -> Moment {
        Moment::default() + Duration::from_secs(n)
    }

    #[test]
    fn the_status_tells_a_first_try_from_a_return() {
        let (config, mut rng) = (DialConfig::default(), ChaCha8Rng::seed_from_u64(7));
        let mut relay = Endpoint::new(Role::Relay, second(0));
        assert_eq!(relay.status(), ConnectionStatus::Connecting);
        assert_eq!(relay.dial_at(), Some(second(0)));
        relay.dialled(CONNECTION);
        assert_eq!((relay.status(), relay.dial_at()), (ConnectionStatus::Connecting, None));
        relay.up(second(1));
        assert_eq!(relay.status(), ConnectionStatus::Connected);
        relay.down(second(2), &config, &mut rng);
        assert_eq!(relay.status(), ConnectionStatus::Reconnecting);
        relay.give_up();
        assert_eq!((relay.status(), relay.dial_at()), (ConnectionStatus::Disconnected, None));
    }

    #[test]
    fn a_relay_that_accepts_and_drops_is_dialled_less_and_less() {
        let (config, mut rng) = (DialConfig::default(), ChaCha8Rng::seed_from_u64(7));
        let mut relay = Endpoint::new(Role::Relay, second(0));
        let mut now = second(0);
        for _ in 0..100 {
            relay.dialled(CONNECTION);
            relay.up(now);
            relay.down(now, &config, &mut rng);
            now = relay.dial_at().unwrap();
        }
        assert!(now.since(second(0)) > config.backoff.longest * 30);
        relay.dialled(CONNECTION);
        relay.up(now);
        let later = now + config.stable_after;
        relay.down(later, &config, &mut rng);
        assert!(relay.dial_at().unwrap().since(later) <= config.backoff.first);
    }

    #[test]
    fn a_network_that_is_back_is_tried_at_once_but_an_asked_pause_is_kept() {
        let (config, mut rng) = (DialConfig::default(), ChaCha8Rng::seed_from_u64(7));
        let mut relay = Endpoint::new(Role::Relay, second(0));
        for _ in 0..10 {
            relay.down(second(0), &config, &mut rng);
        }
        relay.hurry(second(1));
        assert_eq!(relay.dial_at(), Some(second(1)));
        relay.sent_away(second(2), Duration::from_secs(5), Duration::from_secs(9), &mut rng);
        relay.hurry(second(3));
        assert!((second(7)..=second(11)).contains(&relay.dial_at().unwrap()));
    }
}
