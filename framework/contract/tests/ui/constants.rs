use serde::{Deserialize, Serialize};
use teneral_contract::{Answer, Message, State, Upcast, Wire};

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1, lock = "../../../tmp/locked.lock")]
struct Locked {
    lines: u64,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Answered {
    answer: Answer<u64>,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Twice {
    maybe: Option<Option<u8>>,
}

#[derive(Serialize, Deserialize, Wire)]
struct Old {
    amount: u64,
}

#[derive(Serialize, Deserialize, Wire)]
#[wire(upcast(Old))]
struct Same {
    amount: u64,
}

impl Upcast<Old> for Same {
    fn upcast(old: Old) -> Self {
        Self { amount: old.amount }
    }
}

type Sum = Old;

#[derive(Message)]
enum Aliased {
    Sum(Sum),
}

#[derive(Serialize, Deserialize, Wire)]
struct Weightless {
    items: Vec<()>,
}

#[derive(Message)]
enum Empty {
    Weightless(Weightless),
}

fn main() {}
