//! The service that a device's commands go to, and the way there: requests and answers get lost, and some are refused.

use std::time::Duration;

use crdt_core::replica::{Command, CommandId, CommandOutcome};

use super::{Device, Errand, Node};
use crate::chance::Chance;
use crate::plant::Plant;
use crate::stage::Stage;

/// Out of a hundred requests, how many never reach the service.
const LOST_PERCENT: u64 = 15;

impl Device {
    /// The replica wants a command carried out.
    pub(super) fn request(&mut self, stage: &mut Stage, command: Command, attempt: u32) {
        let Command { id, body, .. } = command;
        let key = match self.plant {
            Some(Plant::RetryUnderFreshKey) if attempt > 1 => format!("{id}-{attempt}"),
            _ => id.to_string(),
        };
        stage.note(format_args!("{} requests {key}, attempt {attempt}", self.body().id()));
        stage.note_business(self.body().id());
        if self.plant == Some(Plant::RetryNever) && attempt > 1 {
            return self.answer(stage, id, CommandOutcome::Done);
        }
        if self.is_calm || !self.chance.percent(LOST_PERCENT) {
            let wait = self.chance.millis(5..=500);
            self.later(stage, wait, Errand::Reach { command: id, key, body });
        }
    }

    /// A command has reached its service, which carries it out or refuses it.
    pub(super) fn reach(&mut self, stage: &mut Stage, command: CommandId, key: &str, body: &str) {
        // Asked twice, the service says the same.
        let is_refused = Chance::new(self.plan.seed, key).percent(5);
        if is_refused && !self.is_calm {
            let why = "there is no such card".to_owned();
            return self.answer(stage, command, CommandOutcome::Refused { why });
        }
        stage.note(format_args!("the service carries out {key}"));
        let verdict = stage.commands.delivered(key, body.as_bytes());
        stage.require(verdict);
        let outcome = match self.chance.within(0..=9) {
            0 if !self.is_calm => return,
            1..=2 if !self.is_calm => {
                let after = self.chance.percent(50).then(|| Duration::from_secs(1));
                CommandOutcome::Failed { why: "too busy".to_owned(), after }
            }
            _ => CommandOutcome::Done,
        };
        self.answer(stage, command, outcome);
    }

    fn answer(&mut self, stage: &mut Stage, command: CommandId, outcome: CommandOutcome) {
        let wait = self.chance.millis(5..=500);
        self.later(stage, wait, Errand::Answer { command, outcome });
    }
}
