use serde::{Deserialize, Serialize};
use teneral_contract::{Request, Shape, State, Wire};

#[derive(Serialize, Deserialize, Wire)]
struct Borrowed<'a> {
    text: &'a str,
}

#[derive(Shape)]
union Either {
    a: u8,
    b: i8,
}

#[derive(Shape)]
struct Opaque(#[shape(opaque = "uuid")] u128);

#[derive(Shape)]
struct NotRecursive(#[shape(recursive)] Vec<u8>);

#[derive(Shape)]
struct Hidden(Elsewhere<Hidden>);

#[derive(Serialize, Deserialize, Request)]
struct Unanswered;

#[derive(Serialize, Deserialize, State)]
struct Unnumbered {}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 0)]
struct Zero {}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Generic<T> {
    field: T,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1, lock = "no/such.lock")]
struct Unlocked {}

#[derive(Serialize, Deserialize, Wire)]
#[wire(upcast(Unanswered))]
struct GenericCast<T> {
    field: T,
}

fn main() {}
