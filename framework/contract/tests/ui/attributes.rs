use serde::{Deserialize, Serialize};
use teneral_contract::{Shape, State, Wire};

#[derive(Serialize, Deserialize, Wire)]
struct Skipped {
    #[serde(skip)]
    field: u8,
}

#[derive(Serialize, Deserialize, Wire)]
struct SkippedSometimes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<u8>,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct SkippedInState {
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<u8>,
}

#[derive(Serialize, Deserialize, Wire)]
struct Flat {
    #[serde(flatten)]
    field: Inner,
}

#[derive(Serialize, Deserialize, Shape)]
#[serde(rename_all = "camelCase")]
struct Inner {
    some_field: u8,
}

#[derive(Serialize, Deserialize, Wire)]
#[serde(tag = "kind")]
enum Tagged {
    A { a: u8 },
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
#[serde(untagged)]
enum Untagged {
    A { a: u8 },
}

#[derive(Serialize, Deserialize, Wire)]
struct Defaulted {
    #[serde(default)]
    field: u8,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct With {
    #[serde(with = "elsewhere")]
    field: u8,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct WithBytes {
    #[serde(with = "serde_bytes")]
    field: Box<[u8]>,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Aliased {
    #[serde(alias = "old")]
    field: u8,
}

#[derive(Serialize, Deserialize, Wire)]
#[serde(transparent)]
struct Transparent {
    field: u8,
}

fn main() {}
