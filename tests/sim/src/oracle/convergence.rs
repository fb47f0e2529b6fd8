//! Convergence: in the end everyone who may read a document sees the same.

use crdt_core::id::{ChangeHash, DocumentId};

use super::Violation;
use crate::network::NodeId;

/// What one node has of one document, in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub node: NodeId,
    pub heads: Vec<ChangeHash>,
    /// Every key with every surviving value, and then the views; `None` for a relay, which never opens a document.
    pub content: Option<Vec<(String, Vec<String>)>>,
}

/// Demands that all copies of `document` are the same.
pub fn require(document: DocumentId, copies: &[Copy]) -> Result<(), Violation> {
    let Some(first) = copies.first() else { return Ok(()) };
    for other in &copies[1..] {
        let differ =
            |why: String| Err(Violation::Diverged { one: first.node, other: other.node, document, why });
        if first.heads != other.heads {
            return differ(format!("heads {:?} and {:?}", first.heads, other.heads));
        }
    }
    let mut opened = copies.iter().filter_map(|copy| Some((copy.node, copy.content.as_ref()?)));
    let Some((one, content)) = opened.next() else { return Ok(()) };
    let different = opened.find(|(_, other)| *other != content);
    different.map_or(Ok(()), |(other, _)| {
        Err(Violation::Diverged { one, other, document, why: "equal heads, but different values".to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(n: usize, head: u8, value: Option<&str>) -> Copy {
        let content = value.map(|value| vec![("k".to_owned(), vec![value.to_owned()])]);
        Copy { node: NodeId::Device(n), heads: vec![ChangeHash::from_bytes([head; 32])], content }
    }

    #[test]
    fn heads_and_values_must_agree() {
        let document = DocumentId::from_bytes([1; 16]);
        let check = |copies: &[Copy]| require(document, copies);
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[copy(0, 1, Some("v")), copy(1, 1, None), copy(2, 1, Some("v"))]), Ok(()));
        assert!(check(&[copy(0, 1, Some("v")), copy(1, 2, Some("v"))]).is_err());
        assert!(check(&[copy(0, 1, None), copy(1, 1, Some("v")), copy(2, 1, Some("w"))]).is_err());
    }
}
