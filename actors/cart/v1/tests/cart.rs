//! What cart 1.0.0 does.
#![forbid(unsafe_code)]

use cart_api::{Open, v1};
use cart_v1::Basket;
use teneral_actor::Actor;
use teneral_testkit::run;

fn put(item: &str, pieces: u32) -> v1::Put {
    v1::Put { item: item.into(), pieces }
}

#[test]
fn a_cart_adds_up_the_pieces_of_each_item() {
    let mut cart = Basket::init(Open {}).expect("starts");
    run(&mut cart, put("tea", 2)).expect("puts");
    run(&mut cart, put("cup", 1)).expect("puts");
    let seen: v1::Cart = run(&mut cart, put("tea", 3)).expect("puts").reply();
    assert_eq!(seen.items, [("cup".to_owned(), 1), ("tea".to_owned(), 5)].into());
}

#[test]
fn no_pieces_are_an_error_and_change_nothing() {
    let mut cart = Basket::init(Open {}).expect("starts");
    assert!(run(&mut cart, put("tea", 0)).is_err());
    assert!(run(&mut cart, v1::View {}).expect("answers").reply::<v1::Cart>().items.is_empty());
}
