//! Where the endpoints of a service are: one stream of whole sets, wherever they are known from.
//!
//! A set replaces the one before it. What cannot be told for the moment (a file that is broken, a name server that is
//! silent) leaves the set before standing, and says so: endpoints that were there a moment ago are a better guess than
//! none. That there are none is said by whoever knows it, and is another thing.
//!
//! * [`Static`]: a list that is written down
//! * [`Watched`]: a file, TOML or JSON, that somebody replaces
//! * [`Dns`]: SRV records, with their TTL
//! * [`Leases`]: who registered here, and renews that

mod dns;
mod file;
mod leases;
mod registry;

pub use dns::Dns;
pub use file::Watched;
pub use leases::Leases;
pub use registry::{Leased, NONCE_BYTES, Registration, Registry};

use futures_util::{Stream, StreamExt, stream};
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::str::FromStr;

/// Longest path of a unix socket, in bytes: what the kernel takes.
const UNIX_PATH_BYTES_MAX: usize = 107;

/// Longest name of a host, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// Every code of this module with its title, in order of the alphabet.
pub const CODES: &[(&str, &str)] = &[
    ("MOD-DNS", "a name of which the name servers do not tell"),
    ("MOD-ENDPOINT", "a text that is no endpoint"),
    ("MOD-ENDPOINTS", "more endpoints than there may be"),
    ("MOD-LEASE", "a registration that is not there any more"),
    ("MOD-LIST", "a list of endpoints that cannot be read"),
    ("MOD-NO-NAME", "a name that there is not"),
    ("MOD-TAKEN", "an endpoint that somebody else has registered"),
];

/// Where something listens: `unix:/a/path` or `tcp:host:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host, an address without brackets, and the port; `None`: it is a socket of this machine.
    #[must_use]
    pub fn host_port(&self) -> Option<(&str, u16)> {
        let (host, port) = self.0.strip_prefix("tcp:")?.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some((host, port.parse().ok()?))
    }

    /// That port of that host.
    ///
    /// # Errors
    /// [`DiscoverError::Endpoint`]: the host cannot be one.
    pub fn tcp(host: &str, port: u16) -> Result<Self, DiscoverError> {
        // A name that ends in a dot is the same name.
        let host = host.strip_suffix('.').unwrap_or(host);
        format!("tcp:{host}:{port}").parse()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Endpoint {
    type Err = DiscoverError;

    fn from_str(text: &str) -> Result<Self, DiscoverError> {
        let wrong = |why: &str| Err(DiscoverError::Endpoint { text: shortened(text), why: why.to_owned() });
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.len() {
                _ if !path.starts_with('/') || path.contains('\0') => wrong("a unix socket has an absolute path"),
                1..=UNIX_PATH_BYTES_MAX => Ok(Self(text.to_owned())),
                _ => wrong("its path is longer than the kernel takes, 107 bytes"),
            };
        }
        let Some((host, port)) = text.strip_prefix("tcp:").and_then(|rest| rest.rsplit_once(':')) else {
            return wrong("it is neither unix:/a/path nor tcp:host:port");
        };
        let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_host = match is_address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => (1..=HOST_BYTES_MAX).contains(&host.len()) && host.bytes().all(letter),
        };
        match port.parse::<u16>() {
            _ if !is_host => wrong("its host is no name and no address"),
            Ok(1..) => Ok(Self(text.to_owned())),
            _ => wrong("its port is none of 1 to 65535"),
        }
    }
}

/// Enough of a text to know it again.
fn shortened(text: &str) -> String {
    text.chars().take(HOST_BYTES_MAX).collect()
}

/// How much is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Endpoints of one set.
    pub endpoints_max: usize,
    /// Bytes of a file.
    pub file_bytes_max: u64,
}

impl Bounds {
    /// 1,024 endpoints, a file of 1 MiB.
    #[must_use]
    pub const fn standard() -> Self {
        Self { endpoints_max: 1024, file_bytes_max: 1 << 20 }
    }
}

/// Endpoints, each once, each with its weight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointSet(BTreeMap<Endpoint, u32>);

impl EndpointSet {
    /// These, within `endpoints_max`. Of one that is named twice the last weight counts; a weight is at least 1 and at
    /// most [`WEIGHT_MAX`](crate::balance::WEIGHT_MAX).
    ///
    /// # Errors
    /// [`DiscoverError::TooMany`].
    pub fn new(
        endpoints: impl IntoIterator<Item = (Endpoint, u32)>,
        endpoints_max: usize,
    ) -> Result<Self, DiscoverError> {
        let mut set = BTreeMap::new();
        for (endpoint, weight) in endpoints {
            set.insert(endpoint, weight.clamp(1, crate::balance::WEIGHT_MAX));
            if set.len() > endpoints_max {
                return Err(DiscoverError::TooMany { endpoints_max });
            }
        }
        Ok(Self(set))
    }

