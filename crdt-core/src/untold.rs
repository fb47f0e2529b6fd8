//! What a view shows otherwise than when somebody last asked what had changed.

use std::collections::BTreeMap;

/// What the changed parts of a view showed before, by name.
///
/// Nothing is noted until everything has been shown once: whoever opens a document looks at all of it.
#[derive(Clone, Debug)]
pub(crate) struct Untold<Name, Shown> {
    before: Option<BTreeMap<Name, Shown>>,
}

impl<Name, Shown> Default for Untold<Name, Shown> {
    fn default() -> Self {
        Self { before: None }
    }
}

impl<Name: Ord + Clone, Shown> Untold<Name, Shown> {
    /// Everything has been shown: from now on changes are noted.
    pub(crate) fn begin(&mut self) {
        self.before.get_or_insert_default();
    }

    /// Notes what `name` shows, before it shows something else.
    pub(crate) fn note(&mut self, name: &Name, shown: impl FnOnce() -> Shown) {
        if let Some(before) = &mut self.before
            && !before.contains_key(name)
        {
            before.insert(name.clone(), shown());
        }
    }

    /// Whether a change of `name` has yet to be told.
    pub(crate) fn holds(&self, name: &Name) -> bool {
        self.before.as_ref().is_some_and(|before| before.contains_key(name))
    }

    /// Whoever made the change of `name` has been told.
    pub(crate) fn forget(&mut self, name: &Name) {
        if let Some(before) = &mut self.before {
            before.remove(name);
        }
    }

    /// What changed since this was last asked, with what was shown before.
    pub(crate) fn take(&mut self) -> BTreeMap<Name, Shown> {
        self.before.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_first_is_kept_and_told_once() {
        let mut untold = Untold::default();
        untold.note(&"tea", || 1);
        assert!(untold.take().is_empty(), "nothing is told before all was shown");
        untold.begin();
        untold.note(&"tea", || 2);
        untold.note(&"tea", || 3);
        untold.note(&"lamp", || 4);
        assert!(untold.holds(&"tea"));
        untold.forget(&"lamp");
        untold.begin();
        assert_eq!(untold.take(), BTreeMap::from([("tea", 2)]));
        assert!(untold.take().is_empty());
    }
}
