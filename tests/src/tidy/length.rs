//! A file holds one noun, so it stays short enough to read in one sitting.

use super::Finding;
use crate::source::Source;

/// Beyond this a file certainly holds a second noun; the house looks for one from 600 on.
const LINES_MAX: usize = 800;

/// Finds files that have grown beyond 800 lines.
pub fn lines_bounded(source: &Source) -> Vec<Finding> {
    let lines = source.text.lines().count();
    if lines <= LINES_MAX {
        return Vec::new();
    }
    let message = format!("{lines} lines, at most {LINES_MAX}: look for the second noun and give it a file");
    vec![Finding::new(&source.path, 0, message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_too_many_is_found() {
        let file = |lines: usize| Source::new("a.rs", "x\n".repeat(lines));
        assert_eq!(lines_bounded(&file(LINES_MAX)), []);
        assert_eq!(lines_bounded(&file(LINES_MAX + 1)).len(), 1);
    }
}
