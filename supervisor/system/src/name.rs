//! How callers name actors and sets of actors: as text or as addresses.

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

/// Whom an upgrade is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// These actors, in this order.
    Actors(Vec<Addr>),
    /// `kind/key` is one actor, a text without a slash every actor of that kind.
    Text(String),
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
