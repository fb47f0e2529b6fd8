use super::*;

fn cart(n: u8) -> Cart {
    Cart::create(ActorId::from_bytes([n; 16]))
}

fn tea() -> Line {
    Line::of(&Sku::new("tea").unwrap())
}

fn some(n: u32) -> Quantity {
    Quantity::new(n).unwrap()
}

fn meet(left: &mut Cart, right: &mut Cart) {
    left.merge(right).unwrap();
    right.merge(left).unwrap();
    assert_eq!(left.view(), right.view());
}

#[test]
fn two_adds_are_two() {
    let (mut phone, mut laptop) = (cart(1), cart(2));
    phone.add(&tea(), some(2)).unwrap();
    laptop.add(&tea(), some(3)).unwrap();
    meet(&mut phone, &mut laptop);
    assert_eq!(phone.view().quantity(&tea()), 5);
}

#[test]
fn a_peer_that_received_only_the_first_add_removes_only_that() {
    let (mut phone, mut laptop) = (cart(1), cart(2));
    phone.add(&tea(), some(1)).unwrap();
    let first = phone.document().changes_since(&[]);
    phone.add(&tea(), some(2)).unwrap();
    laptop.apply(first).unwrap();
    laptop.remove(&tea()).unwrap();
    meet(&mut phone, &mut laptop);
    assert_eq!(phone.view().quantity(&tea()), 2);
}

#[test]
fn a_suspended_cart_goes_on_where_it_was() {
    let mut document = Document::new(ActorId::from_bytes([1; 16]));
    let mut borrowed = Cart::open(&mut document).unwrap();
    borrowed.add(&tea(), some(2)).unwrap();
    let (_, state) = borrowed.suspend();
    let mut elsewhere = Cart::open(&mut document).unwrap();
    elsewhere.add(&tea(), some(3)).unwrap();
    let resumed = Cart::resume(&mut document, state);
    assert_eq!(resumed.view().quantity(&tea()), 5);
}

#[test]
fn an_operation_tells_what_it_changed() {
    let mut cart = cart(1);
    cart.add(&tea(), some(2)).unwrap();
    let operation = cart.save(&tea()).unwrap();
    let told: Vec<_> =
        operation.changes.iter().map(|change| (change.list.as_str(), change.before, change.after)).collect();
    assert_eq!(told, [("cart", 2, 0), ("saved", 0, 2)]);
    assert!(operation.id.is_some_and(|id| cart.document().contains(&id)));
    assert_eq!(cart.remove(&tea()).unwrap(), Operation::default());
}

#[test]
fn a_document_of_another_kind_is_no_cart() {
    let mut document = Document::new(ActorId::from_bytes([1; 16]));
    Kind::Enrollment.declare(&mut document);
    assert!(Cart::open(&mut document).is_err());
    assert!(matches!(cart(2).adopt(&mut document), Err(CartError::WrongKind(_))));
}
