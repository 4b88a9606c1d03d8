//! How callers name actors and sets of actors: as text or as addresses; and which keys an actor may be started under.
//!
//! A key is the caller's own name for somebody: a number, a mail address, a word in any script. What it must not hold
//! is what makes a name another than it looks, or cannot be typed and quoted: white space, a `/`, which parts kind and
//! key, and characters that are not seen.

use crate::SystemError;
use teneral_contract::Addr;

/// Names one actor: an [`Addr`], or text as `kind/key`.
pub trait ToAddr {
    /// The address.
    ///
    /// # Errors
    /// [`SystemError::Address`] when the text is none.
    fn to_addr(&self) -> Result<Addr, SystemError>;
}

impl ToAddr for Addr {
    fn to_addr(&self) -> Result<Addr, SystemError> {
        Ok(self.clone())
    }
}

impl ToAddr for str {
    fn to_addr(&self) -> Result<Addr, SystemError> {
        Ok(Addr::new(self)?)
    }
}

impl ToAddr for String {
    fn to_addr(&self) -> Result<Addr, SystemError> {
        self.as_str().to_addr()
    }
}

impl<T: ToAddr + ?Sized> ToAddr for &T {
    fn to_addr(&self) -> Result<Addr, SystemError> {
        (**self).to_addr()
    }
}

/// Refuses what no actor may be started under; one that bears it from before comes back as it is.
///
/// # Errors
/// [`SystemError::Key`].
pub(crate) fn is_key(addr: &Addr) -> Result<(), SystemError> {
    match addr.key().chars().find_map(held_against) {
        Some(holds) => Err(SystemError::Key { key: addr.key().to_owned(), holds }),
        None => Ok(()),
    }
}

/// What a character has against it, in a key.
fn held_against(c: char) -> Option<&'static str> {
    match c {
        '/' => Some("a '/'"),
        c if c.is_control() => Some("a control character"),
        c if c.is_whitespace() => Some("white space"),
        // Marks of direction and joiners, which are not seen and make two names look like one.
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => Some("a character that is not seen"),
        _ => None,
    }
}

/// The key with what it must not hold replaced.
pub(crate) fn better_key(key: &str) -> String {
    let better: String = key.chars().map(|c| if held_against(c).is_some() { '-' } else { c }).collect();
    better.trim_matches('-').to_owned()
}

/// Whom an upgrade is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// These actors, in this order.
    Actors(Vec<Addr>),
    /// `kind/key` is one actor, a text without a slash every actor of that kind.
    Text(String),
}

impl Target {
    /// The kind, when it is all actors of one.
    pub(crate) fn kind(&self) -> Option<&str> {
        match self {
            Self::Text(text) if !text.contains('/') => Some(text),
            Self::Text(_) | Self::Actors(_) => None,
        }
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&Addr> for Target {
    fn from(addr: &Addr) -> Self {
        Self::Actors(vec![addr.clone()])
    }
}

impl From<Vec<Addr>> for Target {
    fn from(actors: Vec<Addr>) -> Self {
        Self::Actors(actors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(key: &str) -> Option<&'static str> {
        let addr = Addr::new(&format!("cart/{key}")).expect("an address");
        match is_key(&addr) {
            Err(SystemError::Key { holds, .. }) => Some(holds),
            _ => None,
        }
    }

    #[test]
    fn a_key_is_a_customers_own_word_and_none_that_looks_like_another() {
        for key in
            ["a", "17", "ada@example.org", "o'hara+shop@example.co.uk", "Zoë", "客户", "a:b", "a,b;c=d", "50%", "-"]
        {
            assert_eq!(held(key), None, "{key}");
        }
        assert_eq!(
            (held("a b"), held("a\u{a0}b"), held("a/b")),
            (Some("white space"), Some("white space"), Some("a '/'"))
        );
        for unseen in ["a\u{200b}", "\u{202e}a", "a\u{feff}b"] {
            assert_eq!(held(unseen), Some("a character that is not seen"), "{unseen:?}");
        }
        assert_eq!(better_key(" a b/c "), "a-b-c");
    }
}
