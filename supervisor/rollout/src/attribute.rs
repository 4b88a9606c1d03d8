//! What is known of an actor beside its key, and what a rule looks at.

use crate::RouteError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::{fmt, str::FromStr};

/// Longest value of an attribute, in bytes.
pub const VALUE_BYTES_MAX: usize = 256;

/// Most attributes that an actor has.
pub const ATTRIBUTES_MAX: usize = 16;

/// Longest name of a header, in bytes.
const HEADER_BYTES_MAX: usize = 64;

/// What a rule looks at; as text `key`, `tenant` or `header:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Attribute {
    /// The actor's own key.
    Key,
    /// Whose actor it is.
    Tenant,
    /// A header of the request that the actor was started by; the name in small letters.
    Header(String),
}

impl FromStr for Attribute {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        // RFC 9110: a header's name is a token.
        let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        match (text, text.strip_prefix("header:")) {
            ("key", _) => Ok(Self::Key),
            ("tenant", _) => Ok(Self::Tenant),
            (_, Some(name)) if (1..=HEADER_BYTES_MAX).contains(&name.len()) && name.bytes().all(token) => {
                Ok(Self::Header(name.to_ascii_lowercase()))
            }
            _ => Err(RouteError::Attribute { found: shown(text) }),
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key => f.write_str("key"),
            Self::Tenant => f.write_str("tenant"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl TryFrom<String> for Attribute {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        text.parse()
    }
}

impl From<Attribute> for String {
    fn from(attribute: Attribute) -> Self {
        attribute.to_string()
    }
}

/// What is known of one actor beside its key. It is said when the actor is defined and stays with it: an actor does not
/// change its version because of who sends to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Attribute, String>", into = "BTreeMap<Attribute, String>")]
pub struct Attributes(BTreeMap<Attribute, String>);

impl Attributes {
    /// Nothing is known.
    pub const NONE: Self = Self(BTreeMap::new());

    /// The value of one.
    #[must_use]
    pub fn get(&self, attribute: &Attribute) -> Option<&str> {
        self.0.get(attribute).map(String::as_str)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Attribute, &str)> {
        self.0.iter().map(|(attribute, value)| (attribute, value.as_str()))
    }
}

impl TryFrom<BTreeMap<Attribute, String>> for Attributes {
    type Error = RouteError;

    /// # Errors
    /// [`RouteError::Attributes`] for more than [`ATTRIBUTES_MAX`], [`RouteError::Key`] for a `key`, which an actor has
    /// anyway, [`RouteError::Value`].
    fn try_from(attributes: BTreeMap<Attribute, String>) -> Result<Self, RouteError> {
        if attributes.len() > ATTRIBUTES_MAX {
            return Err(RouteError::Attributes { found: attributes.len() });
        }
        if attributes.contains_key(&Attribute::Key) {
            return Err(RouteError::Key);
        }
        attributes.iter().try_for_each(|(attribute, value)| check_value(attribute, value))?;
        Ok(Self(attributes))
    }
}

impl From<Attributes> for BTreeMap<Attribute, String> {
    fn from(attributes: Attributes) -> Self {
        attributes.0
    }
}

/// Whether a value can be one.
///
/// # Errors
/// [`RouteError::Value`] for an empty one, one over [`VALUE_BYTES_MAX`], or one with a control character.
pub(crate) fn check_value(attribute: &Attribute, value: &str) -> Result<(), RouteError> {
    let fits = (1..=VALUE_BYTES_MAX).contains(&value.len()) && !value.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(RouteError::Value { attribute: attribute.clone(), bytes: value.len() }) }
}

/// As much of what somebody typed as an error should repeat.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}
