//! Modules of the core know only what lies below them, so each can be read without those above it.

use super::Finding;
use crate::source::Source;

/// The modules of the core from the ground up: each may name those before it.
const CORE: [&str; 23] = [
    "limits",
    "time",
    "id",
    "leb128",
    "canonical",
    "money",
    "graph",
    "document",
    "kind",
    "authority",
    "inert",
    "heal",
    "untold",
    "progress",
    "profile",
    "enrollment",
    "cart",
    "allotment",
    "import",
    "validate",
    "wire",
    "sync",
    "replica",
];

const CORE_FOLDER: &str = "crdt-core/src/";

/// Finds modules of the core that name one above them, and modules that have no place in the order.
pub fn core_names_only_what_is_below(source: &Source) -> Vec<Finding> {
    let Some(own) = core_module(&source.path) else { return Vec::new() };
    let Some(own_height) = height(own) else {
        let message = format!("`{own}` has no place in the order of modules: see {}", file!());
        return vec![Finding::new(&source.path, 0, message)];
    };
    let above = named_modules(without_tests(&source.code))
        .into_iter()
        .filter(|(_, named)| *named != own && height(named).is_some_and(|height| height > own_height));
    let message = |named| format!("`{own}` lies below `{named}` and must not know it");
    above.map(|(line, named)| Finding::new(&source.path, line, message(named))).collect()
}

fn height(module: &str) -> Option<usize> {
    CORE.iter().position(|known| *known == module)
}

/// The module of the core that a file belongs to; the roof knows everything.
fn core_module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix(CORE_FOLDER)?;
    let module = inside.split('/').next()?.trim_end_matches(".rs");
    (module != "lib").then_some(module)
}

/// Tests may look up: they say what the layers are for. By the house's order they come last in a file.
fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
}

/// The first segment of every path that begins with `crate::`, with its line, also inside groups.
fn named_modules(code: &str) -> Vec<(usize, &str)> {
    let mut named = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let line = code[..at].lines().count().max(1);
        let rest = &code[at + path.len()..];
        let group = rest.strip_prefix('{').map(group_members);
        let members = group.unwrap_or_else(|| vec![rest]);
        named.extend(members.into_iter().map(|member| (line, first_word(member))));
    }
    named
}

/// The members of a group, given what follows its opening brace.
fn group_members(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut members) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                members.push(&text[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                members.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    members
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

const CLIENTS: [&str; 5] = ["pannier", "pannier_cli", "pannier_web", "pannier_bridge", "pannier_ffi"];

/// Finds the relay and the clients naming each other: they meet only over the wire.
pub fn relay_and_clients_are_strangers(source: &Source) -> Vec<Finding> {
    let (strangers, why) = if source.path.starts_with("relay/") {
        (&CLIENTS[..], "the relay knows no client")
    } else if source.path.starts_with("clients/") {
        (&["relay"][..], "a client knows no relay")
    } else {
        return Vec::new();
    };
    // Only a path that begins with the crate's name is the crate: a client may have a module called `relay`.
    let lines = source.code.lines().zip(1..).filter(|(line, _)| {
        let mut paths = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        paths.any(|path| path.split_once("::").is_some_and(|(first, _)| strangers.contains(&first)))
    });
    lines
        .map(|(_, line)| Finding::new(&source.path, line, format!("{why}: they meet over the wire")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let findings = core_names_only_what_is_below(&Source::new(path, text));
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn looking_up_is_found_also_in_groups() {
        let text = "use crate::id::Dot;\nuse crate::{limits::{A, B}, replica::{Input, Output}};\n";
        assert_eq!(lines("crdt-core/src/document.rs", text), [2]);
        assert_eq!(lines("crdt-core/src/document/edit.rs", "fn a() { crate::cart::fold() }"), [1]);
        assert_eq!(lines("crdt-core/src/replica/peers.rs", text), Vec::<usize>::new());
    }

    #[test]
    fn tests_and_the_roof_may_look_up() {
        let text = "use crate::id::Dot;\n#[cfg(test)]\nmod tests {\n    use crate::cart::Cart;\n}\n";
        assert_eq!(lines("crdt-core/src/document.rs", text), Vec::<usize>::new());
        assert_eq!(lines("crdt-core/src/lib.rs", "pub use crate::cart::Cart;"), Vec::<usize>::new());
    }

    #[test]
    fn a_module_without_a_place_is_found() {
        assert_eq!(lines("crdt-core/src/helpers.rs", ""), [0]);
    }

    #[test]
    fn relay_and_clients_naming_each_other_are_found() {
        let strangers =
            |path: &str, text: &str| relay_and_clients_are_strangers(&Source::new(path, text)).len();
        assert_eq!(strangers("relay/src/hub.rs", "use pannier::Client;"), 1);
        assert_eq!(strangers("relay/src/hub/tests.rs", "use pannier_forge::chunk::Header;"), 0);
        assert_eq!(strangers("clients/pannier/src/lib.rs", "use relay::hub::Hub;"), 1);
        assert_eq!(strangers("clients/pannier/src/lib.rs", "use crate::relay::Connection; mod relay;"), 0);
        assert_eq!(strangers("tests/sim/src/lib.rs", "use relay::hub::Hub; use pannier::Client;"), 0);
    }
}
