//! The contract map, over three versions of one actor: what it lets through, the code reads as what it was.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use teneral_contract::parts::{BodyParts, StateParts};
use teneral_contract::shape::{Fingerprint, variant_id};
use teneral_contract::{
    Contract, DecodeError, ManifestParts, Message, Refusal, Request, Route, Shape, State, Tag, Wire,
};

/// The first version.
mod v1 {
    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    pub(crate) struct Add {
        pub(crate) amount: u32,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    pub(crate) struct Total {
        pub(crate) total: u32,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Request)]
    #[reply(Total)]
    pub(crate) struct Get;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    pub(crate) struct Reset;

    #[derive(Debug, Clone, PartialEq, Message)]
    pub(crate) enum Message {
        Add(Add),
        Get(Get),
        Reset(Reset),
    }
}

/// Wider numbers, other order, no `Reset`.
mod v2 {
    use super::*;
    use teneral_contract::{Downcast, Upcast};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    #[wire(upcast(v1::Add))]
    pub(crate) struct Add {
        pub(crate) amount: u64,
    }

    impl Upcast<v1::Add> for Add {
        fn upcast(old: v1::Add) -> Self {
            Self { amount: old.amount.into() }
        }
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    #[wire(downcast(v1::Total))]
    pub(crate) struct Total {
        pub(crate) total: u64,
    }

    impl Downcast<v1::Total> for Total {
        fn downcast(&self) -> v1::Total {
            v1::Total { total: u32::try_from(self.total).unwrap_or(u32::MAX) }
        }
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Request)]
    #[reply(Total)]
    pub(crate) struct Get;

    #[derive(Debug, Clone, PartialEq, Message)]
    pub(crate) enum Message {
        Get(Get),
        Add(Add),
    }
}

/// Signed numbers, and only the first version's are still understood.
mod v3 {
    use super::*;
    use teneral_contract::Upcast;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Wire)]
    #[wire(upcast(v1::Add))]
    pub(crate) struct Add {
        pub(crate) amount: i64,
    }

    impl Upcast<v1::Add> for Add {
        fn upcast(old: v1::Add) -> Self {
            Self { amount: old.amount.into() }
        }
    }

    #[derive(Debug, Clone, PartialEq, Message)]
    pub(crate) enum Message {
        Add(Add),
    }
}

#[derive(Serialize, Deserialize, State)]
#[state(schema = 1)]
struct Nothing {}

fn contract<M: Message>() -> Contract {
    let parts = ManifestParts {
        abi: [1, 0],
        target: "x86_64-unknown-linux-gnu",
        panic: "unwind",
        compiler: "",
        kind: "sum",
        version: "1.0.0",
        state: StateParts::of::<Nothing>(&[], &[]),
        args: BodyParts::of::<()>(),
        messages: M::VARIANTS,
        requires: &[],
        capabilities: &[],
        deterministic: false,
        blocking: false,
    };
    Contract::new(&parts.manifest().expect("valid"))
}

fn body<T: Wire>(value: &T) -> (Tag, Vec<u8>) {
    let mut bytes = Vec::new();
    value.encode_as(T::FINGERPRINT, &mut bytes).expect("encodes");
    (T::tag(), bytes)
}

/// What the code of `M` makes of a waiting body.
fn delivered<M: Message>((tag, bytes): &(Tag, Vec<u8>)) -> Result<(Route, M), Refusal> {
    let route = contract::<M>().resolve(*tag)?;
    Ok((route, M::decode(route.index(), tag.fingerprint, bytes).expect("the map let it through")))
}

#[test]
fn the_same_shape_passes_under_its_own_index() {
    let get = body(&v1::Get);
    assert_eq!(delivered(&get), Ok((Route::Same(1), v1::Message::Get(v1::Get))));
    assert_eq!(delivered(&get), Ok((Route::Same(0), v2::Message::Get(v2::Get))));
}

#[test]
fn an_older_shape_is_up_cast_where_there_is_a_path() {
    let add = body(&v1::Add { amount: 7 });
    assert_eq!(delivered(&add), Ok((Route::Upcast(1), v2::Message::Add(v2::Add { amount: 7 }))));
    assert_eq!(delivered(&add), Ok((Route::Upcast(0), v3::Message::Add(v3::Add { amount: 7 }))));
}

#[test]
fn a_shape_without_a_path_is_refused_though_its_bytes_would_fit() {
    // u64 and i64 take eight bytes each: only the map keeps one from being read as the other.
    let add = body(&v2::Add { amount: u64::MAX });
    let (own, found) = (v3::Add::FINGERPRINT, v2::Add::FINGERPRINT);
    assert_eq!(delivered::<v3::Message>(&add), Err(Refusal::UnknownShape { name: "Add".into(), own, found }));
    let refused = v3::Message::decode(0, add.0.fingerprint, &add.1);
    assert_eq!(refused, Err(DecodeError::Shape { expected: own, found }));
}

#[test]
fn a_newer_shape_is_refused_by_older_code() {
    let add = body(&v2::Add { amount: 7 });
    assert!(matches!(delivered::<v1::Message>(&add), Err(Refusal::UnknownShape { .. })));
}

#[test]
fn a_variant_that_is_gone_is_refused_by_its_id() {
    let reset = body(&v1::Reset);
    assert_eq!(delivered::<v2::Message>(&reset), Err(Refusal::UnknownMessage(variant_id("Reset"))));
}

#[test]
fn a_reply_reaches_every_caller_that_it_can_be_written_for() {
    let contract = contract::<v2::Message>();
    let Ok(route) = contract.resolve(v1::Get::tag()) else { panic!("the same shape") };
    let reply = contract.reply(route.index()).expect("a request");
    assert!(reply.reach(v2::Total::FINGERPRINT) && reply.reach(v1::Total::FINGERPRINT));
    assert!(!reply.reach(Fingerprint::NONE) && contract.reply(1).is_none());
}

#[test]
fn names_are_found_by_index_and_by_id() {
    let contract = contract::<v2::Message>();
    assert_eq!(contract.names().collect::<Vec<_>>(), ["Get", "Add"]);
    assert_eq!((contract.name(1), contract.name(2)), (Some("Add"), None));
    assert_eq!((contract.name_of(variant_id("Get")), contract.name_of(1)), (Some("Get"), None));
}
