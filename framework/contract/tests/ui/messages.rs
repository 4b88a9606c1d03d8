use serde::{Deserialize, Serialize};
use teneral_contract::{Message, Wire};

#[derive(Serialize, Deserialize, Wire)]
struct Add {
    amount: u64,
}

#[derive(Message)]
enum Inline {
    Add { amount: u64 },
}

#[derive(Message)]
enum Bare {
    Add,
}

#[derive(Message)]
enum OtherName {
    Sum(Add),
}

#[derive(Message)]
enum Two {
    Add(Add, Add),
}

#[derive(Message)]
struct NoEnum(Add);

#[derive(Message)]
enum Generic<T> {
    Add(T),
}

fn main() {}
