//! Carts.
//!
//! | verb | does |
//! |---|---|
//! | `add LINE N [PRICE]`, `take LINE N`, `set LINE N [PRICE]`, `remove LINE`, `clear` | as named, in the list `cart` |
//! | `addto LIST ...`, `takefrom LIST ...`, `setin LIST ...`, `removefrom LIST ...` | the same in another list |
//! | `save LINE`, `unsave LINE`, `move LINE FROM TO` | moves |
//! | `coupon CODE`, `uncoupon CODE`, `note SCOPE [TEXT]` | remarks; without a text a note is taken away |
//! | `checkout ID`, `cancel ID` | the owner's side of an order |
//! | `confirm ID [BY]`, `reject ID REASON [BY]`, `refuse OPERATION REASON [BY]` | the authority's side |
//! | `undo OPERATION`, `adopt REPLICA`, `gc` | as named |
//! | `dot OPERATION` | writes nothing; names the first dot that the operation wrote |
//! | `who WHO =name` | writes nothing; names the public key |
//! | `forge VERDICT ID BY [ORDER]` | writes a decision that the local rules would not let through, signed by `BY` over the content of the order `ID`, or of `ORDER` |
//!
//! A line is written as its text (`shirt?size=M&color=red`), a price as `1999EUR`. What `=name` names is the operation.
//! Of those who sign, `shop` is the application's own back end and trusted, `provider` is a trusted payment provider,
//! `teacher` is trusted as an instructor only, and nobody trusts anyone else.
//!
//! The view has the quantities of each list under the list's name, `conflict`, `coupons`, `notes`, `orders`, `refusals`,
//! `totals`, `inert` (keys and reasons), `keys` (how many root keys there are) and `view`, the whole [`CartView`].

use crdt_core::authority::{AuthorityKey, Role, Statement, TrustSet};
use crdt_core::cart::{
    Cart, CartError, CartView, CheckoutId, CouponCode, ListName, NoteScope, Operation, Quantity, Units,
};
use crdt_core::document::Document;
use crdt_core::id::ChangeHash;
use serde_json::{Map, Value, json};

use crate::world::{Replica, Replicas, StepError, actor, money, unknown_step, word};

/// A replica that is a cart.
pub(crate) struct CartReplica(Cart);

/// What a verb did, or the error that the cart gave.
type Outcome = Result<Operation, CartError>;

impl Replica for CartReplica {
    fn open(_: &str, document: Document) -> Self {
        let mut cart = Cart::open(document).expect("a vector's document is a cart");
        let mut trust = TrustSet::default();
        for (name, role) in
            [("shop", Role::System), ("provider", Role::Provider), ("teacher", Role::Instructor)]
        {
            trust.trust(key_of(name).public(), role);
        }
        cart.set_trust(trust);
        Self(cart)
    }

    fn document(&mut self) -> &mut Document {
        self.0.document_mut()
    }

    fn refresh(&mut self) {
        self.0.refresh();
    }

    fn act(
        &mut self,
        verb: &str,
        words: &[String],
        others: &mut Replicas<Self>,
    ) -> Result<String, StepError> {
        let outcome = match verb {
            "adopt" => {
                let guest = others.get_mut(word(words, 0)?).ok_or_else(unknown_step)?;
                self.0.adopt(guest.document()).map(|_| Operation::default())
            }
            "dot" => {
                let operation = word(words, 0)?.parse().map_err(|_| unknown_step())?;
                return self.0.dots_of(&operation).first().map(ToString::to_string).ok_or_else(unknown_step);
            }
            "forge" => return self.forge(words),
            "who" => return Ok(key_of(word(words, 0)?).public().to_string()),
            "checkout" | "cancel" | "confirm" | "reject" | "refuse" => self.orders(verb, words)?,
            "coupon" | "uncoupon" | "note" | "undo" | "gc" => self.remarks(verb, words)?,
            _ => self.quantities(verb, words)?,
        };
        let operation = outcome.map_err(|error| error.code().to_owned())?;
        Ok(operation.id.map(|id| id.to_string()).unwrap_or_default())
    }

    fn view(&mut self) -> Value {
        let mut shown = summary(self.0.view());
        let inert = self.0.inert();
        let inert = inert.facts().iter().map(|fact| json!([fact.key, fact.reason.code()]));
        shown.insert("inert".to_owned(), inert.collect());
        shown.insert("keys".to_owned(), self.0.document().key_count().into());
        shown.insert("view".to_owned(), serde_json::to_value(self.0.view()).expect("views are JSON"));
        shown.into()
    }
}

impl CartReplica {
    fn quantities(&mut self, verb: &str, words: &[String]) -> Result<Outcome, StepError> {
        let cart = &mut self.0;
        Ok(match verb {
            "add" => cart.add(&parsed(words, 0)?, units(words, 1)?),
            "take" => cart.take(&parsed(words, 0)?, units(words, 1)?.quantity),
            "set" => cart.set(&parsed(words, 0)?, units(words, 1)?),
            "remove" => cart.remove(&parsed(words, 0)?),
            "clear" => cart.clear(),
            "save" => cart.save(&parsed(words, 0)?),
            "unsave" => cart.unsave(&parsed(words, 0)?),
            "move" => cart.list(parsed(words, 1)?).move_to(&parsed(words, 0)?, &parsed(words, 2)?),
            "addto" => cart.list(parsed(words, 0)?).add(&parsed(words, 1)?, units(words, 2)?),
            "takefrom" => cart.list(parsed(words, 0)?).take(&parsed(words, 1)?, units(words, 2)?.quantity),
            "setin" => cart.list(parsed(words, 0)?).set(&parsed(words, 1)?, units(words, 2)?),
            "removefrom" => cart.list(parsed(words, 0)?).remove(&parsed(words, 1)?),
            _ => return Err(unknown_step()),
        })
    }

