//! Snapshots: the index of one, which tells the changes packed in it, so that it need not be read to serve it; and single
//! changes out of one, for peers that can't read it.

use std::collections::{BTreeMap, BTreeSet};

use crdt_core::graph::chunk::{InvalidChunk, split};
use crdt_core::graph::{Authorship, Item};
use crdt_core::id::{ActorId, ChangeHash};
use crdt_core::limits::{ACTOR_BYTES_MAX, CHANGE_DEPS_MAX, DOCUMENT_CHANGES_MAX};

/// Version of the encoding.
const VERSION: u8 = 1;

/// Writes the list of packed changes, in causal order: mostly their hashes, which nothing makes shorter.
///
/// # Panics
/// If a change is listed before something it depends on.
pub fn encode_index(items: &[Item]) -> Vec<u8> {
    let mut actors = BTreeMap::new();
    for author in items.iter().filter_map(|item| item.author.as_ref()) {
        actors.entry(&author.actor).or_insert(0);
    }
    for (index, number) in actors.values_mut().enumerate() {
        *number = index as u64 + 1;
    }
    let mut bytes = vec![VERSION];
    write(&mut bytes, actors.len() as u64);
    for actor in actors.keys() {
        write(&mut bytes, actor.as_bytes().len() as u64);
        bytes.extend_from_slice(actor.as_bytes());
    }
    let mut positions = BTreeMap::new();
    write(&mut bytes, items.len() as u64);
    for (position, item) in items.iter().enumerate() {
        bytes.extend_from_slice(item.id.as_bytes());
        write(&mut bytes, item.deps.len() as u64);
        for dep in &item.deps {
            let dep = positions.get(dep).expect("a packed change is listed after its dependencies");
            write(&mut bytes, (position - dep) as u64);
        }
        write(&mut bytes, item.author.as_ref().map_or(0, |author| actors[&author.actor]));
        if let Some(author) = &item.author {
            write(&mut bytes, author.seq);
            write(&mut bytes, author.start_op);
            write(&mut bytes, author.max_op + 1 - author.start_op);
        }
        positions.insert(item.id, position);
    }
    bytes
}

/// Reads a list that [`encode_index`] wrote; `None` for anything else.
pub fn decode_index(bytes: &[u8]) -> Option<Vec<Item>> {
    let mut rest = bytes.strip_prefix(&[VERSION])?;
    let rest = &mut rest;
    let mut actors = Vec::new();
    for _ in 0..count(rest, DOCUMENT_CHANGES_MAX)? {
        let length = count(rest, ACTOR_BYTES_MAX)?;
        actors.push(ActorId::from_slice(take(rest, length)?).ok()?);
    }
    let mut items: Vec<Item> = Vec::new();
    for position in 0..count(rest, DOCUMENT_CHANGES_MAX)? {
        let id = ChangeHash::from_bytes(take(rest, 32)?.try_into().ok()?);
        let mut deps = Vec::new();
        for _ in 0..count(rest, CHANGE_DEPS_MAX)? {
            let dep = position.checked_sub(count(rest, position)?)?;
            deps.push(items.get(dep)?.id);
        }
        let author = match count(rest, actors.len())?.checked_sub(1) {
            None => None,
            Some(actor) => {
                let (seq, start_op, op_count) = (read(rest)?, read(rest)?, read(rest)?);
                let max_op = start_op.checked_add(op_count)?.checked_sub(1)?;
                Some(Authorship { actor: actors[actor].clone(), seq, start_op, max_op })
            }
        };
        items.push(Item { id, deps: deps.into(), author, bytes: 0 });
    }
    rest.is_empty().then_some(items)
}

/// Single changes out of a snapshot.
#[derive(Debug, Default)]
pub(super) struct Unpacked {
    pub(super) changes: BTreeMap<ChangeHash, Box<[u8]>>,
    /// Bytes of all changes of the snapshot: what it took to find these.
    pub(super) work: usize,
}

/// Finds changes in a snapshot, if all its changes together are no longer than `bytes_max`. Those that are not in it are
/// left out.
pub(super) fn unpack(
    snapshot: &[u8],
    wanted: &BTreeSet<ChangeHash>,
    bytes_max: usize,
) -> Result<Unpacked, InvalidChunk> {
    let mut found = Unpacked::default();
    for chunk in split(snapshot) {
        let packed = chunk?.packed()?;
        let unpacked = packed.unpack_within(bytes_max.saturating_sub(found.work))?;
        found.work += unpacked.bytes();
        for (index, hash) in unpacked.hashes().iter().enumerate() {
            if wanted.contains(hash) {
                found.changes.insert(*hash, unpacked.change(index).bytes);
            }
        }
    }
    Ok(found)
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push((number & 0x7f) as u8);
}

fn read(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn count(rest: &mut &[u8], max: usize) -> Option<usize> {
    usize::try_from(read(rest)?).ok().filter(|count| *count <= max)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(number: u8, deps: &[u8], author: Option<(u8, u64)>) -> Item {
        let hash = |number: &u8| ChangeHash::from_bytes([*number; 32]);
        let authorship = |(actor, seq)| Authorship {
            actor: ActorId::from_bytes([actor; 16]),
            seq,
            start_op: 10 * u64::from(number),
            max_op: 10 * u64::from(number) + 4,
        };
        Item {
            id: hash(&number),
            deps: deps.iter().map(hash).collect(),
            author: author.map(authorship),
            bytes: 0,
        }
    }

    #[test]
    fn an_index_reads_back_and_costs_little_more_than_its_hashes() {
        let items = vec![
            item(1, &[], Some((9, 1))),
            item(2, &[1], Some((9, 2))),
            item(3, &[1], Some((8, 1))),
            item(4, &[2, 3], None),
        ];
        let bytes = encode_index(&items);
        assert_eq!(decode_index(&bytes), Some(items));
        assert!(bytes.len() < 4 * (32 + 8) + 2 * 17 + 3, "{}", bytes.len());
        assert_eq!(decode_index(&encode_index(&[])), Some(Vec::new()));
    }

    #[test]
    fn damaged_indexes_are_refused() {
        let bytes = encode_index(&[item(1, &[], Some((9, 1))), item(2, &[1], Some((9, 2)))]);
        for cut in 0..bytes.len() {
            assert_eq!(decode_index(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(decode_index(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(decode_index(&[1, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
        assert_eq!(decode_index(&[2, 0, 0]), None);
    }
}
