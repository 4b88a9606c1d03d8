//! `derive(Wire)` and `derive(Request)`: a body with its casts, and the reply it asks for.

use crate::attrs::{self, Casts, Position};
use crate::{paths, shape};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Result, Type, parse_quote};

/// `impl Shape` and `impl Wire`.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    body(input, &TokenStream::new())
}

/// `impl Shape`, `impl Wire` and `impl Request`.
pub(crate) fn derive_request(input: &DeriveInput) -> Result<TokenStream> {
    let contract = paths::contract();
    let reply = attrs::reply(&input.attrs, input.ident.span())?;
    let declared = quote_spanned! {reply.span()=>
        const REPLY: ::core::option::Option<&'static #contract::wire::ReplyInfo> =
            ::core::option::Option::Some(&#contract::wire::ReplyInfo::of::<#reply>());
    };
    let wire = body(input, &declared)?;
    let is_generic = input.generics.type_params().next().is_some();
    let bounded = if is_generic { TokenStream::new() } else { bounded(&reply, &contract) };
    let name = &input.ident;
    let generics = generics(input, &contract);
    let (impls, types, wheres) = generics.split_for_impl();
    Ok(quote! {
        #wire
        #[automatically_derived]
        impl #impls #contract::Request for #name #types #wheres {
            type Reply = #reply;
        }
        #bounded
    })
}

/// A generic body is one wherever its parts are: serde's derives say when that is.
fn generics(input: &DeriveInput, contract: &TokenStream) -> syn::Generics {
    let mut generics = input.generics.clone();
    if generics.type_params().next().is_some() {
        generics = shape::bounded(&generics, &parse_quote!(#contract::Wire));
    }
    generics
}

fn body(input: &DeriveInput, reply: &TokenStream) -> Result<TokenStream> {
    let contract = paths::contract();
    let shape = shape::derive(input, Position::Message)?;
    let casts = attrs::casts(&input.attrs)?;
    let is_generic = input.generics.type_params().next().is_some();
    if let (true, Some(cast)) = (is_generic, casts.upcasts.iter().chain(&casts.downcasts).next()) {
        return Err(Error::new(
            cast.span(),
            "casts are between concrete types: derive `Wire` on one without parameters",
        ));
    }
    let name = &input.ident;
    let text = name.to_string();
    let generics = generics(input, &contract);
    let (impls, types, wheres) = generics.split_for_impl();
    let (upcasts, decode) = decode(&casts, &contract);
    let (downcasts, encode) = encode(&casts, &contract);
    let distinct = distinct(input, &casts, &contract);
    let bounded = if is_generic { TokenStream::new() } else { bounded(&parse_quote!(#name), &contract) };
    Ok(quote! {
        #shape
        #[automatically_derived]
        impl #impls #contract::Wire for #name #types #wheres {
            const NAME: &'static str = #text;
            #upcasts
            #downcasts
            #reply
            #decode
            #encode
        }
        #distinct
        #bounded
    })
}

fn known(types: &[Type], list: &TokenStream, contract: &TokenStream) -> Vec<TokenStream> {
    let each = types.iter().map(|ty| {
        quote_spanned! {ty.span()=>
            #contract::wire::Known {
                fingerprint: <#ty as #contract::Shape>::FINGERPRINT,
                deeper: <#ty as #contract::Wire>::#list,
            }
        }
    });
    each.collect()
}

fn decode(casts: &Casts, contract: &TokenStream) -> (TokenStream, TokenStream) {
    if casts.upcasts.is_empty() {
        return Default::default();
    }
    let known = known(&casts.upcasts, &quote!(UPCASTS), contract);
    let steps = casts.upcasts.iter().enumerate().map(|(at, ty)| {
        quote_spanned! {ty.span()=>
            if <Self as #contract::Wire>::UPCASTS[#at].reaches(fingerprint) {
                return <#ty as #contract::Wire>::decode(fingerprint, bytes)
                    .map(<Self as #contract::Upcast<#ty>>::upcast);
            }
        }
    });
    let decode = quote! {
        fn decode(
            fingerprint: #contract::Fingerprint,
            bytes: &[u8],
        ) -> ::core::result::Result<Self, #contract::DecodeError> {
            if fingerprint != <Self as #contract::Shape>::FINGERPRINT {
                #(#steps)*
            }
            #contract::wire::decode_own(fingerprint, bytes)
        }
    };
    (quote!(const UPCASTS: &'static [#contract::wire::Known] = &[#(#known),*];), decode)
}

fn encode(casts: &Casts, contract: &TokenStream) -> (TokenStream, TokenStream) {
    if casts.downcasts.is_empty() {
        return Default::default();
    }
    let known = known(&casts.downcasts, &quote!(DOWNCASTS), contract);
    let steps = casts.downcasts.iter().enumerate().map(|(at, ty)| {
        quote_spanned! {ty.span()=>
            if <Self as #contract::Wire>::DOWNCASTS[#at].reaches(fingerprint) {
                let older: #ty = <Self as #contract::Downcast<#ty>>::downcast(self);
                return <#ty as #contract::Wire>::encode_as(&older, fingerprint, out);
            }
        }
    });
    let encode = quote! {
        fn encode_as(
            &self,
            fingerprint: #contract::Fingerprint,
            out: &mut ::std::vec::Vec<u8>,
        ) -> ::core::result::Result<(), #contract::EncodeError> {
            if fingerprint != <Self as #contract::Shape>::FINGERPRINT {
                #(#steps)*
            }
            #contract::wire::encode_own(self, fingerprint, out)
        }
    };
    (quote!(const DOWNCASTS: &'static [#contract::wire::Known] = &[#(#known),*];), encode)
}

/// An older type of the same shape would never be told apart from this one: the build says so.
fn distinct(input: &DeriveInput, casts: &Casts, contract: &TokenStream) -> TokenStream {
    let name = &input.ident;
    let checks = casts.upcasts.iter().chain(&casts.downcasts).map(|ty| {
        quote_spanned! {ty.span()=>
            const _: () = ::core::assert!(
                <#ty as #contract::Shape>::FINGERPRINT.0 != <#name as #contract::Shape>::FINGERPRINT.0,
                "this older type has the very same shape, so its cast would never run: remove it, or rename a field"
            );
        }
    });
    quote!(#(#checks)*)
}

fn bounded(ty: &Type, contract: &TokenStream) -> TokenStream {
    quote_spanned! {ty.span()=>
        const _: () = ::core::assert!(
            !#contract::checks::is_unbounded(<#ty as #contract::Shape>::NODE),
            "a message cannot hold a list of items without content: write how many"
        );
    }
}
