//! The shapes of the standard library's types, and [`Bytes`].
//!
//! A type is here when equal values have equal bytes in both codecs and its serde form has been the same for years.
//! `HashMap`, `HashSet` and `BinaryHeap` are not: they have no order. A name that is written here is kept for good.

use crate::addr::Addr;
use crate::answer::AskError;
use crate::shape::{Node, Shape};
use crate::wire::Wire;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

/// A byte string. `Vec<u8>` may be written too, but in a state it is twice as slow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Bytes(#[serde(with = "serde_bytes")] pub Vec<u8>);

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

macro_rules! leaf {
    ($($ty:ty => $name:literal),* $(,)?) => {$(
        impl Shape for $ty {
            const NODE: &'static Node = &Node::Leaf($name);
        }
        impl Wire for $ty {
            const NAME: &'static str = $name;
        }
    )*};
}

leaf! {
    bool => "bool", char => "char",
    u8 => "u8", u16 => "u16", u32 => "u32", u64 => "u64", u128 => "u128", usize => "usize",
    i8 => "i8", i16 => "i16", i32 => "i32", i64 => "i64", i128 => "i128", isize => "isize",
    f32 => "f32", f64 => "f64",
    () => "unit", String => "string", Box<str> => "string", Bytes => "bytes", Addr => "addr",
    Duration => "duration", SystemTime => "time",
    IpAddr => "ip", Ipv4Addr => "ipv4", Ipv6Addr => "ipv6", SocketAddr => "socket",
    AskError => "ask-error/1",
}

macro_rules! node {
    ($($ty:ty, $name:literal, [$($param:ident),*], $node:expr;)*) => {$(
        impl<$($param: Shape),*> Shape for $ty {
            const NODE: &'static Node = $node;
        }
        impl<$($param: Wire),*> Wire for $ty
        where
            $ty: Serialize + DeserializeOwned,
        {
            const NAME: &'static str = $name;
        }
    )*};
}

node! {
    Option<T>, "option", [T], &Node::Option(T::NODE);
    Result<T, E>, "result", [T, E], &Node::Result(T::NODE, E::NODE);
    Box<T>, "box", [T], T::NODE;
    Vec<T>, "seq", [T], &Node::Seq(T::NODE);
    VecDeque<T>, "seq", [T], &Node::Seq(T::NODE);
    Box<[T]>, "seq", [T], &Node::Seq(T::NODE);
    BTreeMap<K, V>, "map", [K, V], &Node::Map(K::NODE, V::NODE);
    BTreeSet<T>, "set", [T], &Node::Set(T::NODE);
    (A,), "tuple", [A], &Node::Tuple(&[A::NODE]);
    (A, B), "tuple", [A, B], &Node::Tuple(&[A::NODE, B::NODE]);
    (A, B, C), "tuple", [A, B, C], &Node::Tuple(&[A::NODE, B::NODE, C::NODE]);
    (A, B, C, D), "tuple", [A, B, C, D], &Node::Tuple(&[A::NODE, B::NODE, C::NODE, D::NODE]);
    (A, B, C, D, E), "tuple", [A, B, C, D, E], &Node::Tuple(&[A::NODE, B::NODE, C::NODE, D::NODE, E::NODE]);
    (A, B, C, D, E, F), "tuple", [A, B, C, D, E, F],
        &Node::Tuple(&[A::NODE, B::NODE, C::NODE, D::NODE, E::NODE, F::NODE]);
}

impl<T: Shape, const N: usize> Shape for [T; N] {
    const NODE: &'static Node = &Node::Array(T::NODE, N);
}

impl<T: Wire, const N: usize> Wire for [T; N]
where
    [T; N]: Serialize + DeserializeOwned,
{
    const NAME: &'static str = "array";
}
