//! `derive(Shape)`: the constant tree of names and types.

use crate::attrs::{self, Facts, Position};
use crate::paths;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Data, DeriveInput, Error, Field, Fields, GenericArgument, Generics, Ident, PathArguments, Result, Type, TypePath,
    parse_quote,
};

/// `impl Shape`.
pub(crate) fn derive(input: &DeriveInput, position: Position) -> Result<TokenStream> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        return Err(Error::new(lifetime.span(), "borrowed data outlives no upgrade: write an owned type"));
    }
    let contract = paths::contract();
    let shape = ShapeOf { owner: &input.ident, position, contract: &contract };
    let node = shape.of_type(input)?;
    let name = &input.ident;
    let generics = bounded(&input.generics, &parse_quote!(#contract::Shape));
    let (impls, types, wheres) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impls #contract::Shape for #name #types #wheres {
            const NODE: &'static #contract::shape::Node = &#node;
        }
    })
}

/// The generics with `bound` on every type parameter.
pub(crate) fn bounded(generics: &Generics, bound: &syn::TypeParamBound) -> Generics {
    let mut generics = generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(bound.clone());
    }
    generics
}

struct ShapeOf<'a> {
    owner: &'a Ident,
    position: Position,
    contract: &'a TokenStream,
}

impl ShapeOf<'_> {
    fn of_type(&self, input: &DeriveInput) -> Result<TokenStream> {
        let contract = self.contract;
        let facts = attrs::read(&input.attrs, self.position)?;
        if let Some(span) = facts.recursive {
            return Err(Error::new(span, "`recursive` stands on the field that leads back"));
        }
        if let Some(name) = facts.opaque {
            return Ok(quote!(#contract::shape::Node::Leaf(#name)));
        }
        match &input.data {
            Data::Struct(data) => self.of_fields(&data.fields, 1),
            Data::Enum(data) => {
                let variants = data.variants.iter().map(|variant| {
                    attrs::read(&variant.attrs, self.position)?;
                    let (name, node) = (variant.ident.to_string(), self.of_fields(&variant.fields, 2)?);
                    Ok(quote!(#contract::shape::Variant { name: #name, node: &#node }))
                });
                let variants = variants.collect::<Result<Vec<_>>>()?;
                Ok(quote!(#contract::shape::Node::Enum(&[#(#variants),*])))
            }
            Data::Union(data) => {
                Err(Error::new(data.union_token.span, "a union does not say which field it holds: write an enum"))
            }
        }
    }

    /// The payload of a struct or a variant, whose fields stand `levels` below the owner's node.
    fn of_fields(&self, fields: &Fields, levels: u32) -> Result<TokenStream> {
        let contract = self.contract;
        Ok(match fields {
            Fields::Unit => quote!(#contract::shape::Node::Leaf("unit")),
            Fields::Unnamed(fields) => {
                let nodes =
                    fields.unnamed.iter().map(|field| self.of_field(field, levels)).collect::<Result<Vec<_>>>()?;
                quote!(#contract::shape::Node::Tuple(&[#(#nodes),*]))
            }
            Fields::Named(fields) => {
                let fields = fields.named.iter().map(|field| {
                    let name = field.ident.as_ref().map(plain).unwrap_or_default();
                    let node = self.of_field(field, levels)?;
                    Ok(quote!(#contract::shape::Field { name: #name, node: #node }))
                });
                let fields = fields.collect::<Result<Vec<_>>>()?;
                quote!(#contract::shape::Node::Struct(&[#(#fields),*]))
            }
        })
    }

    fn of_field(&self, field: &Field, levels: u32) -> Result<TokenStream> {
        let contract = self.contract;
        let facts = attrs::read(&field.attrs, self.position)?;
        if let Some(name) = &facts.opaque {
            return Ok(quote!(&#contract::shape::Node::Leaf(#name)));
        }
        if let Some(span) = facts.bytes {
            return self.of_bytes(&field.ty).ok_or_else(|| {
                Error::new(span, "`serde_bytes` is known on `Vec<u8>` and `Option<Vec<u8>>`: write `Bytes` elsewhere")
            });
        }
        if facts.recursive.is_some() && !self.mentions(&field.ty, &facts) {
            return Err(Error::new(field.ty.span(), format!("this field does not lead back to `{}`", self.owner)));
        }
        self.of(&field.ty, &facts, levels)
    }

    fn of_bytes(&self, ty: &Type) -> Option<TokenStream> {
        let contract = self.contract;
        if *ty == parse_quote!(Vec<u8>) {
            return Some(quote!(&#contract::shape::Node::Leaf("bytes")));
        }
        let bytes = quote!(&#contract::shape::Node::Leaf("bytes"));
        (*ty == parse_quote!(Option<Vec<u8>>)).then(|| quote!(&#contract::shape::Node::Option(#bytes)))
    }

    /// A type's shape: by its `Shape`, but where it leads back to the owner, by its parts.
    fn of(&self, ty: &Type, facts: &Facts, levels: u32) -> Result<TokenStream> {
        let contract = self.contract;
        if let Type::Path(TypePath { path, .. }) = ty {
            let name = attrs::last_name(path);
            if let Some((_, ordered)) = UNORDERED.iter().find(|(unordered, _)| *unordered == name) {
                let text = format!("a `{name}` has no order, so equal values would have unequal bytes: {ordered}");
                return Err(Error::new(ty.span(), text));
            }
        }
        if !self.mentions(ty, facts) {
            return Ok(quote_spanned!(ty.span()=> <#ty as #contract::Shape>::NODE));
        }
        if self.is_owner(ty, facts) {
            return Ok(quote!(&#contract::shape::Node::Recursive(#levels)));
        }
        if let Type::Tuple(tuple) = ty {
            let nodes = tuple.elems.iter().map(|ty| self.of(ty, facts, levels + 1)).collect::<Result<Vec<_>>>()?;
            return Ok(quote!(&#contract::shape::Node::Tuple(&[#(#nodes),*])));
        }
        if let Type::Array(array) = ty {
            let (node, len) = (self.of(&array.elem, facts, levels + 1)?, &array.len);
            return Ok(quote!(&#contract::shape::Node::Array(#node, #len)));
        }
        self.of_container(ty, facts, levels)
    }

    fn of_container(&self, ty: &Type, facts: &Facts, levels: u32) -> Result<TokenStream> {
        let contract = self.contract;
        let unknown = || {
            let text = format!(
                "`{}` holds itself here through a type that the derive cannot look into: write it with Box, Option, \
                 Vec, BTreeMap, tuples or arrays, or name its form with `#[shape(opaque = \"name/1\")]`",
                self.owner
            );
            Error::new(ty.span(), text)
        };
        let Type::Path(TypePath { path, .. }) = ty else { return Err(unknown()) };
        let arguments = match path.segments.last().map(|segment| &segment.arguments) {
            Some(PathArguments::AngleBracketed(arguments)) => &arguments.args,
            _ => return Err(unknown()),
        };
        let name = attrs::last_name(path);
        let below = if name == "Box" { levels } else { levels + 1 };
        let parts = arguments.iter().map(|argument| match argument {
            GenericArgument::Type(ty) => self.of(ty, facts, below),
            _ => Err(unknown()),
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let kind = match (name.as_str(), parts.len()) {
            ("Box", 1) => return Ok(quote!(#(#parts)*)),
            ("Option", 1) => "Option",
            ("Vec" | "VecDeque", 1) => "Seq",
            ("BTreeSet", 1) => "Set",
            ("Result", 2) => "Result",
            ("BTreeMap", 2) => "Map",
            _ => return Err(unknown()),
        };
        let kind = format_ident!("{kind}");
        Ok(quote!(&#contract::shape::Node::#kind(#(#parts),*)))
    }

    fn is_owner(&self, ty: &Type, facts: &Facts) -> bool {
        let Type::Path(TypePath { qself: None, path }) = ty else { return false };
        let Some(last) = path.segments.last() else { return false };
        let reached = path.segments.len() == 1 || facts.recursive.is_some();
        reached && (last.ident == *self.owner || last.ident == "Self")
    }

    fn mentions(&self, ty: &Type, facts: &Facts) -> bool {
        if self.is_owner(ty, facts) {
            return true;
        }
        match ty {
            Type::Tuple(tuple) => tuple.elems.iter().any(|ty| self.mentions(ty, facts)),
            Type::Array(array) => self.mentions(&array.elem, facts),
            Type::Slice(slice) => self.mentions(&slice.elem, facts),
            Type::Path(TypePath { path, .. }) => path.segments.iter().any(|segment| match &segment.arguments {
                PathArguments::AngleBracketed(arguments) => arguments.args.iter().any(|argument| match argument {
                    GenericArgument::Type(ty) => self.mentions(ty, facts),
                    _ => false,
                }),
                _ => false,
            }),
            _ => false,
        }
    }
}

const UNORDERED: &[(&str, &str)] = &[
    ("HashMap", "write `BTreeMap`"),
    ("HashSet", "write `BTreeSet`"),
    ("BinaryHeap", "write `BTreeSet`, or a `Vec` that is kept sorted"),
];

/// A field's name as serde writes it: without `r#`.
fn plain(name: &Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}
