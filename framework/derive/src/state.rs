//! `derive(State)`: a schema number, and the lock that holds its shape.

use crate::attrs::{self, Position};
use crate::lock::Lock;
use crate::{paths, shape};
use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Expr, ExprLit, Lit, LitStr, Meta, Result};

struct Schema {
    number: u32,
    lock: Option<LitStr>,
}

/// `impl Shape`, `impl State` and the check against the lock.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "a state is one concrete type, without parameters"));
    }
    let contract = paths::contract();
    let shape = shape::derive(input, Position::Anywhere)?;
    let Schema { number, lock } = schema(input)?;
    let locked = locked(input, number, lock.as_ref(), &contract)?;
    let name = &input.ident;
    Ok(quote! {
        #shape
        #[automatically_derived]
        impl #contract::State for #name {
            const SCHEMA: u32 = #number;
        }
        const _: () = ::core::assert!(
            !#contract::checks::holds_answer(<#name as #contract::Shape>::NODE),
            "a state cannot hold an answer: keep what was in it"
        );
        const _: () = ::core::assert!(
            !#contract::checks::confuses_none(<#name as #contract::Shape>::NODE),
            "a state cannot tell `Some(None)` or `Some(())` from `None`: write an enum instead"
        );
        #locked
    })
}

fn schema(input: &DeriveInput) -> Result<Schema> {
    let (mut number, mut lock) = (None, None);
    for meta in attrs::metas(&input.attrs, "state")? {
        let wrong = || Error::new(meta.span(), "write `schema = 1`, or `lock = \"file.lock\"`");
        let Meta::NameValue(pair) = &meta else { return Err(wrong()) };
        if pair.path.is_ident("schema") {
            let Expr::Lit(ExprLit { lit: Lit::Int(int), .. }) = &pair.value else { return Err(wrong()) };
            number = Some(int.base10_parse::<u32>()?);
        } else if pair.path.is_ident("lock") {
            lock = Some(attrs::text(pair).ok_or_else(wrong)?);
        } else {
            return Err(wrong());
        }
    }
    match number {
        Some(number @ 1..) => Ok(Schema { number, lock }),
        Some(0) => Err(Error::new(input.ident.span(), "schemas count from 1")),
        None => Err(Error::new(input.ident.span(), "a state has a schema number: write `#[state(schema = 1)]`")),
    }
}

/// The check against the lock. The file is included, so that cargo builds anew when it changes.
fn locked(input: &DeriveInput, number: u32, named: Option<&LitStr>, contract: &TokenStream) -> Result<TokenStream> {
    let lock = match named {
        Some(file) => Some(Lock::named(&file.value()).map_err(|error| Error::new(file.span(), error))?),
        None => Lock::nearest().map_err(|error| Error::new(input.ident.span(), error))?,
    };
    let Some(lock) = lock else { return Ok(TokenStream::new()) };
    let path = lock.path.to_string_lossy().into_owned();
    let check = lock.fingerprint(number).map(|fingerprint| {
        let name = &input.ident;
        let message = format!(
            "the shape of schema {number} changed: keep this type as it was, write a new one with schema = {} and a \
             migration",
            number.saturating_add(1)
        );
        quote! {
            ::core::assert!(<#name as #contract::Shape>::FINGERPRINT.0 == #fingerprint, #message);
        }
    });
    Ok(quote! {
        const _: () = {
            const _LOCK: &[u8] = ::core::include_bytes!(#path);
            #check
        };
    })
}
