//! Allotments: devices that spend what they hold, and an authority, `auth`, that mints it.
//!
//! A replica speaks for the holder it is called after: `auth` for the authority, `d1` to `d5` for holders with a key,
//! `lease:d1` for a lease of one, `name:till` for the holder `till` by name alone. Verbs: `mint HOLDER N [ID]`,
//! `use R N`, `give HOLDER N`, `release R`, `cancel HOLDER R`, `want R N`, `withdraw R`, `answer`, `close LEASE`,
//! `backup`, `restore` (as a new writer), `heal`; and for the hostile, `forge SIGNER PLACE BODY`, `lift PLACE PLACE` and
//! `erase PLACE`, where a place is a root key with holders called as above, and the signer may be `nobody`.

use crdt_core::allotment::{
    Allotment, AllotmentError, HolderId, HolderView, MintId, PoolId, ReservationId, Spender, Units,
};
use crdt_core::authority::{AuthorityKey, Role, Statement, TrustSet};
use crdt_core::document::{Document, Stored};
use crdt_core::id::ActorId;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::world::{Replica, Replicas, StepError, actor, unknown_step, word};

const DEVICES: [&str; 5] = ["d1", "d2", "d3", "d4", "d5"];
const POOL: &str = "seats";

/// One device's allotment.
pub(crate) struct Seats {
    allotment: Allotment,
    spender: Spender,
    name: String,
    backup: Option<Vec<u8>>,
    restores: usize,
    minted: usize,
}

fn key(name: &str) -> AuthorityKey {
    let actor = ActorId::derive(&["conformance-key", name]);
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(actor.as_bytes());
    AuthorityKey::from_seed(seed)
}

fn spender(name: &str) -> Result<Spender, StepError> {
    if name == "auth" {
        return Ok(Spender::authority(key(name)));
    }
    if let Some(bare) = name.strip_prefix("name:") {
        let holder = HolderId::new(bare).map_err(|_| unknown_step())?;
        return Spender::named(holder).map_err(|_| unknown_step());
    }
    let device = name.strip_prefix("lease:").unwrap_or(name);
    if !DEVICES.contains(&device) {
        return Err(unknown_step());
    }
    Ok(if device == name { Spender::keyed(key(device)) } else { Spender::leasing(key(device)) })
}

fn holder(name: &str) -> Result<HolderId, StepError> {
    spender(name).map(|spender| spender.holder().clone())
}

/// What the story calls a holder.
fn called(holder: &HolderId) -> String {
    if holder.is_authority() {
        return "auth".to_owned();
    }
    let device = holder.key().and_then(|public| DEVICES.iter().find(|name| key(name).public() == public));
    match device {
        Some(name) if holder.is_lease() => format!("lease:{name}"),
        Some(name) => (*name).to_owned(),
        None => format!("name:{holder}"),
    }
}

/// The root key of a place in the story's words.
fn root_key(place: &str) -> Result<String, StepError> {
    let mut segments: Vec<String> = place.split('/').map(str::to_owned).collect();
    if let [kind, owner, ..] = segments.as_mut_slice()
        && ["t", "u", "v", "w", "k"].contains(&kind.as_str())
    {
        *owner = holder(owner)?.to_string();
    }
    Ok(segments.join("/"))
}

fn open(document: Document) -> Allotment {
    let mut trust = TrustSet::default();
    trust.trust(key("auth").public(), Role::System);
    trust.trust(key("teacher").public(), Role::Instructor);
    let pool = PoolId::new(POOL).expect("a short text");
    Allotment::open(document, pool, trust).expect("every replica is of one kind")
}

fn units(words: &[String], index: usize) -> Result<Units, StepError> {
    let number: i64 = word(words, index)?.parse().map_err(|_| unknown_step())?;
    Units::try_from(number).map_err(|_| "units".to_owned())
}

fn reservation(words: &[String], index: usize) -> Result<ReservationId, StepError> {
    ReservationId::new(word(words, index)?).map_err(|_| unknown_step())
}

fn code(error: &AllotmentError) -> StepError {
    error.code().to_owned()
}

impl Seats {
    fn forge(&mut self, words: &[String]) -> Result<(), StepError> {
        let place = root_key(word(words, 1)?)?;
        let mut body: Value = serde_json::from_str(word(words, 2)?).map_err(|_| unknown_step())?;
        if let Some(to) = body.get_mut("to") {
            *to = holder(to.as_str().unwrap_or_default())?.to_string().into();
        }
        let text = match word(words, 0)? {
            "nobody" => body.to_string(),
            signer => key(signer).sign(&Statement { kind: "allotment", subject: POOL, key: &place }, &body),
        };
        let mut edit = self.allotment.document_mut().edit();
        edit.put(&place, &text);
        edit.commit();
        Ok(())
    }

    /// Puts the text that stands in one place into another.
    fn lift(&mut self, words: &[String]) -> Result<(), StepError> {
        let (from, to) = (root_key(word(words, 0)?)?, root_key(word(words, 1)?)?);
        let values = self.allotment.document().values(&from);
        let text = values.iter().find_map(Stored::as_text).ok_or_else(unknown_step)?;
        let mut edit = self.allotment.document_mut().edit();
        edit.put(&to, text);
        edit.commit();
        Ok(())
    }

