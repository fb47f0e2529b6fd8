//! Canonical JSON: the one text of a value. Sorted keys, no white space, no floats.
//!
//! Facts are stored as canonical JSON so that any Automerge tool can show them, and so that a signature over the text is
//! a signature over the value.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::limits::VALUE_BYTES_MAX;

/// The canonical text of a value of ours.
///
/// # Panics
/// If the value holds a float, or a map whose keys are not strings: our own types hold neither.
pub fn to_text(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("our own types serialise to JSON");
    assert!(is_canonical(&value), "canonical JSON holds no floats");
    let mut text = String::new();
    write(&value, &mut text);
    text
}

/// Sorts keys itself: an application may switch `serde_json` to insertion order for its own ends.
fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, field)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write(field, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string());
        }
    }
}

/// Reads a stored value. Unknown fields are ignored: a newer version may have added them.
///
/// A list is refused: no fact is one, and it would otherwise be read as the fields of one, in order.
pub fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, NotCanonical> {
    if text.trim_start().starts_with('[') {
        return Err(NotCanonical::Unreadable { why: "a list is no fact".to_owned() });
    }
    read(text)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, NotCanonical> {
    if text.len() > VALUE_BYTES_MAX {
        return Err(NotCanonical::TooLong { bytes: text.len() });
    }
    serde_json::from_str(text).map_err(|error| NotCanonical::Unreadable { why: error.to_string() })
}

/// Reads a stored value whole, refusing any text but the canonical one. Signed values are read this way.
pub fn value_from_text(text: &str) -> Result<Value, NotCanonical> {
    let value: Value = read(text)?;
    if !is_canonical(&value) || to_text(&value) != text {
        return Err(NotCanonical::AnotherSpelling);
    }
    Ok(value)
}

pub(crate) fn is_canonical(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_canonical),
        Value::Object(fields) => fields.values().all(is_canonical),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

/// Why a text is not the value it was taken for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotCanonical {
    #[error("the value is {bytes} bytes long; at most {VALUE_BYTES_MAX} are read")]
    TooLong { bytes: usize },
    #[error("the value can't be read: {why}")]
    Unreadable { why: String },
    #[error("the value is not canonical JSON (sorted keys, no white space, no floats)")]
    AnotherSpelling,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_has_one_text() {
        let value = serde_json::json!({"b": 1, "a": [true, null, "x"]});
        assert_eq!(to_text(&value), r#"{"a":[true,null,"x"],"b":1}"#);
        assert_eq!(value_from_text(r#"{"a":[true,null,"x"],"b":1}"#), Ok(value));
        for text in [r#"{"b":1,"a":2}"#, r#"{ "a":1}"#, r#"{"a":1.0}"#, r#"{"a":1,"a":1}"#, r#""\u0041""#] {
            assert_eq!(value_from_text(text), Err(NotCanonical::AnotherSpelling), "{text}");
        }
        assert!(from_text::<(u8, u8)>("[1,2]").is_err());
        assert!(value_from_text("{").is_err());
        assert!(value_from_text(&"[".repeat(1000)).is_err());
    }
}
