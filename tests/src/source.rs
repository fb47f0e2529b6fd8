//! The workspace's own Rust files, read as text with everything that is not code blanked out.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file of the workspace.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path from the workspace's root, with forward slashes.
    pub path: String,
    pub text: String,
    /// [`Source::text`] with comments and the insides of literals replaced by spaces; lines stay where they were.
    pub code: String,
}

impl Source {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { path: path.into(), code: code_of(&text), text }
    }

    /// The identifiers and keywords of the code, each with its line number.
    pub fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().zip(1..).flat_map(|(line, number)| {
            line.split(|c: char| !is_word(c)).filter(|word| !word.is_empty()).map(move |word| (number, word))
        })
    }

    /// The lines whose code holds `path` (such as `std::fs`) as whole words, whatever the spacing.
    pub fn lines_naming(&self, path: &str) -> Vec<usize> {
        let found = self.code.lines().zip(1..).filter(|(line, _)| names(line, path));
        found.map(|(_, number)| number).collect()
    }
}

/// The directory that holds the workspace's `Cargo.toml`.
pub fn workspace_root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests crate sits in the workspace").to_owned()
}

/// Every Rust file below `root`, in order, without what was built or fetched.
pub fn workspace_sources(root: &Path) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let relative = path.strip_prefix(root).expect("found below the root");
        Source::new(relative.to_string_lossy().replace('\\', "/"), text)
    };
    paths.into_iter().map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("the folder is readable").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let foreign = name.starts_with('.') || name.starts_with("target") || name == "node_modules";
            if !foreign {
                collect(&path, paths);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, found)| {
        let before = line[..start].chars().next_back();
        let after = line[start + found.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Replaces comments and the insides of string and character literals by spaces, keeping every line break.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blanked = blank_len(rest, code.chars().next_back());
        if blanked == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (gone, left) = rest.split_at(blanked);
            code.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = left;
        }
    }
    code
}

/// How many bytes of a comment or literal begin `text`: 0 when code does.
fn blank_len(text: &str, before: Option<char>) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return block_comment_len(text);
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return 1 + quoted_len(quoted, '"');
    }
    if text.starts_with('r') && !before.is_some_and(|c| is_word(c) && c != 'b') {
        return raw_string_len(text);
    }
    if text.starts_with('\'') {
        return char_literal_len(text);
    }
    0
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length up to and including the closing `quote`, which a backslash escapes.
fn quoted_len(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    text.len()
}

fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let open = hashes + 2;
    let close = format!("\"{}", "#".repeat(hashes));
    text[open..].find(&close).map_or(text.len(), |end| open + end + close.len())
}

/// A character literal, told from a lifetime by its closing quote.
fn char_literal_len(text: &str) -> usize {
    let mut after = text[1..].chars();
    match (after.next(), after.next()) {
        (Some('\\'), _) => 1 + quoted_len(&text[1..], '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_code_is_not() {
        let text =
            "let a = \"todo \\\" x\"; // todo\n/* a /* b */ c */ let b: &'a u8 = b'\\''; let c = '\"';\n";
        let code = code_of(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(!code.contains("todo") && !code.contains('"') && !code.contains("b */"), "{code}");
        assert!(code.contains("let b: &'a u8") && code.contains("let c ="), "{code}");
    }

    #[test]
    fn raw_strings_are_blank() {
        let code = code_of("let a = r#\"say \"todo\" // \"#; let brand = br\"x\\\"; end");
        assert!(!code.contains("todo") && code.contains("let brand"), "{code}");
        assert!(code.ends_with("; end"), "{code}");
    }

    #[test]
    fn words_and_paths_are_whole() {
        let source = Source::new("a.rs", "use std::fs;\nlet std::fscanf = 1;\n");
        assert_eq!(source.lines_naming("std::fs"), [1]);
        assert!(source.words().any(|word| word == (2, "fscanf")));
    }
}
