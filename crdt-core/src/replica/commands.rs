//! The replica's outbox at work: commands stored, carried out, tried again.

use rand_core::Rng;

use super::command::{Command, CommandId, CommandOutcome};
use super::event::{Event, Quota};
use super::outbox::{Refused, Verdict};
use super::port::{Output, RecordKey, WritePart};
use super::timer::Timer;
use super::{Replica, Written};

impl Replica {
    pub(super) fn submit(&mut self, command: Command) {
        let id = command.id.clone();
        match self.outbox.submit(command) {
            Ok(()) => self.store_command(id),
            Err(Refused::Known) => {}
            Err(Refused::Full { max }) => self.event(Event::QuotaExceeded { quota: Quota::Commands, max }),
            Err(Refused::TooLarge { max }) => {
                self.event(Event::QuotaExceeded { quota: Quota::CommandBytes, max });
            }
        }
    }

    /// Writes what is to be kept of a command now.
    fn store_command(&mut self, id: CommandId) {
        let key = RecordKey::Command(id.clone());
        let part = match self.outbox.record(&id) {
            Some(value) => WritePart::Put { key, value },
            None => WritePart::Delete { key },
        };
        self.write(Written::Command(id), vec![part]);
    }

    pub(super) fn command_stored(&mut self, command: CommandId) {
        if self.outbox.stored(&command) {
            self.event(Event::CommandQueued { command });
        }
    }

    /// Carries out what is due. Without a network there is no point.
    pub(super) fn run_commands(&mut self) {
        let least = self.conditions.pace().least;
        self.outbox.wake(self.clock.now());
        while self.is_online
            && let Some((command, attempt)) = self.outbox.take(self.clock.now(), least)
        {
            self.outputs.push_back(Output::Run { command, attempt });
        }
        if let Some(deadline) = self.outbox.next_deadline() {
            self.timers.set(deadline, Timer::Outbox);
        }
    }

    pub(super) fn command_done(&mut self, id: &CommandId, outcome: CommandOutcome, rng: &mut dyn Rng) {
        let verdict = self.outbox.finish(id, outcome, self.clock.now(), rng);
        let command = id.clone();
        match verdict {
            Verdict::Ignored => return,
            Verdict::Done => self.event(Event::CommandDone { command }),
            Verdict::Retried { failure, after } => {
                self.event(Event::CommandRetried { command, failure, after });
            }
            Verdict::Dead { failure } => self.event(Event::CommandDead { command, failure }),
        }
        self.store_command(id.clone());
    }

    /// Gives up attempts that took too long, and writes again what could not be written.
    pub(super) fn check_outbox(&mut self, rng: &mut dyn Rng) {
        while let Some(id) = self.outbox.take_overdue(self.clock.now()) {
            let why = "there was no answer in time".to_owned();
            self.command_done(&id, CommandOutcome::Failed { why, after: None }, rng);
        }
        for id in std::mem::take(&mut self.unwritten) {
            self.store_command(id);
        }
    }

    pub(super) fn revive(&mut self, id: &CommandId) {
        if self.outbox.revive(id) {
            self.store_command(id.clone());
        }
    }

    pub(super) fn discard(&mut self, id: &CommandId) {
        if self.outbox.discard(id) {
            self.store_command(id.clone());
        }
    }
}
