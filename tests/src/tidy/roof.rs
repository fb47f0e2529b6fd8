//! A library's `lib.rs` is a roof: what the crate is, its modules, and what it re-exports.

use super::Finding;
use crate::source::Source;

/// The libraries that others build on. A test library may put its one function in its roof.
const LIBRARIES: [&str; 3] = ["crdt-core/", "relay/", "clients/"];

const ITEMS: [&str; 10] =
    ["fn", "struct", "enum", "union", "trait", "impl", "const", "static", "type", "macro_rules"];

/// Finds items in a `lib.rs` that belong in a module with a name.
pub fn roofs_hold_nothing(source: &Source) -> Vec<Finding> {
    let library = LIBRARIES.iter().any(|library| source.path.starts_with(library));
    if !library || !source.path.ends_with("src/lib.rs") {
        return Vec::new();
    }
    let items = source.words().filter(|(_, word)| ITEMS.contains(word));
    let message = |word| format!("a roof holds no `{word}`: give it a module whose name says what it is");
    items.map(|(line, word)| Finding::new(&source.path, line, message(word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_under_the_roof_is_found() {
        let roof = "//! A crate with a fn.\n#![warn(missing_docs)]\npub mod cart;\npub use cart::Cart;\n";
        assert_eq!(roofs_hold_nothing(&Source::new("crdt-core/src/lib.rs", roof)), []);
        let house = format!("{roof}pub fn add() {{}}\n");
        let found = roofs_hold_nothing(&Source::new("crdt-core/src/lib.rs", house.as_str()));
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [5]);
        assert_eq!(roofs_hold_nothing(&Source::new("crdt-core/src/cart.rs", house)), []);
    }
}
