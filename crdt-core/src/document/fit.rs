//! Whether a change fits the document it would join.
//!
//! A change can be well-formed and still be nonsense: overwrite values that do not exist, insert behind elements of
//! another list, write into objects that nobody made. Automerge trusts that no change does. Some nonsense panics it,
//! which in WebAssembly is the end of the application; other nonsense it forgets, after which the document can be
//! saved, but never loaded. So before Automerge sees a change, everything that its operations name is looked up among
//! the change's ancestors, and nowhere else: whether a change fits is the same on every device, whatever else it holds.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;

use automerge::{Automerge, ObjId, ROOT, ReadDoc};

use super::change::{automerge_hash, hash_of};
use super::{Change, Refusal};
use crate::graph::chunk::{Action, ChangeBody, Key, Operation, OperationRef};
use crate::id::{ActorId, ChangeHash};
use crate::limits::{DOCUMENT_OPS_MAX, OP_COUNTER_JUMP_MAX, OP_COUNTER_SKIPPED_MAX};

/// What has been numbered so far.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) by_actor: BTreeMap<ActorId, Last>,
    /// Operation numbers that no change used.
    skipped: u64,
    operations: u64,
}

/// An actor's last change: its number, and that of its last operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    pub(super) seq: u64,
    pub(super) max_op: u64,
}

impl Numbers {
    pub(super) fn of(document: &Automerge) -> Self {
        let mut numbers = Self::default();
        let mut max_ops = BTreeMap::new();
        for meta in document.get_changes_meta(&[]) {
            let below = meta.deps.iter().filter_map(|dep| max_ops.get(dep)).max().copied().unwrap_or(0);
            numbers.operations += (meta.max_op + 1).saturating_sub(meta.start_op);
            numbers.skipped += meta.start_op.saturating_sub(below + 1);
            max_ops.insert(meta.hash, meta.max_op);
            let actor = ActorId::from_slice(meta.actor.to_bytes()).expect("checked when it came in");
            numbers.by_actor.insert(actor, Last { seq: meta.seq, max_op: meta.max_op });
        }
        numbers
    }

    /// Checks that the change's actor goes on where it was, and that its operations are numbered on from `below`, the
    /// last of those it builds on. Notes it.
    fn continue_with(&mut self, change: &Change, below: u64) -> Result<(), Refusal> {
        let (actor, seq) = (change.actor().clone(), change.seq());
        let last = self.by_actor.get(&actor).copied().unwrap_or_default();
        if seq <= last.seq {
            return Err(Refusal::SequenceTaken { actor, seq });
        }
        if seq != last.seq + 1 {
            return Err(Refusal::SequenceGap { actor, seq, known: last.seq });
        }
        if last.max_op > below {
            return Err(Refusal::Detached { actor, seq });
        }
        let start = change.start_op();
        let jump = Refusal::CounterJump { known: below, start };
        let skipped = start.checked_sub(below + 1).ok_or_else(|| jump.clone())?;
        // An empty change whose number is not the next one can be saved, but Automerge does not load it again.
        let is_empty = change.max_op() < start;
        if (is_empty && skipped > 0)
            || skipped > OP_COUNTER_JUMP_MAX
            || self.skipped + skipped > OP_COUNTER_SKIPPED_MAX
        {
            return Err(jump);
        }
        let operations = self.operations + (change.max_op() + 1 - start);
        if operations > DOCUMENT_OPS_MAX {
            return Err(Refusal::Full);
        }
        self.operations = operations;
        self.skipped += skipped;
        self.by_actor.insert(actor, Last { seq, max_op: change.max_op() });
        Ok(())
    }
}

/// Changes that fit and are not yet part of the document, in causal order.
#[derive(Default)]
pub(super) struct Batch {
    changes: Vec<Member>,
    positions: BTreeMap<ChangeHash, usize>,
    /// The members of each actor, in sequence.
    by_actor: BTreeMap<ActorId, Vec<usize>>,
    /// Members that no member depends on.
    heads: BTreeSet<usize>,
    /// For sets of changes of the document: which of its changes are not among their ancestors.
    strangers: BTreeMap<Rc<BTreeSet<ChangeHash>>, Rc<BTreeSet<ChangeHash>>>,
    /// Changes of the document that were looked into.
    opened: BTreeMap<ChangeHash, Rc<Opened>>,
}

struct Member {
    change: Change,
    deps: Vec<usize>,
    /// The document's changes that this one and the members before it stand on.
    ground: Rc<BTreeSet<ChangeHash>>,
    /// Whether every earlier member is an ancestor.
    joins_all: bool,
    opened: OnceCell<Rc<Opened>>,
}

/// A change's operations, for looking up.
struct Opened {
    start_op: u64,
    operations: Vec<Place>,
}

/// What later operations may name of one.
#[derive(Clone)]
struct Place {
    object: Option<OpId>,
    key: PlaceKey,
    insert: bool,
    action: Action,
}

#[derive(Clone, PartialEq, Eq)]
enum PlaceKey {
    Map(Box<str>),
    Head,
    Element(OpId),
}

