//! Reads bincode 2's fixed-integer layout, which bincode writes, without trusting it.
//!
//! bincode's own reader allocates what a length claims before it looks whether so much is there, and recurses as deep
//! as the bytes say. Here a length is compared with what is left, text is borrowed, and depth has a bound. Golden bytes
//! and property tests hold the two to one layout.

use super::{DEPTH_MAX, DecodeError};
use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};
use std::fmt;

/// What an item is taken to weigh when a collection reserves room by the length that is claimed: a `u64`, or the length
/// of a text. Lighter items make it grow as it is filled.
const ITEM_BYTES: usize = 8;

/// What is left to read, and how deep the reader stands.
#[derive(Debug)]
pub(super) struct Reader<'de> {
    rest: &'de [u8],
    depth: usize,
    /// Items that may still be promised to collections, so that lengths inside lengths do not multiply.
    promised_max: usize,
}

/// Why the bytes are no such value. Boxed, so that results of small values travel in registers.
#[derive(Debug)]
pub(super) struct Wrong(Box<DecodeError>);

impl Wrong {
    #[cold]
    pub(super) fn malformed(text: impl Into<String>) -> Self {
        Self(Box::new(DecodeError::Malformed(text.into())))
    }
}

impl From<Wrong> for DecodeError {
    fn from(wrong: Wrong) -> Self {
        *wrong.0
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    #[cold]
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::malformed(text.to_string())
    }
}

impl<'de> Reader<'de> {
    #[inline]
    pub(super) const fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes, depth: 0, promised_max: bytes.len() / ITEM_BYTES }
    }

    /// How many bytes are left.
    #[inline]
    pub(super) const fn left(&self) -> usize {
        self.rest.len()
    }

    #[inline(always)]
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| ends(N, self.rest.len()))?;
        self.rest = rest;
        Ok(*head)
    }

    /// A length that the bytes left can hold, each item taking at least one. That items take none is ruled out where
    /// shapes are made.
    #[inline]
    pub(super) fn len(&mut self) -> Result<usize, Wrong> {
        let claimed = u64::from_le_bytes(self.take()?);
        match usize::try_from(claimed) {
            Ok(len) if len <= self.rest.len() => Ok(len),
            _ => Err(too_long(claimed, self.rest.len())),
        }
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'de [u8], Wrong> {
        let len = self.len()?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| ends(len, self.rest.len()))?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<&'de str, Wrong> {
        std::str::from_utf8(self.bytes()?).map_err(|error| Wrong::malformed(format!("no UTF-8: {error}")))
    }

    #[inline]
    pub(super) fn character(&mut self) -> Result<char, Wrong> {
        let width = match self.rest.first() {
            Some(0..0x80) => 1,
            Some(0xc2..0xe0) => 2,
            Some(0xe0..0xf0) => 3,
            Some(0xf0..0xf5) => 4,
            _ => return Err(Wrong::malformed("no character")),
        };
        let (head, rest) = self.rest.split_at_checked(width).ok_or_else(|| ends(width, self.rest.len()))?;
        let text = std::str::from_utf8(head).map_err(|error| Wrong::malformed(format!("no UTF-8: {error}")))?;
        self.rest = rest;
        text.chars().next().ok_or_else(|| Wrong::malformed("no character"))
    }

    #[inline]
    pub(super) fn truth(&mut self, what: &str) -> Result<bool, Wrong> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Wrong::malformed(format!("{other} where {what} is 0 or 1"))),
        }
    }

    /// Reads one level further down.
    #[inline(always)]
    pub(super) fn below<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Wrong>) -> Result<T, Wrong> {
        if self.depth == DEPTH_MAX {
            return Err(Wrong(Box::new(DecodeError::Depth)));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    #[inline(always)]
    fn items<V: Visitor<'de>>(&mut self, left: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.below(|reader| visitor.visit_seq(Items { reader, left, promised: left }))
    }

    /// How many of `len` items a collection may reserve room for.
    #[inline]
    fn promise(&mut self, len: usize) -> usize {
        let promised = len.min(self.promised_max);
        self.promised_max -= promised;
        promised
    }
}

#[cold]
fn too_long(claimed: u64, left: usize) -> Wrong {
    Wrong::malformed(format!("a length of {claimed}, but {left} bytes are left"))
}

#[cold]
fn ends(wanted: usize, left: usize) -> Wrong {
    Wrong::malformed(format!("the bytes end: {wanted} wanted, {left} left"))
}

macro_rules! numbers {
    ($($method:ident $visit:ident $ty:ty;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            visitor.$visit(<$ty>::from_le_bytes(self.take()?))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Wrong;

    numbers! {
        deserialize_u8 visit_u8 u8; deserialize_u16 visit_u16 u16; deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64; deserialize_u128 visit_u128 u128;
        deserialize_i8 visit_i8 i8; deserialize_i16 visit_i16 i16; deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64; deserialize_i128 visit_i128 i128;
        deserialize_f32 visit_f32 f32; deserialize_f64 visit_f64 f64;
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_bool(self.truth("a bool")?)
    }

    #[inline]
    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_char(self.character()?)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_borrowed_str(self.text()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_borrowed_bytes(self.bytes()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if self.truth("an option")? { self.below(|reader| visitor.visit_some(reader)) } else { visitor.visit_none() }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Wrong> {
        self.below(|reader| visitor.visit_newtype_struct(reader))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let left = self.len()?;
        let promised = self.promise(left);
        self.below(|reader| visitor.visit_seq(Items { reader, left, promised }))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.items(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.items(len, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let left = self.len()?;
        let promised = self.promise(left);
        self.below(|reader| visitor.visit_map(Items { reader, left, promised }))
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.items(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        self.below(|reader| visitor.visit_enum(reader))
    }

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::malformed("the layout does not say what comes: the type has to"))
    }

    #[inline]
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }

    #[inline]
    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_any(visitor)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The items of a sequence, a struct or a map.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    left: usize,
    promised: usize,
}

impl Items<'_, '_> {
    #[inline(always)]
    fn next(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Wrong;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        if self.next() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.promised)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Wrong;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Wrong> {
        if self.next() { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Wrong> {
        seed.deserialize(&mut *self.reader)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.promised)
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'de> {
    type Error = Wrong;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Wrong> {
        let place = u32::from_le_bytes(self.take()?);
        let value = seed.deserialize(de::value::U32Deserializer::<Wrong>::new(place))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'de> {
    type Error = Wrong;

    #[inline]
    fn unit_variant(self) -> Result<(), Wrong> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Wrong> {
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Wrong> {
        self.items(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Wrong> {
        self.items(fields.len(), visitor)
    }
}
