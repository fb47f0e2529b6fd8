//! One vector: a story and what everyone must see after it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A story about replicas of one document.
#[derive(Debug, Deserialize)]
pub(crate) struct Vector {
    pub(crate) id: String,
    /// The kind of document, which decides what the verbs mean.
    pub(crate) doc: String,
    pub(crate) steps: Vec<String>,
    pub(crate) expect: Map<String, Value>,
}

impl Vector {
    /// Where `view` is not what is expected, as sentences.
    pub(crate) fn differences(&self, replica: &str, view: &Value) -> Vec<String> {
        let differing = self.expect.iter().filter(|(field, expected)| view[field.as_str()] != **expected);
        differing
            .map(|(field, expected)| {
                format!("{}: {replica} shows {field} as {}, not {expected}", self.id, view[field.as_str()])
            })
            .collect()
    }
}

/// One step, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Two replicas exchange everything.
    Exchange(String, String),
    /// One replica does something.
    Act(Act),
}

/// What one replica does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) replica: String,
    pub(crate) verb: String,
    pub(crate) words: Vec<String>,
    /// The error it must fail with.
    pub(crate) fails: Option<String>,
    /// What the things it writes are called from then on.
    pub(crate) called: Option<String>,
}

impl Step {
    /// Takes a step apart, putting what was named before in the place of its `$name`s.
    pub(crate) fn parse(text: &str, names: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let first = words.next().ok_or("a step without words")?;
        if let Some((left, right)) = first.split_once('~') {
            return Ok(Self::Exchange(left.to_owned(), right.to_owned()));
        }
        let verb = words.next().ok_or_else(|| format!("`{text}` has no verb"))?;
        let (mut fails, mut called, mut plain) = (None, None, Vec::new());
        for word in words {
            if let Some(error) = word.strip_prefix('!') {
                fails = Some(error.to_owned());
            } else if let Some(name) = word.strip_prefix('=') {
                called = Some(name.to_owned());
            } else {
                plain.push(
                    substitute(word, names).map_err(|name| format!("`{text}`: ${name} names nothing"))?,
                );
            }
        }
        Ok(Self::Act(Act { replica: first.to_owned(), verb: verb.to_owned(), words: plain, fails, called }))
    }
}

/// `$name`, anywhere in a word, becomes what the name stands for.
fn substitute(word: &str, names: &BTreeMap<String, String>) -> Result<String, String> {
    let mut parts = word.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(part.len());
        let (name, rest) = part.split_at(end);
        text.push_str(names.get(name).ok_or(name)?);
        text.push_str(rest);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_what_was_written() {
        let names = BTreeMap::from([("d".to_owned(), "7.aa".to_owned())]);
        let Ok(Step::Act(act)) = Step::parse("A put cap/x/$d 3 =e !why", &names) else { panic!("an act") };
        assert_eq!(act.words, ["cap/x/7.aa", "3"]);
        assert_eq!((act.called.as_deref(), act.fails.as_deref()), (Some("e"), Some("why")));
        assert_eq!(Step::parse("A~B", &names), Ok(Step::Exchange("A".into(), "B".into())));
        assert!(Step::parse("A put $f", &names).is_err());
    }
}
