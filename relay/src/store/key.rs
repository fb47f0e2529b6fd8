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

pub(super) fn state(key: &DocumentKey) -> Vec<u8> {
    with_document(b'd', key)
}

pub(super) fn access(key: &DocumentKey) -> Vec<u8> {
    with_document(b'a', key)
}

pub(super) fn snapshot(key: &DocumentKey, through: Position) -> Vec<u8> {
    numbered(with_document(b's', key), through.0)
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
    let (&length, rest) = state_key.strip_prefix(STATES)?.split_first()?;
    let (tenant, document) = rest.split_at_checked(usize::from(length))?;
    Some(DocumentKey {
        tenant: Tenant::new(std::str::from_utf8(tenant).ok()?).ok()?,
        document: DocumentId::from_bytes(document.try_into().ok()?),
    })
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
    fn numbers_sort_as_numbers() {
        let key =
            DocumentKey { tenant: Tenant::new("shop").unwrap(), document: DocumentId::from_bytes([7; 16]) };
        assert!(change(&key, Position(255)) < change(&key, Position(256)));
        assert_eq!(number_of(&change(&key, Position(256))), Some(256));
    }
}
