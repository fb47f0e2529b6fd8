//! The workspace keeps its own rules. What each rule is and why: `pannier_tests::tidy`.

use std::fs;
use std::sync::LazyLock;

use pannier_tests::source::{Source, workspace_root, workspace_sources};
use pannier_tests::tidy::{self, Finding};

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| workspace_sources(&workspace_root()));

#[track_caller]
fn require(rule: impl Fn(&Source) -> Vec<Finding>) {
    assert!(SOURCES.len() > 10, "the walk found only {} files", SOURCES.len());
    assert_none(SOURCES.iter().flat_map(rule));
}

#[track_caller]
fn assert_none(findings: impl IntoIterator<Item = Finding>) {
    let findings: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn nothing_is_unfinished() {
    require(tidy::nothing_unfinished);
}

#[test]
fn files_stay_short() {
    require(tidy::lines_bounded);
}

#[test]
fn pure_sources_name_no_world() {
    require(tidy::pure_sources_name_no_world);
}

#[test]
fn automerge_is_named_only_at_home() {
    require(tidy::automerge_at_home);
}

#[test]
fn roofs_hold_nothing() {
    require(tidy::roofs_hold_nothing);
}

#[test]
fn core_modules_name_only_what_is_below() {
    require(tidy::core_names_only_what_is_below);
}

#[test]
fn relay_and_clients_are_strangers() {
    require(tidy::relay_and_clients_are_strangers);
}

/// The pages that people read before the code.
const PAGES: [&str; 5] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "PROTOCOL.md"];

#[test]
fn pages_name_only_what_is_there() {
    let root = workspace_root();
    let read =
        |page: &str| fs::read_to_string(root.join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
    let findings = PAGES
        .iter()
        .flat_map(|page| tidy::named_paths_exist(page, &read(page), |path| root.join(path).exists()));
    assert_none(findings);
}

#[test]
fn the_map_names_every_crate_and_every_module_of_the_core() {
    let root = workspace_root();
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the map is there");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest is there");
    let members = manifest.lines().filter_map(|line| line.strip_prefix("    \"")?.strip_suffix("\","));
    let modules = SOURCES.iter().map(|source| source.path.as_str()).filter(|path| {
        let inside = path.strip_prefix("crdt-core/src/");
        inside.is_some_and(|inside| !inside.contains('/') && inside != "lib.rs")
    });
    let places: Vec<_> = members.chain(modules).map(str::to_owned).collect();
    assert!(places.len() > 10 && places.iter().any(|place| place == "crdt-core"), "{places:?}");
    assert_none(tidy::map_names_all("ARCHITECTURE.md", &map, places));
}
