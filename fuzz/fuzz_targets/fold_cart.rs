//! Whatever hostile clients write into a cart, honest devices fold it alike: no panic, the view that was kept fresh is
//! the view read from scratch, what counts for nothing is told, and collecting garbage is seen by nobody.

#![no_main]

use crdt_core::authority::{AuthorityKey, Role, Statement, TrustSet};
use crdt_core::cart::{Cart, CheckoutId, CouponCode, Line, ListName, NoteScope, Quantity};
use crdt_core::document::Document;
use crdt_core::id::{ActorId, ChangeHash};
use crdt_core::kind::Kind;
use crdt_core::validate;
use fuzz::bytes::Bytes;
use fuzz::client::{Client, some_key, some_text};
use libfuzzer_sys::fuzz_target;

const STEPS_MAX: usize = 96;
const LINES: [&str; 4] = ["tea", "shirt?size=M", "a%2fb", "tea?"];
const LISTS: [&str; 4] = ["cart", "saved", "later", ""];
const ACTORS: [u8; 4] = [1, 2, 11, 12];

fuzz_target!(|input: &[u8]| {
    let mut bytes = Bytes::new(input);
    let mut carts = [1, 2].map(|n| open(declared(n)));
    let mut clients = [11, 12].map(Client::new);
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        step(&mut bytes, &mut carts, &mut clients);
    }
    let [phone, laptop] = &mut carts;
    for client in &mut clients {
        client.give_to(phone.document_mut());
    }
    phone.refresh();
    phone.merge(laptop).expect("honest devices merge");
    laptop.merge(phone).expect("honest devices merge");
    assert_eq!(phone.view(), laptop.view());
    for cart in [phone, laptop] {
        check(cart);
    }
});

fn step(bytes: &mut Bytes<'_>, carts: &mut [Cart; 2], clients: &mut [Client; 2]) {
    let (at, of) = (bytes.below(2), bytes.below(2));
    let client = &mut clients[of];
    match bytes.below(12) {
        0..=4 => {
            let key = key(bytes, &carts[at]);
            match bytes.below(12) {
                0 => client.delete(&key),
                1 => client.put_odd(&key, bytes),
                _ => client.put(&key, &value(bytes, &key, &carts[at])),
            }
        }
        5 => {
            client.give_to(carts[at].document_mut());
            carts[at].refresh();
        }
        6 => client.take_from(carts[at].document_mut()),
        7 => {
            let [phone, laptop] = carts;
            let (one, other) = if at == 0 { (phone, laptop) } else { (laptop, phone) };
            one.merge(other).expect("honest devices merge");
        }
        8 => {
            let bytes = carts[at].document().save();
            let device = u8::try_from(at + 1).expect("one of two");
            carts[at] = open(Document::load(&bytes, actor(device)).expect("we saved it"));
        }
        9 => {
            let before = carts[at].view().clone();
            carts[at].gc().expect("collecting garbage never fails");
            assert_eq!(carts[at].view(), &before, "collecting garbage is seen by nobody");
        }
        _ => act(bytes, &mut carts[at]),
    }
}

/// What somebody honest does; a refusal is an answer like any other.
fn act(bytes: &mut Bytes<'_>, cart: &mut Cart) {
    let line: Line = LINES[bytes.below(3)].parse().expect("a line");
    let list = ListName::new(LISTS[bytes.below(3)]).expect("a list");
    let units = Quantity::new(u32::from(bytes.byte() % 5) + 1).expect("a few");
    let order = CheckoutId::new(["o1", "o2"][bytes.below(2)]).expect("an id");
    let operation = some_change(bytes, cart.document());
    let outcome = match bytes.below(16) {
        0 | 1 => cart.list(list).add(&line, units),
        2 => cart.list(list).take(&line, units),
        3 => cart.list(list).set(&line, units),
        4 => cart.list(list).remove(&line),
        5 => cart.list(list).clear(),
        6 => cart.save(&line),
        7 => cart.unsave(&line),
        8 => cart.coupon(&CouponCode::new("vip").expect("a code")),
        9 => cart.uncoupon(&CouponCode::new("vip").expect("a code")),
        10 => cart.note(&NoteScope::new("cart").expect("a scope"), "ring twice"),
        11 => cart.checkout(&order),
        12 => cart.cancel(&order),
        13 => cart.confirm(&order, &shop()),
        14 => cart.reject(&order, "sold out", &shop()),
        _ => match operation {
            Some(operation) if units.get() > 3 => cart.refuse(&operation, "no", &shop()),
            Some(operation) => cart.undo(&operation),
            None => return,
        },
    };
    if let Ok(done) = outcome {
        assert!(done.id.is_some() || done.changes.is_empty(), "what changes something has a name");
    }
}

fn some_change(bytes: &mut Bytes<'_>, document: &Document) -> Option<ChangeHash> {
    let changes = document.changes_since(&[]);
    let chosen = bytes.below(changes.len());
    changes.get(chosen).map(|change| change.hash())
}

