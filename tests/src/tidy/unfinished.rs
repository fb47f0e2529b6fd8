//! Nothing is left for later: no placeholder code, no test that never runs.

use super::Finding;
use crate::source::Source;

/// Finds placeholders, debugging leftovers and tests that are switched off.
pub fn nothing_unfinished(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, number) in source.code.lines().zip(1..) {
        let packed: String = line.split_whitespace().collect();
        for (mark, instead) in MARKS {
            if holds(&packed, mark) {
                findings.push(Finding::new(&source.path, number, format!("`{mark}`: {instead}")));
            }
        }
    }
    findings
}

const MARKS: [(&str, &str); 5] = [
    ("todo!", "build it, or leave the feature out"),
    ("unimplemented!", "build it, or return an error that says why not"),
    ("dbg!", "a leftover of debugging"),
    ("#[ignore", "a test that does not run proves nothing: make it fast enough, or give it its own command"),
    ("#![allow(dead_code", "remove what nobody uses"),
];

fn holds(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        mark.starts_with('#') || !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        nothing_unfinished(&Source::new("a.rs", text)).len()
    }

    #[test]
    fn placeholders_are_found() {
        assert_eq!(
            findings("fn a() { todo!() }\nfn b() { unimplemented ! (\"later\") }\nfn c() { dbg!(1); }"),
            3
        );
        assert_eq!(findings("#[test]\n#[ignore = \"slow\"]\nfn a() {}"), 1);
    }

    #[test]
    fn words_about_placeholders_are_not() {
        assert_eq!(findings("// todo!() is for later\nlet a = \"todo!\"; my_todo!();"), 0);
    }
}
