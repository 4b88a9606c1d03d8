use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use teneral_contract::{State, Wire};

type Renamed = HashMap<u8, u8>;

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Maps {
    by_name: HashMap<String, u64>,
}

#[derive(Serialize, Deserialize, Wire)]
struct Sets {
    names: std::collections::HashSet<String>,
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Hidden {
    behind_an_alias: Renamed,
    inside: Vec<HashSet<u8>>,
}

fn main() {}
