//! `derive(Message)`: an enum that only wraps, so that every message is a struct with a fingerprint of its own.

use crate::{attrs, paths};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Ident, Result, Type, TypePath, Variant};

/// `impl Message`, and `From` for every body.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "an actor's messages are an enum: `enum Message { Add(Add) }`"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new(input.generics.span(), "an actor's messages are one concrete enum, without parameters"));
    }
    let contract = paths::contract();
    let bodies = data.variants.iter().map(body).collect::<Result<Vec<_>>>()?;
    let (name, names, types): (_, Vec<_>, Vec<_>) = {
        let (names, types) = bodies.iter().copied().unzip();
        (&input.ident, names, types)
    };
    let checks = checks(name, &bodies, &contract);
    let texts: Vec<_> = names.iter().map(ToString::to_string).collect();
    let places = 0..u32::try_from(names.len()).unwrap_or(u32::MAX);
    Ok(quote! {
        #[automatically_derived]
        impl #contract::Message for #name {
            const VARIANTS: &'static [#contract::wire::VariantInfo] =
                &[#(#contract::wire::VariantInfo::of::<#types>(#texts)),*];

            fn tag(&self) -> #contract::Tag {
                match *self { #(Self::#names(_) => <#types as #contract::Wire>::tag(),)* }
            }

            fn encode(&self, out: &mut ::std::vec::Vec<u8>) -> ::core::result::Result<(), #contract::EncodeError> {
                match self { #(Self::#names(body) => #contract::codec::encode(body, out),)* }
            }

            fn decode(
                index: u32,
                fingerprint: #contract::Fingerprint,
                body: &[u8],
            ) -> ::core::result::Result<Self, #contract::DecodeError> {
                match index {
                    #(#places => <#types as #contract::Wire>::decode(fingerprint, body).map(Self::#names),)*
                    other => ::core::result::Result::Err(#contract::DecodeError::UnknownVariant(other)),
                }
            }
        }
        #(
            #[automatically_derived]
            impl ::core::convert::From<#types> for #name {
                fn from(body: #types) -> Self {
                    Self::#names(body)
                }
            }
        )*
        #checks
    })
}

fn body(variant: &Variant) -> Result<(&Ident, &Type)> {
    let name = &variant.ident;
    let wrong = |at| {
        let text = format!("a variant wraps the struct of its own name: write `{name}({name})`");
        Error::new(at, text)
    };
    let Fields::Unnamed(fields) = &variant.fields else { return Err(wrong(variant.span())) };
    let (Some(field), 1) = (fields.unnamed.first(), fields.unnamed.len()) else { return Err(wrong(variant.span())) };
    let Type::Path(TypePath { path, .. }) = &field.ty else { return Err(wrong(field.ty.span())) };
    if *name != attrs::last_name(path) {
        return Err(wrong(field.ty.span()));
    }
    Ok((name, &field.ty))
}

/// What only the compiler can see: an alias of another name, two variants whose ids collide.
fn checks(name: &Ident, bodies: &[(&Ident, &Type)], contract: &TokenStream) -> TokenStream {
    let named = bodies.iter().map(|(variant, ty)| {
        let text = variant.to_string();
        let message = format!("variant `{variant}` wraps a struct of another name: give both the same");
        quote_spanned! {ty.span()=>
            const _: () = ::core::assert!(
                #contract::shape::variant_id(<#ty as #contract::Wire>::NAME) == #contract::shape::variant_id(#text),
                #message
            );
        }
    });
    quote! {
        #(#named)*
        const _: () = ::core::assert!(
            #contract::wire::ids_differ(<#name as #contract::Message>::VARIANTS),
            "two variants have names of the same 64-bit id: rename one"
        );
    }
}
