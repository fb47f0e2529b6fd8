//! The person at a device, and the application they use.

use crdt_core::id::DocumentId;
use crdt_core::replica::{Command, CommandId, CommandStatus, Conditions, Input, Intent, Priority, Replica};

use super::{Device, Node};
use crate::chance::Chance;
use crate::deed::{self, Doer};
use crate::plan::Right;
use crate::stage::Stage;

const PRIORITIES: [Priority; 4] = [Priority::Low, Priority::Medium, Priority::High, Priority::Critical];

impl Device {
    /// The application starts: it connects, and opens most of what its person may read.
    pub(super) fn start_application(&mut self, stage: &mut Stage) {
        for (endpoint, role) in self.endpoints() {
            self.unwanted.remove(&endpoint);
            self.tell(stage, Input::Connect { endpoint, role });
        }
        for document in self.readable(stage) {
            if self.is_calm || self.chance.percent(60) {
                self.open(stage, document, Priority::Medium);
            }
        }
    }

    /// The time of trouble is over: the person looks at most documents and waits.
    pub(super) fn settle_down(&mut self, stage: &mut Stage) {
        self.tell(stage, Input::Conditions(Conditions::default()));
        for (endpoint, role) in self.endpoints() {
            self.unwanted.remove(&endpoint);
            self.tell(stage, Input::Connect { endpoint, role });
        }
        self.tell(stage, Input::NetworkUp);
        let is_service = self.person() == self.plan.service();
        for document in self.readable(stage) {
            // The service looks at everything: it is what connects relays. What is open is asked for again, since whoever
            // was refused may be let in by now.
            let is_open = self.open.contains(&document);
            if is_service || is_open || self.chance.percent(50) {
                self.open(stage, document, Priority::Medium);
            }
        }
    }

    pub(super) fn act_as_person(&mut self, stage: &mut Stage, chance: &mut Chance) {
        self.tell(stage, Input::Active);
        match chance.within(0..=99) {
            0..=54 => self.edit_something(stage, chance),
            55..=64 => {
                let readable = self.readable(stage);
                let priority = *chance.pick(&PRIORITIES).expect("there are priorities");
                if let Some(document) = chance.pick(&readable) {
                    self.open(stage, *document, priority);
                }
            }
            65..=69 => {
                let open: Vec<_> = self.open.iter().copied().collect();
                if let Some(document) = chance.pick(&open) {
                    self.open.remove(document);
                    self.tell(stage, Input::Close { document: *document });
                }
            }
            70..=77 => self.submit(stage, chance),
            78..=83 => self.mingle(stage, chance),
            84..=87 => {
                let [background, metered, low_battery] = [0, 1, 2].map(|_| chance.percent(30));
                let conditions = Conditions { background, metered, low_battery };
                self.tell(stage, Input::Conditions(conditions));
            }
            88..=90 => self.tell(stage, Input::NetworkUp),
            91 => self.tell(stage, Input::NetworkDown),
            92..=95 => self.sort_out(stage, chance),
            _ => self.come_and_go(stage, chance),
        }
    }

    fn readable(&self, stage: &Stage) -> Vec<DocumentId> {
        stage.readers.rights_of(self.person()).map(|(document, _)| document).collect()
    }

    fn open(&mut self, stage: &mut Stage, document: DocumentId, priority: Priority) {
        let plan = self.plan.documents.iter().find(|plan| plan.id == document).expect("of the plan");
        let intent = if plan.owner == self.person() { Intent::OpenOrCreate } else { Intent::Find };
        self.open.insert(document);
        self.tell(stage, Input::Open { document, intent, priority });
    }

    fn edit_something(&mut self, stage: &mut Stage, chance: &mut Chance) {
        let person = self.person();
        let rights = stage.readers.rights_of(person);
        let writable: Vec<_> =
            rights.filter(|(_, right)| *right == Right::Write).map(|(document, _)| document).collect();
        let Some(document) = chance.pick(&writable).copied() else { return };
        let kind = self.plan.documents.iter().find(|plan| plan.id == document).expect("of the plan").kind;
        let (now, name) = (self.body().now(stage), self.body().id().to_string());
        let doer = Doer { name: &name, is_authority: person == self.plan.service() };
        stage.note(format_args!("{name} edits {document}"));
        let Some(replica) = &mut self.replica else { return };
        let edited = replica.edit(now, self.chance.rng(), document, |document| {
            deed::do_something(document, kind, doer, now, chance);
        });
        if let Err(error) = edited {
            stage.note(format_args!("{name} can't: {error}"));
            self.open(stage, document, Priority::High);
        }
        self.drain(stage);
    }

    fn submit(&mut self, stage: &mut Stage, chance: &mut Chance) {
        self.commands += 1;
        let key = format!("{}-command-{}", self.body().id(), self.commands);
        stage.commands.submitted(&key);
        let command = Command {
            id: CommandId::new(&key).expect("a short text"),
            kind: "charge".to_owned(),
            body: chance.seed().to_string(),
            priority: *chance.pick(&PRIORITIES).expect("there are priorities"),
        };
        self.tell(stage, Input::Submit(command));
    }

    /// Says something to whoever is here.
    fn mingle(&mut self, stage: &mut Stage, chance: &mut Chance) {
        let open: Vec<_> = self.open.iter().copied().collect();
        let document = chance.pick(&open).copied();
        let data = chance.bytes(8);
        match (chance.within(0..=2), document) {
            (0, _) => self.tell(stage, Input::Appear { document, data }),
            (1, _) => self.tell(stage, Input::Disappear { document }),
            (_, Some(document)) => self.tell(stage, Input::Broadcast { document, data }),
            (_, None) => {}
        }
    }

    /// Looks after commands that failed for good, or that are not wanted any more.
    fn sort_out(&mut self, stage: &mut Stage, chance: &mut Chance) {
        let commands = self.replica.iter().flat_map(Replica::commands);
        let commands: Vec<_> = commands.map(|(command, status)| (command.id.clone(), status)).collect();
        let Some((command, status)) = chance.pick(&commands).cloned() else { return };
        if status == CommandStatus::Dead && chance.percent(70) {
            self.tell(stage, Input::Revive { command });
        } else if chance.percent(20) {
            stage.commands.buried(command.as_str());
            self.tell(stage, Input::Discard { command });
        }
    }

    fn come_and_go(&mut self, stage: &mut Stage, chance: &mut Chance) {
        let endpoints = self.endpoints();
        let Some((endpoint, role)) = chance.pick(&endpoints).copied() else { return };
        if self.unwanted.remove(&endpoint) {
            self.tell(stage, Input::Connect { endpoint, role });
        } else {
            self.unwanted.insert(endpoint);
            self.tell(stage, Input::Disconnect { endpoint });
        }
    }
}