    /// Each with its weight, in order of the alphabet.
    pub fn iter(&self) -> impl Iterator<Item = (&Endpoint, u32)> {
        self.0.iter().map(|(endpoint, weight)| (endpoint, *weight))
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a source says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// These are there, and no others.
    Set(EndpointSet),
    /// It cannot be told: the set before stands. Said once, until the reason is another one or it can be told again.
    Unknown(DiscoverError),
    /// None is there: whoever must know says so.
    Nobody(DiscoverError),
}

/// What a source says, one after the other; it does not end. Dropped between two, it has lost nothing.
pub type Sets = Pin<Box<dyn Stream<Item = Seen> + Send>>;

/// A source of endpoints.
pub trait Discover: Send + 'static {
    /// What it is, for people.
    fn source(&self) -> String;

    /// What it says from now on, the first time at once. To be read within a tokio runtime with I/O and time.
    fn sets(self: Box<Self>) -> Sets;
}

/// A list that is written down.
#[derive(Debug, Clone)]
pub struct Static(pub EndpointSet);

impl Discover for Static {
    fn source(&self) -> String {
        "a list".to_owned()
    }

    fn sets(self: Box<Self>) -> Sets {
        Box::pin(stream::iter([Seen::Set(self.0)]).chain(stream::pending()))
    }
}

/// Why endpoints are not known, or not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// A text is no endpoint.
    #[error("{text:?} is no endpoint: {why}")]
    Endpoint {
        /// As it was written.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// There are more than there may be.
    #[error("there are more than {endpoints_max} endpoints")]
    TooMany {
        /// How many there may be.
        endpoints_max: usize,
    },
    /// A list cannot be read.
    #[error("{list} cannot be read: {why}")]
    List {
        /// Which.
        list: String,
        /// Why not, with the place in it where it is about one.
        why: String,
    },
    /// The name servers do not tell.
    #[error("the name servers do not tell of {name}: {why}")]
    Dns {
        /// The name.
        name: String,
        /// Why not.
        why: String,
    },
    /// The name servers say that there is no such name, or that it has no endpoints.
    #[error("the name servers say that there is no {name}")]
    NoName {
        /// The name.
        name: String,
    },
    /// Somebody else has registered it, and its lease is not over.
    #[error("{endpoint} is registered by somebody else")]
    Taken {
        /// Which.
        endpoint: Endpoint,
    },
    /// It is not registered, or not any more.
    #[error("{endpoint} is not registered by this one: its lease is over, or it never was")]
    Lost {
        /// Which.
        endpoint: Endpoint,
    },
}

impl DiscoverError {
    /// Its stable code; `teneral explain CODE` says more.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "MOD-ENDPOINT",
            Self::TooMany { .. } => "MOD-ENDPOINTS",
            Self::List { .. } => "MOD-LIST",
            Self::Dns { .. } => "MOD-DNS",
            Self::NoName { .. } => "MOD-NO-NAME",
            Self::Taken { .. } => "MOD-TAKEN",
            Self::Lost { .. } => "MOD-LEASE",
        }
    }

    /// What to do about it, in one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Endpoint { .. } => "write unix:/a/path or tcp:host:port",
            Self::TooMany { .. } => "name fewer, or part them between several addresses",
            Self::List { .. } => "mend it where it says, and put it in place by a rename",
            Self::Dns { .. } => "look at the machine's name servers: /etc/resolv.conf",
            Self::NoName { .. } => {
                "look for a slip in the name: it is that of the SRV records, as in _parser._tcp.example"
            }
            Self::Taken { .. } => "stop the other one, or listen elsewhere",
            Self::Lost { .. } => "register anew, and renew within a third of the lease",
        }
    }
}

/// Turns answers into what is said: a set that is the same is not said again, nor is a reason.
#[derive(Debug, Default)]
struct Saying {
    set: Option<EndpointSet>,
    trouble: Option<DiscoverError>,
}

impl Saying {
    fn of(&mut self, found: Result<EndpointSet, DiscoverError>) -> Option<Seen> {
        match found {
            Ok(set) => {
                let was_ill = self.trouble.take().is_some();
                let is_new = self.set.as_ref() != Some(&set);
                self.set = Some(set.clone());
                (is_new || was_ill).then_some(Seen::Set(set))
            }
            Err(why) if self.trouble.as_ref() == Some(&why) => None,
            Err(why) => {
                self.trouble = Some(why.clone());
                Some(match why {
                    DiscoverError::NoName { .. } => {
                        self.set = None;
                        Seen::Nobody(why)
                    }
                    why => Seen::Unknown(why),
                })
            }
        }
    }
}