/// An operation's name, the same in every change.
#[derive(Clone, PartialEq, Eq)]
struct OpId {
    counter: u64,
    actor: ActorId,
}

impl Batch {
    pub(super) fn contains(&self, hash: &ChangeHash) -> bool {
        self.positions.contains_key(hash)
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes.into_iter().map(|member| member.change).collect()
    }

    /// Checks a change whose dependencies are all members or part of `document`, and makes it a member.
    pub(super) fn admit(
        &mut self,
        change: Change,
        document: &Automerge,
        numbers: &mut Numbers,
    ) -> Result<(), Refusal> {
        let member = self.member(change);
        Check { batch: self, document, member: &member }.run()?;
        let max_op = |dep: &ChangeHash| match self.positions.get(dep) {
            Some(position) => self.changes[*position].change.max_op(),
            None => document.get_change_meta_by_hash(&automerge_hash(dep)).map_or(0, |meta| meta.max_op),
        };
        let below = member.change.deps().iter().map(max_op).max().unwrap_or(0);
        numbers.continue_with(&member.change, below)?;
        self.add(member);
        Ok(())
    }

    fn member(&self, change: Change) -> Member {
        let deps: Vec<_> = change.deps().iter().filter_map(|dep| self.positions.get(dep).copied()).collect();
        let direct: BTreeSet<_> = change.deps().iter().filter(|dep| !self.contains(dep)).copied().collect();
        let mut grounds = deps.iter().map(|dep| &self.changes[*dep].ground);
        let ground = match grounds.next() {
            Some(first)
                if direct.is_subset(first) && grounds.clone().all(|ground| Rc::ptr_eq(ground, first)) =>
            {
                Rc::clone(first)
            }
            Some(first) => {
                let others = grounds.flat_map(|ground| ground.iter());
                Rc::new(first.iter().chain(others).chain(&direct).copied().collect())
            }
            None => Rc::new(direct),
        };
        let joins_all = self.heads.iter().all(|head| deps.contains(head));
        Member { change, deps, ground, joins_all, opened: OnceCell::new() }
    }

    fn add(&mut self, member: Member) {
        let position = self.changes.len();
        for dep in &member.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(position);
        self.positions.insert(member.change.hash(), position);
        self.by_actor.entry(member.change.actor().clone()).or_default().push(position);
        self.changes.push(member);
    }

    /// The member that holds the operation of this name.
    fn holder(&self, id: &OpId) -> Option<usize> {
        let members = self.by_actor.get(&id.actor)?;
        let after = members.partition_point(|member| self.changes[*member].change.start_op() <= id.counter);
        let position = members[after.checked_sub(1)?];
        (id.counter <= self.changes[position].change.max_op()).then_some(position)
    }

    /// Whether the member at `position` is one of `deps`, or an ancestor of theirs.
    fn precedes(&self, position: usize, deps: &[usize]) -> bool {
        let mut waiting: BinaryHeap<_> = deps.iter().copied().collect();
        while let Some(next) = waiting.pop() {
            if next < position {
                return false;
            }
            let member = &self.changes[next];
            if next == position || member.joins_all {
                return true;
            }
            waiting.extend(&member.deps);
            while waiting.peek() == Some(&next) {
                waiting.pop();
            }
        }
        false
    }

    /// The document's changes that are not among the ancestors of `ground`.
    fn strangers(
        &mut self,
        ground: &Rc<BTreeSet<ChangeHash>>,
        document: &Automerge,
    ) -> Rc<BTreeSet<ChangeHash>> {
        let found = self.strangers.entry(Rc::clone(ground)).or_insert_with(|| {
            let known: Vec<_> = ground.iter().map(automerge_hash).collect();
            let metas = document.get_changes_meta(&known);
            Rc::new(metas.iter().map(|meta| hash_of(&meta.hash)).collect())
        });
        Rc::clone(found)
    }
}

/// One change being checked.
struct Check<'a> {
    batch: &'a mut Batch,
    document: &'a Automerge,
    member: &'a Member,
}

