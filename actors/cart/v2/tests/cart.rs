//! What cart 2.0.0 does, and what of 1.0.0 it understands.
#![forbid(unsafe_code)]

use cart_api::{Cart, Open, Put, View, v1};
use cart_v2::Basket;
use teneral_actor::{Actor, about, engine};
use teneral_testkit::contract::{Shape, Wire, codec};
use teneral_testkit::run;

const ABOUT: teneral_actor::About<Basket> = about!(Basket, kind = "cart", from = [v1::Basket], down = [v1::Basket]);

#[test]
fn a_piece_earns_a_point() {
    let mut cart = Basket::init(Open {}).expect("starts");
    let tea = Put { item: "tea".into(), pieces: 2, note: Some("a gift".into()) };
    let seen: Cart = run(&mut cart, tea).expect("puts").reply();
    assert_eq!(seen, Cart { items: [("tea".to_owned(), 2)].into(), points: 2 });
}

#[test]
fn a_cart_of_schema_1_earns_its_points_and_goes_down_again_whole() {
    let mut old = Vec::new();
    let items = [("tea".to_owned(), 2), ("cup".to_owned(), 1)].into();
    codec::encode_state(&v1::Basket { items }, &mut old).expect("encodes");
    let mut cart = engine::restore(&ABOUT, 1, &old).expect("migrates");
    assert_eq!(run(&mut cart, View {}).expect("answers").reply::<Cart>().points, 3);

    let (mut new, mut down) = (Vec::new(), Vec::new());
    engine::save(&cart, &mut new).expect("saves");
    engine::downgrade(&ABOUT, &new, 1, &mut down).expect("goes down");
    assert_eq!(down, old);
}

#[test]
fn a_put_of_yesterday_is_upcast_and_its_caller_gets_a_cart_of_yesterday() {
    let mut body = Vec::new();
    codec::encode(&v1::Put { item: "tea".into(), pieces: 3 }, &mut body).expect("encodes");
    let put = Put::decode(v1::Put::FINGERPRINT, &body).expect("upcasts");
    assert_eq!((put.item.as_str(), put.pieces, put.note), ("tea", 3, None));

    let (mut reply, items) = (Vec::new(), [("tea".to_owned(), 3)].into());
    Cart { items, points: 3 }.encode_as(v1::Cart::FINGERPRINT, &mut reply).expect("downcasts");
    let cart = v1::Cart::decode(v1::Cart::FINGERPRINT, &reply).expect("decodes");
    assert_eq!(cart.items, [("tea".to_owned(), 3)].into());
}
