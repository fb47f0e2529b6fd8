//! Keys of records. One ordered key space holds everything, so that one commit covers it.
//!
//! | key | record |
//! |---|---|
//! | `m` | totals: format version, latest sequence |
//! | `u` tenant | what the tenant's documents hold together |
//! | `d` document | state of a document |
//! | `a` document | who may use it |
//! | `s` document position | its snapshot, covering the changes before that position |
//! | `c` document position | one change |
//! | `f` tenant sequence | the latest news of one document |
//!
//! A tenant is its length and its bytes, so that no tenant's keys lie within another's; a document is its tenant and its
//! 16 bytes; numbers are big-endian, so that they sort.

use crdt_core::id::DocumentId;

use crate::id::{DocumentKey, Position, Sequence, Tenant};

pub(super) const TOTALS: &[u8] = b"m";
pub(super) const STATES: &[u8] = b"d";

pub(super) fn usage(tenant: &Tenant) -> Vec<u8> {
    with_tenant(b'u', tenant)
}

/// What the states of a tenant's documents begin with.
pub(super) fn states(tenant: &Tenant) -> Vec<u8> {
    with_tenant(b'd', tenant)
}

pub(super) fn state(key: &DocumentKey) -> Vec<u8> {
    with_document(b'd', key)
}

pub(super) fn access(key: &DocumentKey) -> Vec<u8> {
    with_document(b'a', key)
}

pub(super) fn snapshots(key: &DocumentKey) -> Vec<u8> {
    with_document(b's', key)
}

pub(super) fn snapshot(key: &DocumentKey, through: Position) -> Vec<u8> {
    numbered(snapshots(key), through.0)
}

pub(super) fn changes(key: &DocumentKey) -> Vec<u8> {
    with_document(b'c', key)
}

pub(super) fn change(key: &DocumentKey, position: Position) -> Vec<u8> {
    numbered(changes(key), position.0)
}

pub(super) fn feed(tenant: &Tenant) -> Vec<u8> {
    with_tenant(b'f', tenant)
}

pub(super) fn news(tenant: &Tenant, sequence: Sequence) -> Vec<u8> {
    numbered(feed(tenant), sequence.0)
}

/// The number that a key ends with.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

/// The document whose state lies under this key.
pub(super) fn document_of(state_key: &[u8]) -> Option<DocumentKey> {
    match Place::of(state_key)? {
        Place::State(key) => Some(key),
        _ => None,
    }
}

/// What a key says of the record under it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Totals,
    Usage(Tenant),
    State(DocumentKey),
    Access(DocumentKey),
    Snapshot(DocumentKey, Position),
    Change(DocumentKey, Position),
    News(Tenant, Sequence),
}

impl Place {
    /// Reads a key; `None` for one that nothing here has written.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        if key == TOTALS {
            return Some(Self::Totals);
        }
        let (&kind, rest) = key.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (tenant, rest) = rest.split_at_checked(usize::from(length))?;
        let tenant = Tenant::new(std::str::from_utf8(tenant).ok()?).ok()?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        if kind == b'u' && rest.is_empty() {
            return Some(Self::Usage(tenant));
        }
        if kind == b'f' {
            return Some(Self::News(tenant, Sequence(number(rest)?)));
        }
        let (document, rest) = rest.split_first_chunk()?;
        let document = DocumentKey { tenant, document: DocumentId::from_bytes(*document) };
        match (kind, rest) {
            (b'd', []) => Some(Self::State(document)),
            (b'a', []) => Some(Self::Access(document)),
            (b's', through) => Some(Self::Snapshot(document, Position(number(through)?))),
            (b'c', position) => Some(Self::Change(document, Position(number(position)?))),
            _ => None,
        }
    }
}

fn with_tenant(kind: u8, tenant: &Tenant) -> Vec<u8> {
    let text = tenant.as_str().as_bytes();
    let mut key = Vec::with_capacity(2 + text.len() + 16 + 8);
    key.push(kind);
    key.push(u8::try_from(text.len()).expect("a tenant's name is at most 255 bytes"));
    key.extend_from_slice(text);
    key
}

fn with_document(kind: u8, key: &DocumentKey) -> Vec<u8> {
    let mut bytes = with_tenant(kind, &key.tenant);
    bytes.extend_from_slice(key.document.as_bytes());
    bytes
}

fn numbered(mut key: Vec<u8>, number: u64) -> Vec<u8> {
    key.extend_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tenants_keys_lie_within_anothers() {
        let tenant = |text| Tenant::new(text).unwrap();
        for (one, other) in [("a", "ab"), ("shop", "shop2"), ("a", "b")] {
            assert!(!feed(&tenant(other)).starts_with(&feed(&tenant(one))), "{one} {other}");
        }
    }

    #[test]
    fn documents_are_found_by_their_state() {
        let key =
            DocumentKey { tenant: Tenant::new("shop").unwrap(), document: DocumentId::from_bytes([7; 16]) };
        assert_eq!(document_of(&state(&key)), Some(key.clone()));
        for bad in [&b""[..], b"d", b"d\x04sho", &state(&key)[..10], &access(&key)] {
            assert_eq!(document_of(bad), None);
        }
    }

    #[test]
    fn every_key_says_what_lies_under_it() {
        let tenant = Tenant::new("shop").unwrap();
        let cart = DocumentKey { tenant: tenant.clone(), document: DocumentId::from_bytes([7; 16]) };
        for (key, place) in [
            (TOTALS.to_vec(), Place::Totals),
            (usage(&tenant), Place::Usage(tenant.clone())),
            (access(&cart), Place::Access(cart.clone())),
            (snapshot(&cart, Position(3)), Place::Snapshot(cart.clone(), Position(3))),
            (change(&cart, Position(4)), Place::Change(cart.clone(), Position(4))),
            (news(&tenant, Sequence(5)), Place::News(tenant.clone(), Sequence(5))),
        ] {
            assert_eq!(Place::of(&key), Some(place));
            assert_eq!(Place::of(&[&key[..], b"more"].concat()), None, "{key:?}");
        }
    }

    #[test]
    fn numbers_sort_as_numbers() {
        let key =
            DocumentKey { tenant: Tenant::new("shop").unwrap(), document: DocumentId::from_bytes([7; 16]) };
        assert!(change(&key, Position(255)) < change(&key, Position(256)));
        assert_eq!(number_of(&change(&key, Position(256))), Some(256));
    }
}
