//! One change, read from its chunk without Automerge.

use super::operation::{Columns, Operation, OperationRef, Operations};
use super::{Chunk, InvalidChunk};
use crate::id::{ActorId, ChangeHash};
use crate::leb128::Reader;
use crate::limits::{ACTOR_BYTES_MAX, CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_TIME_MAX, OP_COUNTER_MAX};

/// A change whose checksum holds and whose every operation is well-formed.
///
/// What can't be told from the change alone, such as whether the values it overwrites exist, is for those who hold the
/// document to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedChange {
    pub hash: ChangeHash,
    /// The changes this one was made on top of: distinct, in the order of the chunk.
    pub deps: Box<[ChangeHash]>,
    pub actor: ActorId,
    /// This is the actor's `seq`th change, counted from one.
    pub seq: u64,
    /// Number of its first operation within the document.
    pub start_op: u64,
    pub op_count: u32,
    /// Length of its body, inflated.
    pub inflated_bytes: u32,
    /// The chunk as it was found: perhaps deflated.
    pub bytes: Box<[u8]>,
}

impl ParsedChange {
    /// Reads exactly one change from a peer or from storage.
    ///
    /// ```
    /// use crdt_core::document::Document;
    /// use crdt_core::graph::chunk::ParsedChange;
    /// use crdt_core::id::ActorId;
    ///
    /// let mut phone = Document::new(ActorId::from_bytes([1; 16]));
    /// let mut edit = phone.edit();
    /// edit.put("n/cart", "ring twice");
    /// edit.commit();
    /// let change = phone.changes_for_peer(&[]).remove(0);
    ///
    /// let parsed = ParsedChange::parse(change.bytes())?;
    /// assert_eq!((parsed.hash, parsed.seq, parsed.op_count), (change.hash(), 1, 1));
    ///
    /// let mut damaged = change.bytes().to_vec();
    /// *damaged.last_mut().unwrap() ^= 1;
    /// assert!(ParsedChange::parse(&damaged).is_err());
    /// # Ok::<(), crdt_core::graph::chunk::InvalidChunk>(())
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidChunk> {
        if bytes.len() > CHANGE_BYTES_MAX {
            return Err(InvalidChunk::TooLarge { bytes: bytes.len(), max: CHANGE_BYTES_MAX });
        }
        let mut reader = Reader::new(bytes);
        let chunk = Chunk::read(&mut reader)?;
        if !reader.is_empty() {
            return Err(InvalidChunk::TrailingBytes { count: reader.rest().len() });
        }
        chunk.change()
    }

    pub(super) fn read(hash: ChangeHash, body: &[u8], bytes: &[u8]) -> Result<Self, InvalidChunk> {
        let inflated_bytes = u32::try_from(body.len()).expect("bounded when it was inflated");
        let body = ChangeBody::read(body)?;
        let op_count = body.check_operations()?;
        let max_op = body.start_op - 1 + u64::from(op_count);
        if max_op > OP_COUNTER_MAX {
            return Err(InvalidChunk::BadHeader { why: "its operations are numbered too high" });
        }
        Ok(Self {
            hash,
            actor: ActorId::from_slice(body.actors[0])?,
            deps: body.deps.into(),
            seq: body.seq,
            start_op: body.start_op,
            op_count,
            inflated_bytes,
            bytes: bytes.into(),
        })
    }

    /// Number of its last operation within the document; one less than its first if it has none.
    pub fn max_op(&self) -> u64 {
        self.start_op - 1 + u64::from(self.op_count)
    }
}

/// The inside of a change chunk.
pub(crate) struct ChangeBody<'a> {
    deps: Vec<ChangeHash>,
    /// The author, then the other actors that operations name.
    actors: Vec<&'a [u8]>,
    seq: u64,
    start_op: u64,
    columns: Columns<'a>,
}

impl<'a> ChangeBody<'a> {
    /// The inside of a change chunk that is not deflated, and whose checksum was verified before.
    pub(crate) fn of_chunk(bytes: &'a [u8]) -> Result<Self, InvalidChunk> {
        let chunk = Chunk::read(&mut Reader::new(bytes))?;
        Self::read(chunk.body)
    }

    /// The author, then the other actors that operations name.
    pub(crate) fn actors(&self) -> Result<Vec<ActorId>, InvalidChunk> {
        Ok(self.actors.iter().map(|actor| ActorId::from_slice(actor)).collect::<Result<_, _>>()?)
    }

    pub(super) fn read(body: &'a [u8]) -> Result<Self, InvalidChunk> {
        let mut reader = Reader::new(body);
        let deps = reader.hashes(CHANGE_DEPS_MAX)?;
        if !are_distinct(&deps) {
            return Err(InvalidChunk::BadHeader { why: "it names a dependency twice" });
        }
        let author = read_actor(&mut reader)?;
        let seq = reader.unsigned()?;
        let start_op = reader.unsigned()?;
        if seq == 0 || start_op == 0 || start_op > OP_COUNTER_MAX {
            return Err(InvalidChunk::BadHeader { why: "its numbers don't count from one, or too high" });
        }
        if reader.signed()?.unsigned_abs() > CHANGE_TIME_MAX {
            return Err(InvalidChunk::BadHeader { why: "its time is out of bounds" });
        }
        let message = reader.prefixed()?;
        if std::str::from_utf8(message).is_err() {
            return Err(InvalidChunk::BadHeader { why: "its message is not text" });
        }
        let mut actors = vec![author];
        for _ in 0..reader.length()? {
            actors.push(read_actor(&mut reader)?);
        }
        let others = &actors[1..];
        if !others.is_sorted_by(|one, next| one < next) || others.contains(&author) {
            return Err(InvalidChunk::BadHeader { why: "its actors are out of order" });
        }
        let columns = Columns::read(&mut reader)?;
        if seq > 1 && !reader.is_empty() {
            return Err(InvalidChunk::BadHeader {
                why: "a footer, which names a person, belongs to first changes only",
            });
        }
        Ok(Self { deps, actors, seq, start_op, columns })
    }

    /// Reads every operation and says how many there are.
    fn check_operations(&self) -> Result<u32, InvalidChunk> {
        let mut count = 0;
        self.each_operation(|_, _| count += 1)?;
        Ok(count)
    }

    /// Hands every operation, with what it overwrites, to `visit`.
    pub(crate) fn each_operation(
        &self,
        mut visit: impl FnMut(Operation<'a>, &[OperationRef]),
    ) -> Result<(), InvalidChunk> {
        let mut operations = Operations::new(&self.columns, self.start_op, self.actors.clone());
        let mut overwritten = Vec::new();
        while let Some(operation) = operations.next(&mut overwritten)? {
            visit(operation, &overwritten);
        }
        Ok(())
    }
}

pub(super) fn read_actor<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], InvalidChunk> {
    let actor = reader.prefixed()?;
    if actor.is_empty() || actor.len() > ACTOR_BYTES_MAX {
        return Err(InvalidChunk::BadHeader { why: "an actor id is not 1 to 64 bytes" });
    }
    Ok(actor)
}

fn are_distinct(deps: &[ChangeHash]) -> bool {
    let mut sorted = deps.to_vec();
    sorted.sort_unstable();
    sorted.is_sorted_by(|one, next| one < next)
}
