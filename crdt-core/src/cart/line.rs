//! What one line of a cart is: a thing that can be bought, in one variant.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::{InvalidId, check_text_id, escape_segment, text_id, unescape_segment};
use crate::limits::LINE_BYTES_MAX;

text_id!(
    /// A thing that can be bought, as the shop numbers it.
    Sku, "SKU"
);

/// Characters with a meaning in a line's text.
const RESERVED: &str = "/?&=";

/// An SKU with its options: the same variant is the same line on every device, whatever order the options came in.
///
/// ```
/// use crdt_core::cart::{Line, Sku};
/// let shirt = Line::of(&Sku::new("shirt")?).with("size", "M")?.with("color", "red")?;
/// assert_eq!(shirt.to_string(), "shirt?color=red&size=M");
/// assert_eq!("shirt?size=M&color=red".parse::<Line>()?, shirt);
/// # Ok::<(), crdt_core::id::InvalidId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(Box<str>);

impl Line {
    /// The SKU without options.
    pub fn of(sku: &Sku) -> Self {
        let mut text = String::with_capacity(sku.as_str().len());
        escape_segment(sku.as_str(), RESERVED, &mut text);
        Self(text.into())
    }

    /// The same line with this option, in place of any of that name.
    pub fn with(&self, option: &str, value: &str) -> Result<Self, InvalidId> {
        let mut options = self.options();
        options.insert(option.to_owned(), value.to_owned());
        Self::write(&self.sku(), &options)
    }

    /// The thing that is bought.
    pub fn sku(&self) -> Sku {
        let (sku, _) = self.parts();
        Sku::new(unescape_segment(sku, RESERVED).expect("written by us")).expect("checked when written")
    }

    /// The options that make the variant, by name.
    pub fn options(&self) -> BTreeMap<String, String> {
        let unescape = |text| unescape_segment(text, RESERVED).expect("written by us");
        let (_, options) = self.parts();
        let pairs = options.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (unescape(name), unescape(value))).collect()
    }

    /// The line's text, which is also its segment of a root key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The line written as this segment of a root key, if any is.
    pub(super) fn from_segment(segment: &str) -> Option<Self> {
        let line: Self = segment.parse().ok()?;
        (line.as_str() == segment).then_some(line)
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once('?').unwrap_or((&self.0, ""))
    }

    fn write(sku: &Sku, options: &BTreeMap<String, String>) -> Result<Self, InvalidId> {
        let mut text = Self::of(sku).0.into_string();
        for (index, (name, value)) in options.iter().enumerate() {
            check_text_id("option", name)?;
            check_text_id("option's value", value)?;
            text.push(if index == 0 { '?' } else { '&' });
            escape_segment(name, RESERVED, &mut text);
            text.push('=');
            escape_segment(value, RESERVED, &mut text);
        }
        if text.len() > LINE_BYTES_MAX {
            return Err(InvalidId::new("line", &text, "is longer than 512 bytes"));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Line {
    type Err = InvalidId;

    /// Accepts the options in any order, but every part in its one escaped spelling.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() > LINE_BYTES_MAX {
            return Err(InvalidId::new("line", text, "is longer than 512 bytes"));
        }
        let unescape = |part: &str| {
            unescape_segment(part, RESERVED)
                .ok_or_else(|| InvalidId::new("line", text, "has a part that is not escaped as it should be"))
        };
        let (sku, rest) = text.split_once('?').map_or((text, None), |(sku, rest)| (sku, Some(rest)));
        let mut options = BTreeMap::new();
        for pair in rest.into_iter().flat_map(|rest| rest.split('&')) {
            let invalid = || InvalidId::new("line", text, "has an option that is not name=value");
            let (name, value) = pair.split_once('=').ok_or_else(invalid)?;
            if options.insert(unescape(name)?, unescape(value)?).is_some() {
                return Err(InvalidId::new("line", text, "has an option twice"));
            }
        }
        Self::write(&Sku::new(unescape(sku)?)?, &options)
    }
}

impl From<Sku> for Line {
    fn from(sku: Sku) -> Self {
        Self::of(&sku)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_survive_and_never_run_together() {
        let sku = Sku::new("a/b?c=d&e%f").unwrap();
        let line = Line::of(&sku).with("x=y", "1&2").unwrap().with("größe", "ü").unwrap();
        assert_eq!(line.sku(), sku);
        assert_eq!(line.options()["x=y"], "1&2");
        assert_eq!(line.as_str().parse(), Ok(line.clone()));
        assert_eq!(Line::from_segment(line.as_str()), Some(line));
    }

    #[test]
    fn other_spellings_are_not_segments() {
        for text in
            ["shirt?size=M&color=red", "a/b", "a%2Fb", "a?", "a?b", "a?b=", "?a=b", "a?b=1&b=1", "", "%41"]
        {
            assert_eq!(Line::from_segment(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_stays_short() {
        let line = Line::of(&Sku::new("x".repeat(100)).unwrap());
        let long = line.with("a", &"/".repeat(128)).unwrap();
        assert!(long.with("b", &"/".repeat(128)).is_err());
    }
}
