//! Profiles, whose fields are called after the strategy that decides them: `client`, `server`, `merge` (all texts, in
//! order, joined by `+`), `prompt`; any other by the newest value.
//!
//! `set FIELD TEXT AT` writes as a client, `serve WHO FIELD TEXT AT` as the server, `resolve FIELD TEXT AT` settles a
//! conflict, `clear FIELD` empties a field; `who WHO =name` names a public key and `sign WHO STUDENT KEY BODY` writes a
//! body, signed for that student and key, whatever it says. People are called as in the stories of enrollments.

use std::collections::BTreeMap;

use crdt_core::authority::Statement;
use crdt_core::document::Document;
use crdt_core::profile::{Field, FieldValue, Profile, ProfileError, Strategy};
use crdt_core::time::Timestamp;
use serde_json::{Value, json};

use crate::enrollment::{key, student, trust};
use crate::world::{Replica, Replicas, StepError, unknown_step, word};

/// A replica that holds a student's profile.
pub(crate) struct ProfileReplica(Profile);

impl Replica for ProfileReplica {
    fn open(_: &str, document: Document) -> Self {
        let mut profile =
            Profile::open(document, student("me"), trust()).expect("a vector's document is a profile");
        for (name, strategy) in [
            ("client", Strategy::ClientWins),
            ("server", Strategy::ServerWins),
            ("prompt", Strategy::PromptUser),
            ("merge", Strategy::merge(|all| joined(all.iter().filter_map(|one| one.value.as_text())))),
        ] {
            profile.set_strategy(&Field::new(name).expect("a short text"), strategy);
        }
        Self(profile)
    }

    fn document(&mut self) -> &mut Document {
        self.0.document_mut()
    }

    fn refresh(&mut self) {
        self.0.view();
    }

    fn act(&mut self, verb: &str, words: &[String], _: &mut Replicas<Self>) -> Result<String, StepError> {
        let code = |error: ProfileError| error.code().to_owned();
        match verb {
            "set" => self.0.set(&field(words, 0)?, &text(words, 1)?, at(words, 2)?).map_err(code)?,
            "serve" => {
                let who = key(word(words, 0)?);
                let (field, text, at) = (field(words, 1)?, text(words, 2)?, at(words, 3)?);
                self.0.set_as_server(&field, &text, &who, at).map_err(code)?
            }
            "resolve" => self.0.resolve(&field(words, 0)?, &text(words, 1)?, at(words, 2)?).map_err(code)?,
            "clear" => self.0.clear(&field(words, 0)?, Timestamp::ZERO),
            "who" => return Ok(key(word(words, 0)?).public().to_string()),
            "sign" => return self.sign(words),
            _ => return Err(unknown_step()),
        };
        Ok(String::new())
    }

    fn view(&mut self) -> Value {
        let mut reasons: Vec<_> = self.0.inert().facts().iter().map(|fact| fact.reason.code()).collect();
        reasons.sort_unstable();
        let fields = &self.0.view().fields;
        let values: BTreeMap<_, _> = fields.iter().map(|(field, shown)| (field, &shown.value)).collect();
        let conflicts: BTreeMap<_, _> = fields
            .iter()
            .filter(|(_, shown)| shown.conflict)
            .map(|(field, shown)| {
                let values: Vec<_> = shown.candidates.iter().map(|candidate| &candidate.value).collect();
                (field, values)
            })
            .collect();
        json!({"fields": values, "conflicts": conflicts, "inert": reasons})
    }
}

impl ProfileReplica {
    fn sign(&mut self, words: &[String]) -> Result<String, StepError> {
        let (who, subject, place) = (key(word(words, 0)?), word(words, 1)?, word(words, 2)?);
        let body: Value = serde_json::from_str(word(words, 3)?).map_err(|_| unknown_step())?;
        let text = who.sign(&Statement { kind: "profile", subject, key: place }, &body);
        let mut edit = self.document().edit();
        edit.put(place, &text);
        edit.commit();
        Ok(place.to_owned())
    }
}

fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> FieldValue {
    let mut texts: Vec<_> = texts.collect();
    texts.sort_unstable();
    FieldValue::text(texts.join("+")).expect("short texts")
}

fn field(words: &[String], index: usize) -> Result<Field, StepError> {
    word(words, index)?.parse().map_err(|_| unknown_step())
}

fn text(words: &[String], index: usize) -> Result<FieldValue, StepError> {
    FieldValue::text(word(words, index)?).map_err(|_| unknown_step())
}

fn at(words: &[String], index: usize) -> Result<Timestamp, StepError> {
    word(words, index)?.parse().map(Timestamp::from_millis).map_err(|_| unknown_step())
}
