//! Attributes: which of serde's keep the written form, and which of our own are there.
//!
//! Messages are positional and state must be equal bytes for equal values, so a serde attribute stays only when the
//! bytes and the names are the same with and without it. The rest is refused with what to write instead.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Attribute, Error, LitStr, Meta, MetaNameValue, Path, Result, Token, Type, punctuated::Punctuated};

/// Where a type stands, which decides what may be missing from its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// In a message: nothing is ever missing.
    Message,
    /// In a state, or unknown: `#[serde(default)]` changes nothing that is written.
    Anywhere,
}

const ADVICE: &[(&[&str], &str)] = &[
    (
        &["skip", "skip_serializing", "skip_deserializing"],
        "leaves a field out, and the codecs need every field: keep what is not written outside of this type",
    ),
    (
        &["skip_serializing_if"],
        "leaves a field out of some values, and the codecs need every field: write `Option<T>`, whose `None` takes \
         one byte",
    ),
    (&["flatten"], "hides the inner fields from the shape: write the inner struct as a field"),
    (
        &["tag", "content", "untagged"],
        "needs a codec that describes itself: remove it, an enum is written by its own variants",
    ),
    (
        &["rename", "rename_all", "rename_all_fields"],
        "writes another name than the shape holds: give it the name that shall be written",
    ),
    (
        &["alias", "other"],
        "reads bytes of another shape: keep the older type and write `Upcast` (message) or `Migrate` (state)",
    ),
    (
        &["default"],
        "promises that a field may be missing, which it never is in a message: keep the older type and write `Upcast`",
    ),
    (
        &["with", "serialize_with", "deserialize_with", "from", "into", "try_from", "remote", "getter"],
        "hides the written form from the shape: name that form with `#[shape(opaque = \"name/1\")]`, or for bytes \
         write `#[serde(with = \"serde_bytes\")]` on a `Vec<u8>`",
    ),
    (&["transparent"], "changes the written form: write a tuple struct of one field, which is written as that field"),
    (&["borrow"], "borrows from bytes that are gone when the value is used: write an owned type"),
];

/// serde attributes with which bytes and names stay the same.
const HARMLESS: &[&str] = &["crate", "bound", "deny_unknown_fields", "expecting"];

/// Those that an opaque shape speaks for.
const OPAQUE: &[&str] = &["with", "serialize_with", "deserialize_with", "from", "into", "try_from"];

/// What our own and serde's attributes say of a field or a type.
#[derive(Default)]
pub(crate) struct Facts {
    /// `#[shape(opaque = "name/1")]`.
    pub(crate) opaque: Option<LitStr>,
    /// `#[shape(recursive)]`.
    pub(crate) recursive: Option<Span>,
    /// `#[serde(with = "serde_bytes")]`.
    pub(crate) bytes: Option<Span>,
}

/// Reads the attributes of a type, a variant or a field.
pub(crate) fn read(attrs: &[Attribute], position: Position) -> Result<Facts> {
    let mut facts = Facts::default();
    for meta in metas(attrs, "shape")? {
        match &meta {
            Meta::NameValue(pair) if pair.path.is_ident("opaque") => facts.opaque = Some(opaque_name(pair)?),
            Meta::Path(path) if path.is_ident("recursive") => facts.recursive = Some(path.span()),
            other => return Err(Error::new(other.span(), "write `opaque = \"name/1\"` or `recursive`")),
        }
    }
    let mut refused: Option<Error> = None;
    for meta in metas(attrs, "serde")? {
        if let Err(error) = check_serde(&meta, position, &mut facts) {
            match &mut refused {
                Some(all) => all.combine(error),
                None => refused = Some(error),
            }
        }
    }
    refused.map_or(Ok(facts), Err)
}

fn check_serde(meta: &Meta, position: Position, facts: &mut Facts) -> Result<()> {
    let key = meta.path().segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
    let key = key.trim_start_matches("r#");
    let fits_position = key == "default" && position == Position::Anywhere;
    let spoken_for = facts.opaque.is_some() && OPAQUE.contains(&key);
    if HARMLESS.contains(&key) || fits_position || spoken_for {
        return Ok(());
    }
    if let Meta::NameValue(pair) = meta
        && key == "with"
        && text(pair).is_some_and(|path| path.value() == "serde_bytes")
    {
        facts.bytes = Some(meta.span());
        return Ok(());
    }
    let advice = ADVICE.iter().find(|(keys, _)| keys.contains(&key)).map_or(
        "is not known to keep the written form: remove it, or name that form with `#[shape(opaque = \"name/1\")]`",
        |(_, advice)| advice,
    );
    Err(Error::new(meta.span(), format!("`#[serde({key})]` {advice}")))
}

fn opaque_name(pair: &MetaNameValue) -> Result<LitStr> {
    let form = "an opaque shape is a name and a number, as in \"uuid/1\"";
    let name = text(pair).ok_or_else(|| Error::new(pair.value.span(), form))?;
    let value = name.value();
    match value.split_once('/') {
        Some((left, right)) if !left.is_empty() && right.parse::<u32>().is_ok() => Ok(name),
        _ => Err(Error::new(name.span(), form)),
    }
}

/// The string of `key = "string"`.
pub(crate) fn text(pair: &MetaNameValue) -> Option<LitStr> {
    match &pair.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.clone()),
        _ => None,
    }
}

/// All items inside `#[name(..)]`.
pub(crate) fn metas(attrs: &[Attribute], name: &str) -> Result<Vec<Meta>> {
    let mut all = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident(name)) {
        all.extend(attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)?);
    }
    Ok(all)
}

/// The types of `#[wire(upcast(v1::Add), downcast(v1::Summary))]`.
#[derive(Default)]
pub(crate) struct Casts {
    /// Older shapes that are read.
    pub(crate) upcasts: Vec<Type>,
    /// Older shapes that are written.
    pub(crate) downcasts: Vec<Type>,
}

/// Reads `#[wire(..)]`.
pub(crate) fn casts(attrs: &[Attribute]) -> Result<Casts> {
    let mut casts = Casts::default();
    for meta in metas(attrs, "wire")? {
        let wrong = || Error::new(meta.span(), "write `upcast(v1::Type)` or `downcast(v1::Type)`");
        let Meta::List(list) = &meta else { return Err(wrong()) };
        let types = list.parse_args_with(Punctuated::<Type, Token![,]>::parse_terminated)?;
        if list.path.is_ident("upcast") {
            casts.upcasts.extend(types);
        } else if list.path.is_ident("downcast") {
            casts.downcasts.extend(types);
        } else {
            return Err(wrong());
        }
    }
    Ok(casts)
}

/// The type of `#[reply(T)]`.
pub(crate) fn reply(attrs: &[Attribute], at: Span) -> Result<Type> {
    let mut found = attrs.iter().filter(|attr| attr.path().is_ident("reply"));
    match (found.next(), found.next()) {
        (Some(attr), None) => attr.parse_args(),
        (Some(_), Some(second)) => Err(Error::new(second.span(), "a request has one reply")),
        (None, _) => {
            Err(Error::new(at, "a request says what it is answered: write `#[reply(Type)]`, or derive `Wire`"))
        }
    }
}

/// The last name of a path, as text.
pub(crate) fn last_name(path: &Path) -> String {
    path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}
