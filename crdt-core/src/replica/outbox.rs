//! The outbox: commands on their way, stored before they are first carried out and until they are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::clock::Moment;
use super::command::{Command, CommandId, CommandOutcome, CommandStatus};
use super::event::{ErrorClass, Failure};
use super::queue::{Priority, TurnQueue};
use crate::limits::{COMMAND_BYTES_MAX, COMMANDS_RUNNING_MAX};

/// How commands are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxConfig {
    /// Most commands kept, dead ones included.
    pub commands_max: usize,
    /// Attempts before a command counts as dead.
    pub attempts_max: u32,
    /// How long an attempt may take before it counts as failed.
    pub attempt_max: Duration,
    pub backoff: Backoff,
}

impl Default for OutboxConfig {
    fn default() -> Self {
        Self {
            commands_max: 1000,
            attempts_max: 12,
            attempt_max: Duration::from_mins(1),
            backoff: Backoff { first: Duration::from_secs(2), longest: Duration::from_mins(10) },
        }
    }
}

/// Every command that is not carried out yet.
#[derive(Debug)]
pub(super) struct Outbox {
    config: OutboxConfig,
    entries: BTreeMap<CommandId, Entry>,
    ready: TurnQueue<CommandId>,
    /// What waits for a moment: for its next attempt, or for an attempt to have taken too long.
    later: BTreeSet<(Moment, CommandId)>,
    running: usize,
}

#[derive(Debug)]
struct Entry {
    command: Command,
    failed: u32,
    status: CommandStatus,
    /// When it is in `later`.
    until: Option<Moment>,
}

/// A command as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    command: Command,
    failed: u32,
    dead: bool,
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Full {
        max: usize,
    },
    TooLarge {
        max: usize,
    },
    /// It is here already: submitting twice is submitting once.
    Known,
}

/// What became of a command after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    Retried {
        failure: Failure,
        after: Duration,
    },
    Dead {
        failure: Failure,
    },
    /// Nobody waits for this answer: the attempt had been given up.
    Ignored,
}

impl Outbox {
    pub(super) fn new(config: OutboxConfig) -> Self {
        let (ready, later) = (TurnQueue::new(), BTreeSet::new());
        Self { config, entries: BTreeMap::new(), ready, later, running: 0 }
    }

    /// Takes in what was stored. A record that can't be read is left alone on the disk, and what is here already stays as it
    /// is: where reading had to be tried again, some of what is read was submitted meanwhile.
    pub(super) fn load(&mut self, value: &[u8]) -> Result<(), serde_json::Error> {
        let Record { command, failed, dead } = serde_json::from_slice(value)?;
        if self.entries.contains_key(&command.id) {
            return Ok(());
        }
        let status = if dead { CommandStatus::Dead } else { CommandStatus::Waiting };
        if !dead {
            self.ready.push(command.id.clone(), command.priority);
        }
        self.entries.insert(command.id.clone(), Entry { command, failed, status, until: None });
        Ok(())
    }

    /// Takes a command; it is to be stored, and then told of by [`Outbox::stored`].
    pub(super) fn submit(&mut self, command: Command) -> Result<(), Refused> {
        if self.entries.contains_key(&command.id) {
            return Err(Refused::Known);
        }
        if self.entries.len() >= self.config.commands_max {
            return Err(Refused::Full { max: self.config.commands_max });
        }
        if command.kind.len() + command.body.len() > COMMAND_BYTES_MAX {
            return Err(Refused::TooLarge { max: COMMAND_BYTES_MAX });
        }
        let entry = Entry { failed: 0, status: CommandStatus::Unsaved, until: None, command };
        self.entries.insert(entry.command.id.clone(), entry);
        Ok(())
    }

    /// The command as it is to be stored; `None` if it is to be stored no more.
    pub(super) fn record(&self, id: &CommandId) -> Option<Vec<u8>> {
        let entry = self.entries.get(id)?;
        let record = Record {
            command: entry.command.clone(),
            failed: entry.failed,
            dead: entry.status == CommandStatus::Dead,
        };
        Some(serde_json::to_vec(&record).expect("texts and numbers serialise"))
    }

