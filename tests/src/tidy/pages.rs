//! The pages for people name only what is there, and the map names everything that matters.

use super::Finding;

/// Finds paths in backticks and relative links of a page that lead nowhere.
pub fn named_paths_exist(page: &str, text: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let paths = spans(line, "`", "`").into_iter().filter(|span| is_path(span));
        let links = spans(line, "](", ")").into_iter().filter(|link| !link.contains(':'));
        let links =
            links.map(|link| link.split('#').next().unwrap_or_default()).filter(|link| !link.is_empty());
        for path in paths.chain(links) {
            if !exists(path.trim_end_matches('/')) {
                findings.push(Finding::new(page, number, format!("`{path}` is not there")));
            }
        }
    }
    findings
}

/// Finds places that the map must name and does not.
pub fn map_names_all(page: &str, text: &str, places: impl IntoIterator<Item = String>) -> Vec<Finding> {
    let unnamed = places.into_iter().filter(|place| !text.contains(&format!("`{place}`")));
    unnamed
        .map(|place| Finding::new(page, 0, format!("`{place}` is not on the map: say what it is")))
        .collect()
}

fn spans<'a>(line: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let mut spans = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once(open) {
        let Some((span, left)) = after.split_once(close) else { break };
        spans.push(span);
        rest = left;
    }
    spans
}

/// A path has a folder in it, or an extension that files here have; a type, a flag or a command has neither.
fn is_path(span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let file = [".rs", ".md", ".toml", ".json", ".lock"].iter().any(|extension| span.ends_with(extension));
    let folder = span.contains('/') && !span.starts_with('/');
    span.chars().all(plain) && (file || folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_nowhere_is_found() {
        let text = "See `crdt-core/src/cart.rs`, `crdt-core/src/nowhere.rs` and `relay/`.\n[map](ARCHITECTURE.md#x)\n\
                    [gone](GONE.md) [far](https://example.org/a) `cargo xtask test` `Cart::add` `--only`\n";
        let there = ["crdt-core/src/cart.rs", "relay", "ARCHITECTURE.md"];
        let found = named_paths_exist("README.md", text, |path| there.contains(&path));
        let messages: Vec<_> = found.iter().map(|finding| (finding.line, finding.message.as_str())).collect();
        assert_eq!(messages, [(1, "`crdt-core/src/nowhere.rs` is not there"), (3, "`GONE.md` is not there")]);
    }

    #[test]
    fn a_place_that_the_map_forgets_is_found() {
        let places = ["crdt-core/src/cart.rs", "relay"].map(str::to_owned);
        let found = map_names_all("ARCHITECTURE.md", "`relay` and crdt-core/src/cart.rs", places);
        assert_eq!(found.len(), 1);
    }
}