    fn remarks(&mut self, verb: &str, words: &[String]) -> Result<Outcome, StepError> {
        let cart = &mut self.0;
        Ok(match verb {
            "coupon" => cart.coupon(&parsed::<CouponCode>(words, 0)?),
            "uncoupon" => cart.uncoupon(&parsed::<CouponCode>(words, 0)?),
            "note" => cart.note(&parsed::<NoteScope>(words, 0)?, words.get(1).map_or("", String::as_str)),
            "undo" => cart.undo(&parsed::<ChangeHash>(words, 0)?),
            _ => cart.gc(),
        })
    }

    fn orders(&mut self, verb: &str, words: &[String]) -> Result<Outcome, StepError> {
        let by = |index: usize| key_of(words.get(index).map_or("shop", String::as_str));
        let cart = &mut self.0;
        if verb == "refuse" {
            return Ok(cart.refuse(&parsed(words, 0)?, word(words, 1)?, &by(2)));
        }
        let id: CheckoutId = parsed(words, 0)?;
        Ok(match verb {
            "checkout" => cart.checkout(&id),
            "cancel" => cart.cancel(&id),
            "confirm" => cart.confirm(&id, &by(1)),
            _ => cart.reject(&id, word(words, 1)?, &by(2)),
        })
    }

    /// Signs the content of one order as the decision about another, as whoever, without asking the cart.
    fn forge(&mut self, words: &[String]) -> Result<String, StepError> {
        let (verdict, id, by) = (word(words, 0)?, word(words, 1)?, word(words, 2)?);
        let signed = words.get(3).map_or(id, String::as_str);
        let content = self.0.order_hash(&parsed(&[signed.to_owned()], 0)?).ok_or_else(unknown_step)?;
        let key = format!("cs/{id}/{verdict}");
        let place = Statement { kind: "cart", subject: id, key: &key };
        let text = key_of(by).sign(&place, &json!({"order": content}));
        let mut edit = self.0.document_mut().edit();
        edit.put(&key, &text);
        edit.commit();
        self.0.refresh();
        Ok(key)
    }
}

/// The key of whoever is called `name`: everyone can compute it, which is fine for a story.
fn key_of(name: &str) -> AuthorityKey {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(actor(name).as_bytes());
    AuthorityKey::from_seed(seed)
}

fn parsed<T: std::str::FromStr>(words: &[String], index: usize) -> Result<T, StepError> {
    word(words, index)?.parse().map_err(|_| unknown_step())
}

/// A quantity and, if there is another word, the price of one.
fn units(words: &[String], index: usize) -> Result<Units, StepError> {
    let number = word(words, index)?.parse().map_err(|_| unknown_step())?;
    let quantity = Quantity::new(number).map_err(|_| "quantity".to_owned())?;
    let price = words.get(index + 1).map(|price| money(price)).transpose()?;
    Ok(Units { quantity, price })
}

/// What a vector expects of, in as few words as it can be said.
fn summary(view: &CartView) -> Map<String, Value> {
    let mut shown: Map<String, Value> =
        [ListName::cart(), ListName::saved()].map(|list| (list.to_string(), json!({}))).into_iter().collect();
    let (mut conflict, mut totals) = (Map::new(), Map::new());
    for (name, list) in &view.lists {
        let lines = list.lines.iter().map(|(line, shown)| (line.to_string(), shown.quantity.into()));
        shown.insert(name.to_string(), lines.collect::<Map<_, _>>().into());
        let rivals = list.lines.iter().filter(|(_, shown)| !shown.conflict.is_empty());
        conflict.extend(rivals.map(|(line, shown)| (line.to_string(), shown.conflict.clone().into())));
        totals.insert(name.to_string(), serde_json::to_value(&list.total).expect("totals are JSON"));
    }
    let orders = view.orders.iter().map(|(id, order)| {
        let lines = order.lines.iter().map(|(line, shown)| (line.to_string(), shown.quantity.into()));
        (id.to_string(), json!([order.status, lines.collect::<Map<_, _>>()]))
    });
    let refusals = view.refusals.values().map(|refusal| {
        let what = refusal.line.as_ref().map(ToString::to_string);
        let what = what.or_else(|| refusal.coupon.as_ref().map(ToString::to_string));
        json!([what, refusal.reason])
    });
    shown.insert("conflict".to_owned(), conflict.into());
    shown.insert("coupons".to_owned(), view.coupons.iter().map(CouponCode::as_str).collect());
    shown.insert("notes".to_owned(), serde_json::to_value(&view.notes).expect("notes are JSON"));
    shown.insert("orders".to_owned(), orders.collect::<Map<_, _>>().into());
    shown.insert("refusals".to_owned(), refusals.collect());
    shown.insert("totals".to_owned(), totals.into());
    shown
}
