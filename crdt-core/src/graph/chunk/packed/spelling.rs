//! Changes spelled as their authors spelled them.

use super::super::column::{DeltasWriter, FlagsWriter, RunsWriter};
use super::super::operation::DELETE;
use super::super::{InvalidChunk, MAGIC, hash};
use super::Unpacked;
use super::rows::{Name, Place};
use crate::id::ChangeHash;
use crate::leb128::{write_hashes, write_length, write_prefixed, write_signed, write_unsigned};
use crate::limits::CHANGE_BYTES_MAX;

/// Spells one change after another, in the same memory.
pub(super) struct Speller<'p> {
    columns: Columns<'p>,
    actors: Actors,
    bytes: Vec<u8>,
    body: Vec<u8>,
}

impl Default for Speller<'_> {
    fn default() -> Self {
        Self { columns: Columns::new(), actors: Actors::default(), bytes: Vec::new(), body: Vec::new() }
    }
}

impl<'p> Speller<'p> {
    /// Spells the body of a change whose dependencies' hashes are known, and says what it hashes to.
    pub(super) fn spell(
        &mut self,
        unpacked: &Unpacked<'p>,
        index: usize,
    ) -> Result<ChangeHash, InvalidChunk> {
        let entry = &unpacked.history.entries[index];
        self.actors.collect(unpacked, index);
        let deps = unpacked.history.deps_of(index).iter().map(|dep| unpacked.hashes[*dep as usize]);
        let body = &mut self.body;
        body.clear();
        write_hashes(body, &deps.collect::<Vec<_>>());
        write_prefixed(body, unpacked.actors[entry.author as usize]);
        write_unsigned(body, entry.seq.into());
        write_unsigned(body, entry.start_op.into());
        write_signed(body, entry.time);
        write_prefixed(body, entry.message.as_bytes());
        write_length(body, self.actors.others.len());
        for other in &self.actors.others {
            write_prefixed(body, unpacked.actors[*other as usize]);
        }
        self.columns.write(unpacked, index, &self.actors);
        self.bytes.clear();
        let lengths = self.columns.finish(&mut self.bytes);
        let present = lengths.iter().filter(|(_, length)| *length > 0);
        write_length(body, present.clone().count());
        for (number, length) in present {
            write_unsigned(body, *number);
            write_length(body, *length);
        }
        body.extend_from_slice(&self.bytes);
        body.extend_from_slice(entry.footer);
        if body.len() > CHANGE_BYTES_MAX {
            return Err(InvalidChunk::TooLarge { bytes: body.len(), max: CHANGE_BYTES_MAX });
        }
        Ok(hash(1, body))
    }

    /// The body spelled last.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The change chunk around a body.
pub(super) fn chunk(hash: &ChangeHash, body: &[u8]) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(body.len() + 19);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&hash.as_bytes()[..4]);
    bytes.push(1);
    write_prefixed(&mut bytes, body);
    bytes.into()
}

/// How a change numbers the actors it names: its author first.
#[derive(Default)]
struct Actors {
    author: u32,
    /// The others it names, sorted.
    others: Vec<u32>,
}

impl Actors {
    fn collect(&mut self, unpacked: &Unpacked<'_>, index: usize) {
        self.author = unpacked.history.entries[index].author;
        self.others.clear();
        let author = self.author;
        let others = &mut self.others;
        let mut note = |name: Name| {
            let actor = name.actor();
            // Operations mostly name what the one before named.
            if actor != author && others.last() != Some(&actor) {
                others.push(actor);
            }
        };
        for operation in unpacked.assembly.of_change(index) {
            let assembled = unpacked.assembly.operations[operation];
            let row = &unpacked.rows.all[assembled.row as usize];
            if row.object != Name::ROOT {
                note(row.object);
            }
            let place = if assembled.is_delete { row.own_place() } else { row.place };
            if let Place::Element(element) = place {
                note(element);
            }
            for overwritten in unpacked.assembly.overwritten(operation) {
                note(unpacked.rows.all[*overwritten as usize].name);
            }
        }
        self.others.sort_unstable();
        self.others.dedup();
    }

    fn number(&self, name: Name) -> u64 {
        let actor = name.actor();
        if actor == self.author {
            return 0;
        }
        self.others.binary_search(&actor).expect("collected before") as u64 + 1
    }
}

