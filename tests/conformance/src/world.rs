//! Named replicas that act, exchange, and in the end agree.

use std::collections::BTreeMap;

use crdt_core::document::{Change, Document};
use crdt_core::id::ActorId;
use crdt_core::money::Money;
use serde_json::Value;

use crate::vector::{Act, Step, Vector};

/// One replica of one kind of document, driven by the words of a step.
pub(crate) trait Replica: Sized {
    /// A replica with this document, on the device called `name`.
    fn open(name: &str, document: Document) -> Self;

    /// The replica's document. After it was changed from outside, [`Replica::refresh`] is called.
    fn document(&mut self) -> &mut Document;

    /// Takes notice of what was done to the document.
    fn refresh(&mut self);

    /// Does what `verb` says. What it returns is what a trailing `=name` of the step names.
    fn act(&mut self, verb: &str, words: &[String], others: &mut Replicas<Self>)
    -> Result<String, StepError>;

    /// What a person would see, as JSON.
    fn view(&mut self) -> Value;
}

/// The name of the error that a step failed with.
pub(crate) type StepError = String;

/// The replicas by name.
pub(crate) type Replicas<R> = BTreeMap<String, R>;

/// The error of a verb that nobody knows, or of one with words that make no sense.
pub(crate) fn unknown_step() -> StepError {
    "unknown-step".to_owned()
}

/// The `index`th word after the verb.
pub(crate) fn word(words: &[String], index: usize) -> Result<&str, StepError> {
    words.get(index).map(String::as_str).ok_or_else(unknown_step)
}

/// An amount such as `1999EUR`.
pub(crate) fn money(text: &str) -> Result<Money, StepError> {
    let split = text.find(|c: char| c.is_ascii_uppercase()).and_then(|at| text.split_at_checked(at));
    let (minor, currency) = split.ok_or_else(unknown_step)?;
    let minor = minor.parse().map_err(|_| unknown_step())?;
    Money::new(minor, currency.parse().map_err(|_| unknown_step())?).map_err(|_| "money".to_owned())
}

/// The actor that writes on the device called `name`.
pub(crate) fn actor(name: &str) -> ActorId {
    ActorId::derive(&["conformance", name])
}

/// All replicas of one vector.
pub(crate) struct World<R> {
    replicas: Replicas<R>,
    names: BTreeMap<String, String>,
}

impl<R: Replica> World<R> {
    /// Plays the vector to its end and returns everyone's view.
    pub(crate) fn play(vector: &Vector) -> Result<BTreeMap<String, Value>, String> {
        let mut world = Self { replicas: BTreeMap::new(), names: BTreeMap::new() };
        for text in &vector.steps {
            match Step::parse(text, &world.names)? {
                Step::Exchange(left, right) => world.exchange(&left, &right),
                Step::Act(act) => world.act(text, &act)?,
            }
        }
        world.exchange_all();
        world.add_fresh(&vector.id);
        Ok(world.replicas.iter_mut().map(|(name, replica)| (name.clone(), replica.view())).collect())
    }

    fn replica(&mut self, name: &str) -> &mut R {
        let open = || R::open(name, Document::new(actor(name)));
        self.replicas.entry(name.to_owned()).or_insert_with(open)
    }

    fn act(&mut self, text: &str, act: &Act) -> Result<(), String> {
        self.replica(&act.replica);
        let mut replica = self.replicas.remove(&act.replica).expect("made above if it was not there");
        let outcome = Self::perform(&mut replica, act, &mut self.replicas);
        self.replicas.insert(act.replica.clone(), replica);
        match (outcome, &act.fails) {
            (Ok(_), Some(_)) => Err(format!("`{text}` succeeded")),
            (Ok(written), None) => {
                if let Some(name) = &act.called {
                    self.names.insert(name.clone(), written);
                }
                Ok(())
            }
            (Err(error), Some(expected)) if error == *expected => Ok(()),
            (Err(error), _) => Err(format!("`{text}` failed: {error}")),
        }
    }

    fn perform(replica: &mut R, act: &Act, others: &mut Replicas<R>) -> Result<String, StepError> {
        match (act.verb.as_str(), act.words.as_slice()) {
            ("put", [key, text]) => {
                let mut edit = replica.document().edit();
                edit.put(key, text);
                edit.commit();
            }
            ("delete", [key]) => {
                let mut edit = replica.document().edit();
                edit.delete(key);
                edit.commit();
            }
            ("reload", []) => {
                let bytes = replica.document().save();
                let loaded =
                    Document::load(&bytes, actor(&act.replica)).map_err(|error| error.to_string())?;
                *replica = R::open(&act.replica, loaded);
            }
            (verb, words) => return replica.act(verb, words, others),
        }
        replica.refresh();
        Ok(act.words[..1.min(act.words.len())].concat())
    }

    fn exchange(&mut self, left: &str, right: &str) {
        self.replica(left);
        self.replica(right);
        let mut replica = self.replicas.remove(left).expect("made above if it was not there");
        let other = self.replicas.get_mut(right).expect("two replicas exchange, not one with itself");
        merge(&mut replica, other);
        merge(other, &mut replica);
        self.replicas.insert(left.to_owned(), replica);
    }

    fn exchange_all(&mut self) {
        let names: Vec<String> = self.replicas.keys().cloned().collect();
        let Some((hub, others)) = names.split_first() else { return };
        for _ in 0..2 {
            for other in others {
                self.exchange(hub, other);
            }
        }
    }

    /// One more replica, `fresh`, that receives every change singly, shuffled and twice.
    fn add_fresh(&mut self, seed: &str) {
        let Some(any) = self.replicas.values_mut().next() else { return };
        let changes = any.document().changes_for_peer(&[]);
        let mut twice: Vec<Change> = changes.iter().chain(&changes).cloned().collect();
        shuffle(&mut twice, seed);
        let fresh = self.replica("fresh");
        for change in twice {
            let applied = fresh.document().apply([change]).expect("honest changes apply");
            assert_eq!(applied.refused, [], "every replica accepted them before");
            fresh.refresh();
        }
    }
}

fn merge<R: Replica>(into: &mut R, from: &mut R) {
    let heads = into.document().heads();
    let changes = from.document().changes_for_peer(&heads);
    into.document().apply(changes).expect("honest changes apply");
    into.refresh();
}

/// A shuffle that is the same everywhere: the steps of a linear congruential generator, seeded from the text.
fn shuffle<T>(items: &mut [T], seed: &str) {
    let mut state = seed.bytes().fold(7, |state: u64, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bound = u64::try_from(last).expect("indices fit") + 1;
        let chosen = usize::try_from((state >> 33) % bound).expect("indices fit");
        items.swap(last, chosen);
    }
}
