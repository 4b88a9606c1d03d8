//! Derive macros of the contract: `Shape`, `Wire`, `Request`, `Message`, `State`.
//!
//! A shape is a promise about bytes, so what is derived here refuses everything that would let the bytes say something
//! else than the shape: serde attributes that change the written form, maps without an order, borrowed data. Each
//! refusal says what to write instead.
#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod attrs;
mod lock;
mod message;
mod paths;
mod shape;
mod state;
mod wire;

/// Derives `Shape` for a type that stands inside a message or a state.
///
/// * A type that holds itself is seen by its name (`Box<Tree>` in `Tree`); for a longer path to itself write
///   `#[shape(recursive)]` on the field.
/// * `#[shape(opaque = "uuid/1")]`, on a field or on the type, names a written form that the derive cannot see, for
///   instance a foreign type's. Its number grows when that form changes.
#[proc_macro_derive(Shape, attributes(shape))]
pub fn derive_shape(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    tokens(shape::derive(&input, attrs::Position::Anywhere))
}

/// Derives `Wire` and `Shape` for what crosses between actors: a message's body, a reply, start arguments.
///
/// * `#[wire(upcast(v1::Add))]`: bodies of that older shape are read too, by `impl Upcast<v1::Add> for Add`, and all
///   that `v1::Add` is itself up-cast from.
/// * `#[wire(downcast(v1::Summary))]`: callers of yesterday get that shape, by
///   `impl Downcast<v1::Summary> for Summary`.
#[proc_macro_derive(Wire, attributes(wire, shape))]
pub fn derive_wire(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    tokens(wire::derive(&input))
}

/// Derives `Request`, `Wire` and `Shape` for a message that wants a reply: `#[reply(Summary)]`.
#[proc_macro_derive(Request, attributes(reply, wire, shape))]
pub fn derive_request(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    tokens(wire::derive_request(&input))
}

/// Derives `Message` for an enum whose every variant wraps the struct of its own name: `Add(Add)`.
#[proc_macro_derive(Message)]
pub fn derive_message(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    tokens(message::derive(&input))
}

/// Derives `State` and `Shape`: `#[state(schema = 2)]`.
///
/// The first `schemas.lock` found in the crate's folder or up to two above it pins shapes, one line a schema:
/// `2 = "0123456789abcdef0123456789abcdef"`, comments after `#`. A locked schema whose shape differs does not build. A
/// folder with several kinds names a file for each, relative to the crate: `#[state(schema = 2, lock = "web.lock")]`.
#[proc_macro_derive(State, attributes(state, shape))]
pub fn derive_state(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    tokens(state::derive(&input))
}

fn tokens(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(syn::Error::into_compile_error).into()
}
