//! Two devices fill one cart, lose each other, go on, and meet again. Run it with `cargo xtask demo`.

use anyhow::Result;
use crdt_core::cart::{Cart, Line, ListName, Quantity, Sku};
use crdt_core::id::ActorId;

fn main() -> Result<()> {
    // A real application draws its actors at random, one for each device.
    let mut phone = Cart::create(ActorId::from_bytes([1; 16]));
    let mut laptop = Cart::create(ActorId::from_bytes([2; 16]));
    let tea = Line::of(&Sku::new("tea")?);
    let mugs = Line::of(&Sku::new("mugs")?);
    let honey = Line::of(&Sku::new("honey")?);

    heading("Online: both see the same cart");
    phone.add(&tea, Quantity::new(3)?)?;
    phone.add(&mugs, Quantity::new(2)?)?;
    laptop.merge(&mut phone)?;
    tell("phone adds 3 tea, 2 mugs", "laptop looks on", &phone, &laptop);

    heading("The network goes away. Both go on");
    phone.remove(&tea)?;
    laptop.add(&tea, Quantity::new(1)?)?;
    tell("phone removes the tea", "laptop adds 1 tea", &phone, &laptop);
    phone.set(&mugs, Quantity::new(4)?)?;
    laptop.set(&mugs, Quantity::new(6)?)?;
    tell("phone wants 4 mugs", "laptop wants 6 mugs", &phone, &laptop);
    phone.add(&honey, Quantity::new(1)?)?;
    laptop.add(&honey, Quantity::new(1)?)?;
    tell("phone adds 1 honey", "laptop adds 1 honey", &phone, &laptop);

    heading("They meet again");
    phone.merge(&mut laptop)?;
    laptop.merge(&mut phone)?;
    tell("phone", "laptop", &phone, &laptop);
    assert_eq!(phone.view(), laptop.view(), "whoever merges, everyone sees the same");

    println!();
    println!("  tea    the three that the phone removed are gone; the one it had not seen stays");
    println!(
        "  mugs   two typed quantities are rivals: the larger counts, both are shown until someone decides"
    );
    println!("  honey  two adds are two");
    Ok(())
}

fn heading(text: &str) {
    println!("\n{text}");
}

/// One moment: what was done on each device, and what each shows.
fn tell(on_phone: &str, on_laptop: &str, phone: &Cart, laptop: &Cart) {
    for (left, right) in [(on_phone, on_laptop), (&screen(phone), &screen(laptop))] {
        println!("  {left:36}{right}");
    }
}

/// The list `cart` as one line of text.
fn screen(cart: &Cart) -> String {
    let Some(list) = cart.view().lists.get(&ListName::cart()) else { return "│ nothing".to_owned() };
    let lines = list.lines.iter().map(|(line, shown)| {
        let rivals: Vec<_> = shown.conflict.iter().map(ToString::to_string).collect();
        let rivals = if rivals.is_empty() { String::new() } else { format!(" ({}?)", rivals.join(" or ")) };
        format!("{} {line}{rivals}", shown.quantity)
    });
    format!("│ {}", lines.collect::<Vec<_>>().join(", "))
}
