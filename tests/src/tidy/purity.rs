//! Pure code takes time, randomness and bytes as arguments and reaches for nothing else.

use super::Finding;
use crate::source::Source;

/// The machines: they run unchanged in the relay, in apps, in browsers and in the simulator.
const PURE: [&str; 3] = ["crdt-core/src/", "relay/src/hub.rs", "relay/src/hub/"];

/// What a pure file never names, and what it does instead.
const WORLD: [(&str, &str); 21] = [
    ("tokio", "return an output; a driver awaits"),
    ("async", "return an output; a driver awaits"),
    ("futures", "return an output; a driver awaits"),
    ("Instant::now", "take `now` as an argument"),
    ("SystemTime", "take `now` as an argument"),
    ("chrono", "take `now` as an argument"),
    ("std::fs", "emit a storage output"),
    ("std::net", "emit a send output"),
    ("std::io::stdin", "bytes come in as slices"),
    ("std::io::stdout", "bytes go out as slices"),
    ("std::env", "take configuration as an argument"),
    ("std::process", "return an error"),
    ("std::thread", "a driver owns the threads"),
    ("thread_local", "keep state in the machine, where it can be seen"),
    ("OsRng", "take a generator as an argument"),
    ("SysRng", "take a generator as an argument"),
    ("getrandom", "take a generator as an argument"),
    ("thread_rng", "take a generator as an argument"),
    ("HashMap", "use `BTreeMap`: a replay visits entries in the same order"),
    ("HashSet", "use `BTreeSet`: a replay visits entries in the same order"),
    ("println", "return it, or trace it"),
];

/// Finds names of clocks, runtimes, files, sockets and generators of the operating system in pure files.
pub fn pure_sources_name_no_world(source: &Source) -> Vec<Finding> {
    if !PURE.iter().any(|pure| source.path.starts_with(pure)) {
        return Vec::new();
    }
    let found = WORLD.iter().flat_map(|(name, instead)| {
        source
            .lines_naming(name)
            .into_iter()
            .map(move |line| Finding::new(&source.path, line, format!("pure code names `{name}`: {instead}")))
    });
    found.collect()
}

/// Where the Automerge library may be named. Everything else speaks of documents and changes.
const AUTOMERGE_HOME: &str = "crdt-core/src/document";

/// Finds the Automerge library named outside its home: what replaces it one day should touch one folder.
pub fn automerge_at_home(source: &Source) -> Vec<Finding> {
    // Tests, benchmarks and fuzz targets hold our reading of its format against the library itself.
    let compares = source.path.split('/').any(|folder| matches!(folder, "tests" | "benches" | "fuzz"));
    if compares || source.path.starts_with(AUTOMERGE_HOME) {
        return Vec::new();
    }
    let lines = source.code.lines().zip(1..).filter(|(line, _)| {
        let packed: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
        packed.contains("automerge::") || packed.contains("use automerge")
    });
    let message = "names the Automerge library: go through `crdt_core::document`";
    lines.map(|(_, number)| Finding::new(&source.path, number, message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_a_pure_file_is_found() {
        let text =
            "use std::time::SystemTime;\nfn a() { let b: HashMap<u8, u8>; }\n// SystemTime is banned\n";
        let pure = pure_sources_name_no_world(&Source::new("crdt-core/src/cart.rs", text));
        assert_eq!(pure.iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(pure_sources_name_no_world(&Source::new("relay/src/server.rs", text)), []);
    }

    #[test]
    fn automerge_away_from_home_is_found() {
        let text = "use automerge::Automerge;\n/// automerge::Change\nlet automerge = 1;\n";
        assert_eq!(automerge_at_home(&Source::new("crdt-core/src/cart.rs", text)).len(), 1);
        assert_eq!(automerge_at_home(&Source::new("crdt-core/src/document/edit.rs", text)), []);
        assert_eq!(automerge_at_home(&Source::new("relay/benches/hub.rs", text)), []);
        assert_eq!(automerge_at_home(&Source::new("crdt-core/tests/chunks.rs", text)), []);
    }
}