    fn erase(&mut self, place: &str) -> Result<(), StepError> {
        let place = root_key(place)?;
        let mut edit = self.allotment.document_mut().edit();
        edit.delete(&place);
        edit.commit();
        Ok(())
    }

    /// The device as it was when last backed up, written to as somebody new.
    fn restore(&mut self) -> Result<(), StepError> {
        let backup = self.backup.as_ref().ok_or_else(unknown_step)?;
        self.restores += 1;
        let restored = actor(&format!("{} restored {}", self.name, self.restores));
        self.allotment = open(Document::load(backup, restored).map_err(|error| error.to_string())?);
        Ok(())
    }
}

impl Replica for Seats {
    fn open(name: &str, document: Document) -> Self {
        let spender = spender(name).unwrap_or_else(|_| Spender::keyed(key(name)));
        let allotment = open(document);
        Self { allotment, spender, name: name.to_owned(), backup: None, restores: 0, minted: 0 }
    }

    fn document(&mut self) -> &mut Document {
        self.allotment.document_mut()
    }

    fn refresh(&mut self) {
        self.allotment.refresh();
    }

    fn act(&mut self, verb: &str, words: &[String], _: &mut Replicas<Self>) -> Result<String, StepError> {
        let by = self.spender.clone();
        let mine = key(&self.name);
        let seats = &mut self.allotment;
        match verb {
            "mint" => {
                self.minted += 1;
                let id = words.get(2).cloned().unwrap_or_else(|| format!("{}-{}", self.name, self.minted));
                let id = MintId::new(id).map_err(|_| unknown_step())?;
                seats.mint(&mine, id, holder(word(words, 0)?)?, units(words, 1)?).map_err(|e| code(&e))?;
            }
            "use" => {
                seats.reserve(&by, reservation(words, 0)?, units(words, 1)?).map_err(|e| code(&e))?;
            }
            "give" => {
                let to = holder(word(words, 0)?)?;
                return seats
                    .give(&by, &to, units(words, 1)?)
                    .map(|given| given.id.to_string())
                    .map_err(|e| code(&e));
            }
            "release" => drop(seats.release(&by, reservation(words, 0)?).map_err(|e| code(&e))?),
            "cancel" => {
                let of = holder(word(words, 0)?)?;
                seats.cancel(&mine, &of, reservation(words, 1)?).map_err(|e| code(&e))?;
            }
            "want" => drop(seats.want(&by, reservation(words, 0)?, units(words, 1)?).map_err(|e| code(&e))?),
            "withdraw" => drop(seats.withdraw(&by, reservation(words, 0)?)),
            "answer" => drop(seats.answer_wants(&by).map_err(|e| code(&e))?),
            "close" => drop(seats.close_lease(&mine, &holder(word(words, 0)?)?).map_err(|e| code(&e))?),
            "heal" => drop(seats.heal()),
            "backup" => self.backup = Some(seats.document().save()),
            "restore" => self.restore()?,
            "forge" => self.forge(words)?,
            "lift" => self.lift(words)?,
            "erase" => self.erase(word(words, 0)?)?,
            _ => return Err(unknown_step()),
        }
        self.allotment.refresh();
        Ok(words.first().cloned().unwrap_or_default())
    }

    fn view(&mut self) -> Value {
        let seats = &self.allotment;
        let view = seats.view();
        let by_holder = |pick: &dyn Fn(&HolderView) -> Value| {
            let shown = view.holders().iter().map(|(holder, shown)| (called(holder), pick(shown)));
            Value::Object(shown.filter(|(_, value)| *value != json!({}) && *value != json!(0)).collect())
        };
        let gifts = view.holders().iter().flat_map(|(from, shown)| {
            shown.struck_gifts.values().map(|gift| json!([called(from), called(&gift.to), gift.units]))
        });
        let closed = view.holders().iter().filter(|(_, shown)| shown.closed).map(|(lease, _)| called(lease));
        let queue = view.queue();
        let inert = seats.inert();
        json!({
            "minted": view.minted(),
            "used": view.used(),
            "rights": by_holder(&|shown| json!(shown.rights)),
            "uses": by_holder(&|shown| object(&shown.uses)),
            "voids": by_holder(&|shown| object(&shown.voids)),
            "struck": by_holder(&|shown| object(&shown.struck)),
            "struckGifts": gifts.collect::<Vec<_>>(),
            "wants": queue.iter().map(|want| want.reservation.as_str()).collect::<Vec<_>>(),
            "closed": closed.collect::<Vec<_>>(),
            "inert": inert.facts().iter().map(|fact| fact.reason.code()).collect::<Vec<_>>(),
            "lost": seats.lost_facts().len(),
        })
    }
}

fn object(fields: &impl Serialize) -> Value {
    serde_json::to_value(fields).unwrap_or_else(|_| Value::Object(Map::new()))
}