    /// The command is on the disk. Whether that was news.
    pub(super) fn stored(&mut self, id: &CommandId) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        if entry.status != CommandStatus::Unsaved {
            return false;
        }
        entry.status = CommandStatus::Waiting;
        self.ready.push(id.clone(), entry.command.priority);
        true
    }

    /// Takes the next command that is to be carried out now, and which attempt this is.
    pub(super) fn take(&mut self, now: Moment, least: Priority) -> Option<(Command, u32)> {
        if self.running >= COMMANDS_RUNNING_MAX {
            return None;
        }
        let id = self.ready.pop(least)?;
        let entry = self.entries.get_mut(&id).expect("what is ready is here");
        let until = now + self.config.attempt_max;
        (entry.status, entry.until) = (CommandStatus::Running, Some(until));
        self.later.insert((until, id));
        self.running += 1;
        Some((entry.command.clone(), entry.failed + 1))
    }

    /// Takes a command whose attempt has taken too long.
    pub(super) fn take_overdue(&mut self, now: Moment) -> Option<CommandId> {
        let overdue = self.later.iter().take_while(|(until, _)| *until <= now);
        let mut running = overdue.filter(|(_, id)| self.entries[id].status == CommandStatus::Running);
        running.next().map(|(_, id)| id.clone())
    }

    /// Lets whatever waited for its next attempt until now wait for its turn, however long that may be in coming.
    pub(super) fn wake(&mut self, now: Moment) {
        let due = self.later.iter().take_while(|(until, _)| *until <= now);
        let waiting = due.filter(|(_, id)| self.entries[id].status == CommandStatus::Waiting);
        for due in waiting.cloned().collect::<Vec<_>>() {
            self.later.remove(&due);
            let entry = self.entries.get_mut(&due.1).expect("what waits is here");
            entry.until = None;
            self.ready.push(due.1, entry.command.priority);
        }
    }

    /// Judges an attempt. Whatever the verdict, what [`Outbox::record`] says now is to be stored.
    pub(super) fn finish(
        &mut self,
        id: &CommandId,
        outcome: CommandOutcome,
        now: Moment,
        rng: &mut dyn Rng,
    ) -> Verdict {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.status == CommandStatus::Running)
        else {
            return Verdict::Ignored;
        };
        if let Some(until) = entry.until.take() {
            self.later.remove(&(until, id.clone()));
        }
        self.running -= 1;
        let (why, asked, is_final) = match outcome {
            CommandOutcome::Done => {
                self.entries.remove(id);
                return Verdict::Done;
            }
            CommandOutcome::Failed { why, after } => (why, after, false),
            CommandOutcome::Refused { why } => (why, None, true),
        };
        entry.failed += 1;
        if is_final || entry.failed >= self.config.attempts_max {
            entry.status = CommandStatus::Dead;
            let class = if is_final { ErrorClass::Validation } else { ErrorClass::Network };
            return Verdict::Dead { failure: Failure::new(class, why) };
        }
        let wait = self.config.backoff.wait(entry.failed - 1, rng);
        let after = asked.map_or(wait, |asked| asked + wait);
        let until = now + after;
        (entry.status, entry.until) = (CommandStatus::Waiting, Some(until));
        self.later.insert((until, id.clone()));
        Verdict::Retried { failure: Failure::new(ErrorClass::Network, why).retried_after(after), after }
    }

    /// Tries a dead command again, from the first attempt. Whether there was one.
    pub(super) fn revive(&mut self, id: &CommandId) -> bool {
        let Some(entry) = self.entries.get_mut(id).filter(|entry| entry.status == CommandStatus::Dead) else {
            return false;
        };
        (entry.status, entry.failed) = (CommandStatus::Waiting, 0);
        self.ready.push(id.clone(), entry.command.priority);
        true
    }

    /// Drops a command. Whether there was one.
    pub(super) fn discard(&mut self, id: &CommandId) -> bool {
        let Some(entry) = self.entries.remove(id) else { return false };
        self.ready.remove(id);
        if let Some(until) = entry.until {
            self.later.remove(&(until, id.clone()));
        }
        if entry.status == CommandStatus::Running {
            self.running -= 1;
        }
        true
    }

    /// When to look again.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.later.first().map(|(until, _)| *until)
    }

    /// Every command and where it stands.
    pub(super) fn commands(&self) -> impl Iterator<Item = (&Command, CommandStatus)> {
        self.entries.values().map(|entry| (&entry.command, entry.status))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    fn order(n: u32, priority: Priority) -> Command {
        let id = CommandId::new(format!("order-{n}")).unwrap();
        Command { id, kind: "place-order".into(), body: "{}".into(), priority }
    }

    fn outbox() -> Outbox {
        Outbox::new(OutboxConfig { commands_max: 8, attempts_max: 3, ..OutboxConfig::default() })
    }

    fn failed() -> CommandOutcome {
        CommandOutcome::Failed { why: "no answer".into(), after: None }
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(7)
    }

    #[test]
    fn nothing_is_carried_out_before_it_is_stored() {
        let (mut outbox, now) = (outbox(), Moment::default());
        let command = order(1, Priority::Medium);
        outbox.submit(command.clone()).unwrap();
        assert_eq!(outbox.submit(command.clone()), Err(Refused::Known));
        assert_eq!(outbox.take(now, Priority::Low), None);
        assert!(outbox.stored(&command.id));
        assert_eq!(outbox.take(now, Priority::Low), Some((command.clone(), 1)));
        assert_eq!(outbox.finish(&command.id, CommandOutcome::Done, now, &mut rng()), Verdict::Done);
        assert_eq!(outbox.record(&command.id), None);
    }

    #[test]
    fn a_failing_command_is_tried_again_then_dies_and_may_be_revived() {
        let (mut outbox, mut rng, mut now) = (outbox(), rng(), Moment::default());
        let command = order(1, Priority::Medium);
        outbox.submit(command.clone()).unwrap();
        outbox.stored(&command.id);
        for attempt in 1..=3 {
            now = outbox.next_deadline().unwrap_or(now);
            outbox.wake(now);
            assert_eq!(outbox.take(now, Priority::Low), Some((command.clone(), attempt)));
            match outbox.finish(&command.id, failed(), now, &mut rng) {
                Verdict::Retried { failure, after } => {
                    assert!(attempt < 3);
                    assert_eq!(failure.retry_after, Some(after));
                }
                Verdict::Dead { .. } => assert_eq!(attempt, 3),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(outbox.take(now + Duration::from_hours(1), Priority::Low), None);

        let mut restarted = super::tests::outbox();
        restarted.load(&outbox.record(&command.id).unwrap()).unwrap();
        assert_eq!(restarted.commands().next(), Some((&command, CommandStatus::Dead)));
        assert!(restarted.revive(&command.id));
        assert_eq!(restarted.take(now, Priority::Low), Some((command, 1)));
    }

    #[test]
    fn what_was_stored_is_carried_out_after_a_restart_under_the_same_key() {
        let mut outbox = outbox();
        let command = order(1, Priority::Critical);
        outbox.submit(command.clone()).unwrap();
        let mut restarted = super::tests::outbox();
        restarted.load(&outbox.record(&command.id).unwrap()).unwrap();
        assert_eq!(restarted.take(Moment::default(), Priority::Low), Some((command, 1)));
        assert!(restarted.load(b"{}").is_err());
    }

    #[test]
    fn what_is_read_late_changes_nothing_that_is_under_way() {
        let (mut outbox, now) = (outbox(), Moment::default());
        let command = order(1, Priority::Medium);
        outbox.submit(command.clone()).unwrap();
        outbox.stored(&command.id);
        let record = outbox.record(&command.id).unwrap();
        assert!(outbox.take(now, Priority::Low).is_some());
        outbox.load(&record).unwrap();
        assert_eq!(outbox.take(now, Priority::Low), None, "it is running");
        assert_eq!(outbox.finish(&command.id, CommandOutcome::Done, now, &mut rng()), Verdict::Done);
        assert_eq!(
            (outbox.take_overdue(now + Duration::from_hours(1)), outbox.next_deadline()),
            (None, None)
        );
    }

    #[test]
    fn an_attempt_without_an_answer_counts_as_failed() {
        let (mut outbox, mut rng, now) = (outbox(), rng(), Moment::default());
        let command = order(1, Priority::Medium);
        outbox.submit(command.clone()).unwrap();
        outbox.stored(&command.id);
        outbox.take(now, Priority::Low).unwrap();
        let late = outbox.next_deadline().unwrap();
        assert_eq!(outbox.take_overdue(now), None);
        assert_eq!(outbox.take_overdue(late), Some(command.id.clone()));
        assert!(matches!(outbox.finish(&command.id, failed(), late, &mut rng), Verdict::Retried { .. }));
        let answer = outbox.finish(&command.id, CommandOutcome::Done, late, &mut rng);
        assert_eq!(answer, Verdict::Ignored, "the next attempt's answer counts");
    }

    #[test]
    fn urgent_commands_go_first_and_only_so_many_at_once() {
        let (mut outbox, now) = (outbox(), Moment::default());
        for n in 0..8 {
            let command = order(n, if n == 6 { Priority::Critical } else { Priority::Low });
            outbox.submit(command.clone()).unwrap();
            outbox.stored(&command.id);
        }
        assert_eq!(outbox.submit(order(9, Priority::Low)), Err(Refused::Full { max: 8 }));
        let taken: Vec<_> = std::iter::from_fn(|| outbox.take(now, Priority::Low)).collect();
        assert_eq!(taken[0].0.id.as_str(), "order-6");
        assert_eq!(taken.len(), COMMANDS_RUNNING_MAX);
        assert!(outbox.discard(&taken[0].0.id));
        assert!(outbox.take(now, Priority::Medium).is_none(), "what is not urgent is held back");
        assert!(outbox.take(now, Priority::Low).is_some());
    }

    #[test]
    fn a_command_too_large_is_refused() {
        let large = Command { body: "x".repeat(COMMAND_BYTES_MAX), ..order(1, Priority::Low) };
        assert_eq!(outbox().submit(large), Err(Refused::TooLarge { max: COMMAND_BYTES_MAX }));
    }
}