impl Check<'_> {
    fn run(mut self) -> Result<(), Refusal> {
        let change = &self.member.change;
        let refuse = |why: String| Refusal::BadOperations { why };
        let body = ChangeBody::of_chunk(change.bytes()).map_err(|error| refuse(error.to_string()))?;
        let mut operations = Vec::new();
        let read =
            body.each_operation(|operation, overwritten| operations.push((operation, overwritten.to_vec())));
        read.map_err(|error| refuse(error.to_string()))?;
        let actors = body.actors().map_err(|error| refuse(error.to_string()))?;
        for index in 0..operations.len() {
            let (earlier, rest) = operations.split_at(index);
            let (operation, overwritten) = &rest[0];
            let names = Names { actors: &actors, start_op: change.start_op(), earlier };
            let fits = self.fits(operation, overwritten, &names);
            fits.map_err(|why| refuse(format!("operation {index} {why}")))?;
        }
        Ok(())
    }

    fn fits(
        &mut self,
        operation: &Operation<'_>,
        overwritten: &[OperationRef],
        names: &Names<'_, '_>,
    ) -> Result<(), &'static str> {
        if operation.action == Action::Mark {
            return Err("marks rich text, which documents of facts do not hold");
        }
        let place = names.place(operation);
        let is_map = match operation.object {
            None => true,
            Some(object) => {
                match self.find(object, names).ok_or("writes into an object that was never made")?.action {
                    Action::MakeMap => true,
                    Action::MakeList | Action::MakeText => false,
                    _ => return Err("writes into something that is not an object"),
                }
            }
        };
        if is_map != matches!(operation.key, Key::Map(_)) {
            return Err("names a place that its object can't have");
        }
        if let Key::Element(element) = operation.key {
            let element = self.find(element, names).ok_or("names an element that was never inserted")?;
            if !element.insert || element.object != place.object {
                return Err("names an element of another object");
            }
        }
        for reference in overwritten {
            let id = names.id(*reference);
            if place.object.is_none() && self.is_shown_at_root(&operation.key, &id) {
                continue;
            }
            let found = self.find(*reference, names).ok_or("overwrites what was never written")?;
            let found_key = if found.insert { PlaceKey::Element(id) } else { found.key };
            if found.object != place.object || found_key != place.key {
                return Err("overwrites what is written elsewhere");
            }
            if !matches!(found.action, Action::Put | Action::MakeMap | Action::MakeList | Action::MakeText) {
                return Err("overwrites what is no value");
            }
        }
        Ok(())
    }

    /// Whether the document shows this operation's value under a root key, and every change of it is an ancestor.
    fn is_shown_at_root(&mut self, key: &Key<'_>, id: &OpId) -> bool {
        let Key::Map(key) = key else { return false };
        let shown = self.document.get_all(ROOT, *key).expect("the root is a map");
        shown.iter().any(|(_, shown)| *shown == id.for_automerge())
            && self.batch.strangers(&self.member.ground, self.document).is_empty()
    }

    /// The operation of this name, if this change or one of its ancestors holds it.
    fn find(&mut self, reference: OperationRef, names: &Names<'_, '_>) -> Option<Place> {
        if reference.actor == 0 && reference.counter >= names.start_op {
            let index = usize::try_from(reference.counter - names.start_op).ok()?;
            return names.earlier.get(index).map(|(operation, _)| names.place(operation));
        }
        let id = names.id(reference);
        if let Some(position) = self.batch.holder(&id) {
            if !self.batch.precedes(position, &self.member.deps) {
                return None;
            }
            let member = &self.batch.changes[position];
            return member.opened.get_or_init(|| Opened::read(&member.change)).find(&id);
        }
        let hash = self.document.hash_for_opid(&id.for_automerge())?;
        if self.batch.strangers(&self.member.ground, self.document).contains(&hash_of(&hash)) {
            return None;
        }
        let opened = self.batch.opened.entry(hash_of(&hash)).or_insert_with(|| {
            let change = self.document.get_change_by_hash(&hash).expect("it has this operation");
            Opened::read(&Change::from_automerge(change))
        });
        opened.find(&id)
    }
}

/// What the references of one change's operations stand for.
struct Names<'a, 'b> {
    actors: &'a [ActorId],
    start_op: u64,
    /// The change's operations before the one that is looked at.
    earlier: &'a [(Operation<'b>, Vec<OperationRef>)],
}

impl Names<'_, '_> {
    fn id(&self, reference: OperationRef) -> OpId {
        OpId { counter: reference.counter, actor: self.actors[reference.actor].clone() }
    }

    fn place(&self, operation: &Operation<'_>) -> Place {
        let key = match operation.key {
            Key::Map(text) => PlaceKey::Map(text.into()),
            Key::Head => PlaceKey::Head,
            Key::Element(element) => PlaceKey::Element(self.id(element)),
        };
        let object = operation.object.map(|object| self.id(object));
        Place { object, key, insert: operation.insert, action: operation.action }
    }
}

impl Opened {
    /// Looks into a change. One that can't be read holds nothing that can be named.
    fn read(change: &Change) -> Rc<Self> {
        let mut operations = Vec::new();
        if let Ok(body) = ChangeBody::of_chunk(change.bytes())
            && let Ok(actors) = body.actors()
        {
            let names = Names { actors: &actors, start_op: change.start_op(), earlier: &[] };
            let read = body.each_operation(|operation, _| operations.push(names.place(&operation)));
            if read.is_err() {
                operations.clear();
            }
        }
        Rc::new(Self { start_op: change.start_op(), operations })
    }

    fn find(&self, id: &OpId) -> Option<Place> {
        let index = usize::try_from(id.counter.checked_sub(self.start_op)?).ok()?;
        self.operations.get(index).cloned()
    }
}

impl OpId {
    fn for_automerge(&self) -> ObjId {
        ObjId::Id(self.counter, automerge::ActorId::from(self.actor.as_bytes()), 0)
    }
}