/// A key of ours with something odd in it, one that is there, or anything.
fn key(bytes: &mut Bytes<'_>, cart: &Cart) -> String {
    let line = LINES[bytes.below(4)];
    match bytes.below(14) {
        0..=2 => format!("q/{line}/{}", dot(bytes, cart)),
        3 => format!("cap/{line}/{}", dot(bytes, cart)),
        4 => format!("at/{line}/{}", dot(bytes, cart)),
        5 => format!("c/{}/{}", bytes.one_of(&["VIP", "vip", ""]), dot(bytes, cart)),
        6 => format!("n/{}", bytes.one_of(&["cart", "a%2fb", "%"])),
        7 => format!("co/{}", bytes.one_of(&["o1", "o2"])),
        8 => format!(
            "cs/{}/{}",
            bytes.one_of(&["o1", "o2"]),
            bytes.one_of(&["confirmed", "rejected", "cancelled", "x"])
        ),
        9 => format!("x/{}", dot(bytes, cart)),
        10 => match some_change(bytes, cart.document()) {
            Some(hash) => format!("un/{hash}"),
            None => "@/kind".to_owned(),
        },
        11 | 12 => some_key(cart.document(), bytes).unwrap_or_default(),
        _ => bytes.junk(),
    }
}

/// A dot that is in use, or could be.
fn dot(bytes: &mut Bytes<'_>, cart: &Cart) -> String {
    if bytes.rarely(3)
        && let Some(key) = some_key(cart.document(), bytes)
        && let Some((_, dot)) = key.rsplit_once('/')
    {
        return dot.to_owned();
    }
    let counter = match bytes.byte() {
        255 => "18446744073709551615".to_owned(),
        254 => "99999999999".to_owned(),
        253 => "007".to_owned(),
        other => (other % 32).to_string(),
    };
    format!("{counter}.{}", actor(ACTORS[bytes.below(4)]))
}

fn dots(bytes: &mut Bytes<'_>, cart: &Cart) -> String {
    let many = if bytes.rarely(16) { 80 } else { bytes.below(4) };
    let dots: Vec<_> = (0..many).map(|_| format!("\"{}\"", dot(bytes, cart))).collect();
    dots.join(",")
}

/// What might stand under such a key, mostly.
fn value(bytes: &mut Bytes<'_>, key: &str, cart: &Cart) -> String {
    match bytes.below(12) {
        0 => return bytes.junk(),
        1 => return some_text(cart.document(), bytes).unwrap_or_default(),
        _ => {}
    }
    let n = bytes.number();
    match key.split('/').next().unwrap_or_default() {
        "q" => {
            let (kind, list) = (bytes.one_of(&["add", "set", "sub"]), LISTS[bytes.below(4)]);
            let mut fields = vec![format!("\"k\":\"{kind}\",\"l\":\"{list}\",\"n\":{n}")];
            if bytes.rarely(2) {
                fields.push(format!("\"on\":[{}]", dots(bytes, cart)));
            }
            if bytes.rarely(3) {
                fields.push(format!("\"of\":[{}]", dots(bytes, cart)));
            }
            if bytes.rarely(3) {
                fields.push(format!(
                    "\"re\":{{\"dot\":\"{}\",\"from\":{}}}",
                    dot(bytes, cart),
                    bytes.number()
                ));
            }
            if bytes.rarely(4) {
                fields.push(format!("\"p\":{{\"currency\":\"EUR\",\"minor\":{}}}", bytes.number()));
            }
            format!("{{{}}}", fields.join(","))
        }
        "cap" => n,
        "at" | "n" => format!("\"{}\"", LISTS[bytes.below(4)]),
        "co" => {
            let units: Vec<_> =
                (0..bytes.below(4)).map(|_| format!("\"{}\":{}", dot(bytes, cart), bytes.number())).collect();
            format!(
                "{{\"lines\":{{\"{}\":{{\"n\":{n},\"units\":{{{}}}}}}}}}",
                LINES[bytes.below(4)],
                units.join(",")
            )
        }
        "cs" | "x" => signed(bytes, key, cart),
        _ => "{}".to_owned(),
    }
}

/// A decision about the order or the fact that the key names, by somebody trusted or not.
fn signed(bytes: &mut Bytes<'_>, key: &str, cart: &Cart) -> String {
    let by = if bytes.rarely(4) { AuthorityKey::from_seed([66; 32]) } else { shop() };
    let subject = key.split('/').nth(1).unwrap_or_default();
    let content = subject.parse().ok().and_then(|id: CheckoutId| cart.order_hash(&id)).unwrap_or_default();
    let fact = some_key(cart.document(), bytes).unwrap_or_default();
    let body = serde_json::json!({"fact": fact, "order": content, "reason": bytes.junk()});
    by.sign(&Statement { kind: "cart", subject, key }, &body)
}

fn check(cart: &Cart) {
    let saved = cart.document().save();
    let scratch = open(Document::load(&saved, actor(9)).expect("we saved it"));
    assert_eq!(cart.view(), scratch.view(), "kept fresh is read from scratch");
    let inert = cart.inert();
    assert_eq!(inert, scratch.inert());
    for (key, values) in cart.document().scan("") {
        let foreign = values.iter().all(|value| value.as_text().is_none());
        let told = inert.facts().iter().any(|fact| key.starts_with(&*fact.key)) || inert.more() > 0;
        assert!(told || !foreign || key == "@/kind" || key.starts_with("un/"), "{key} is not told of");
    }
    drop(validate::cart(cart));
    serde_json::to_string(cart.view()).expect("a view is JSON");
}

fn declared(n: u8) -> Document {
    let mut document = Document::new(actor(n));
    Kind::Cart.declare(&mut document);
    document
}

fn open(document: Document) -> Cart {
    let mut cart = Cart::open(document).expect("once declared, always a cart");
    let mut trust = TrustSet::default();
    trust.trust(shop().public(), Role::System);
    cart.set_trust(trust);
    cart
}

fn shop() -> AuthorityKey {
    AuthorityKey::from_seed([7; 32])
}

fn actor(n: u8) -> ActorId {
    ActorId::from_bytes([n; 16])
}