/// The columns of a change's operations.
struct Columns<'p> {
    object_actor: RunsWriter<u64>,
    object_counter: RunsWriter<u64>,
    key_actor: RunsWriter<u64>,
    key_counter: DeltasWriter,
    key_text: RunsWriter<&'p str>,
    insert: FlagsWriter,
    action: RunsWriter<u64>,
    value_kind: RunsWriter<u64>,
    value: Vec<u8>,
    overwritten_count: RunsWriter<u64>,
    overwritten_actor: RunsWriter<u64>,
    overwritten_counter: DeltasWriter,
    expand: FlagsWriter,
    mark_name: RunsWriter<&'p str>,
}

impl<'p> Columns<'p> {
    fn new() -> Self {
        Self {
            object_actor: RunsWriter::new(),
            object_counter: RunsWriter::new(),
            key_actor: RunsWriter::new(),
            key_counter: DeltasWriter::new(),
            key_text: RunsWriter::new(),
            insert: FlagsWriter::new(),
            action: RunsWriter::new(),
            value_kind: RunsWriter::new(),
            value: Vec::new(),
            overwritten_count: RunsWriter::new(),
            overwritten_actor: RunsWriter::new(),
            overwritten_counter: DeltasWriter::new(),
            expand: FlagsWriter::new(),
            mark_name: RunsWriter::new(),
        }
    }

    fn write(&mut self, unpacked: &Unpacked<'p>, index: usize, actors: &Actors) {
        for operation in unpacked.assembly.of_change(index) {
            let assembled = unpacked.assembly.operations[operation];
            let row = &unpacked.rows.all[assembled.row as usize];
            let is_delete = assembled.is_delete;
            let object = (row.object != Name::ROOT).then_some(row.object);
            self.object_actor.push(object.map(|object| actors.number(object)));
            self.object_counter.push(object.map(|object| object.counter().into()));
            let (key_actor, key_counter, key_text) = match if is_delete { row.own_place() } else { row.place }
            {
                Place::Map(text) => (None, None, Some(text)),
                Place::Head => (None, Some(0), None),
                Place::Element(element) => (Some(actors.number(element)), Some(element.counter()), None),
            };
            self.key_actor.push(key_actor);
            self.key_counter.push(key_counter);
            self.key_text.push(key_text);
            self.insert.push(row.insert && !is_delete);
            self.action.push(Some(if is_delete { DELETE } else { row.action }.into()));
            self.value_kind.push(Some(if is_delete { 0 } else { row.value_kind }));
            if !is_delete {
                self.value.extend_from_slice(row.value);
            }
            let overwritten = unpacked.assembly.overwritten(operation);
            self.overwritten_count.push(Some(overwritten.len() as u64));
            for overwritten in overwritten {
                let name = unpacked.rows.all[*overwritten as usize].name;
                self.overwritten_actor.push(Some(actors.number(name)));
                self.overwritten_counter.push(Some(name.counter()));
            }
            self.expand.push(row.expand && !is_delete);
            self.mark_name.push(row.mark_name.filter(|_| !is_delete));
        }
    }

    /// Writes the columns one after another, and says how long each is. What is written next belongs to another change.
    fn finish(&mut self, into: &mut Vec<u8>) -> [(u64, usize); 14] {
        [
            (0x01, self.object_actor.finish(into)),
            (0x02, self.object_counter.finish(into)),
            (0x11, self.key_actor.finish(into)),
            (0x13, self.key_counter.finish(into)),
            (0x15, self.key_text.finish(into)),
            (0x34, self.insert.finish(false, into)),
            (0x42, self.action.finish(into)),
            (0x56, self.value_kind.finish(into)),
            (0x57, finish_raw(&mut self.value, into)),
            (0x70, self.overwritten_count.finish(into)),
            (0x71, self.overwritten_actor.finish(into)),
            (0x73, self.overwritten_counter.finish(into)),
            (0x94, self.expand.finish(true, into)),
            (0xa5, self.mark_name.finish(into)),
        ]
    }
}

fn finish_raw(bytes: &mut Vec<u8>, into: &mut Vec<u8>) -> usize {
    let length = bytes.len();
    into.append(bytes);
    length
}
