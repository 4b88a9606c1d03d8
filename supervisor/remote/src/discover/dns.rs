//! SRV records (RFC 2782): a name, and under it where to go.
//!
//! They are asked for again when their time to live is over, and not before. A name server that does not answer leaves
//! the set before standing; one that says that there is no such name has answered. Of the priorities the lowest counts:
//! the others are for whoever cannot reach those, which a balancer over one set cannot say.

use super::{Bounds, Discover, DiscoverError, Endpoint, EndpointSet, Saying, Sets};
use crate::balance::WEIGHT_MAX;
use futures_util::stream;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{TokioResolver, net::runtime::TokioRuntimeProvider};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an answer is good for, whatever it says: not for no time, and not for ever.
const TTL_MIN: Duration = Duration::from_secs(1);
const TTL_MAX: Duration = Duration::from_secs(3600);

/// How long after a failure is asked again, the first time and at most.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How long one try waits for a name server.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);

/// Longest name, in bytes (RFC 1035).
const NAME_BYTES_MAX: usize = 255;

/// See the module.
#[derive(Clone)]
pub struct Dns {
    name: String,
    resolver: TokioResolver,
    bounds: Bounds,
}

impl Dns {
    /// The SRV records of that name, as in `_parser._tcp.example`, by the machine's own name servers.
    ///
    /// # Errors
    /// [`DiscoverError::Dns`]: the name is none, or the machine's configuration cannot be read.
    pub fn new(name: &str, bounds: Bounds) -> Result<Self, DiscoverError> {
        let builder = TokioResolver::builder_tokio().map_err(|error| silent(name, &error))?;
        Self::with(name, builder, bounds)
    }

    /// The same, by these name servers, each asked over UDP, and over TCP where an answer is too long for that.
    ///
    /// # Errors
    /// [`DiscoverError::Dns`]: the name is none.
    pub fn by(name: &str, servers: &[SocketAddr], bounds: Bounds) -> Result<Self, DiscoverError> {
        let server = |at: &SocketAddr| {
            let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
                way.port = at.port();
                way
            });
            NameServerConfig::new(at.ip(), true, ways.to_vec())
        };
        let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
        Self::with(name, TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()), bounds)
    }

    fn with(
        name: &str,
        mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
        bounds: Bounds,
    ) -> Result<Self, DiscoverError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            let why = format!("a name has 1 to {NAME_BYTES_MAX} bytes");
            return Err(DiscoverError::Dns { name: super::shortened(name), why });
        }
        let options = builder.options_mut();
        // What is asked is asked since the last answer is over: one that was kept would be that very one.
        (options.cache_size, options.timeout, options.attempts) = (0, TRY_TIMEOUT, 2);
        let resolver = builder.build().map_err(|error| silent(name, &error))?;
        Ok(Self { name: name.to_owned(), resolver, bounds })
    }

    /// What the name servers say, and how long that is good for.
    async fn ask(&self) -> (Result<EndpointSet, DiscoverError>, Option<Duration>) {
        match self.resolver.lookup(self.name.as_str(), RecordType::SRV).await {
            Ok(answer) => {
                let all = answer.answers().iter();
                let mut ttl = TTL_MAX;
                let mut records = Vec::new();
                for record in all {
                    if let RData::SRV(srv) = &record.data {
                        ttl = ttl.min(Duration::from_secs(u64::from(record.ttl)));
                        records.push(srv);
                    }
                }
                (self.set_of(&records), Some(ttl.max(TTL_MIN)))
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) if is_an_answer(&none) => {
                let ttl = none.negative_ttl.map(|seconds| Duration::from_secs(u64::from(seconds)));
                let ttl = ttl.unwrap_or(RETRY_MAX).clamp(TTL_MIN, TTL_MAX);
                (Err(DiscoverError::NoName { name: self.name.clone() }), Some(ttl))
            }
            // Planted: what nobody tells is taken for nothing.
            Err(_) if cfg!(feature = "bug-p25") => (Err(DiscoverError::NoName { name: self.name.clone() }), None),
            Err(error) => (Err(silent(&self.name, &error)), None),
        }
    }

    fn set_of(&self, records: &[&SRV]) -> Result<EndpointSet, DiscoverError> {
        let nearest = records.iter().map(|srv| srv.priority).min();
        let near = records.iter().filter(|srv| Some(srv.priority) == nearest);
        // A target of "." says that the service is decidedly not there.
        let near: Vec<&&SRV> = near.filter(|srv| !srv.target.is_root()).collect();
        if near.is_empty() {
            return Err(DiscoverError::NoName { name: self.name.clone() });
        }
        let heaviest = near.iter().map(|srv| u32::from(srv.weight)).max().unwrap_or(0);
        let endpoints = near.iter().map(|srv| {
            // As DNS has them they go to 65,535: what counts is how they stand to each other.
            let weight = match heaviest {
                0..=WEIGHT_MAX => u32::from(srv.weight),
                heaviest => u32::from(srv.weight) * WEIGHT_MAX / heaviest,
            };
            Ok((Endpoint::tcp(&srv.target.to_string(), srv.port)?, weight))
        });
        EndpointSet::new(endpoints.collect::<Result<Vec<_>, DiscoverError>>()?, self.bounds.endpoints_max)
    }
}

/// Whether somebody who must know says that there is nothing: a server that is down says so in the same words, with
/// another code.
fn is_an_answer(none: &hickory_resolver::net::NoRecords) -> bool {
    use hickory_resolver::proto::op::ResponseCode;
    matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
}

fn silent(name: &str, error: &dyn std::error::Error) -> DiscoverError {
    DiscoverError::Dns { name: name.to_owned(), why: error.to_string() }
}

impl Discover for Dns {
    fn source(&self) -> String {
        format!("DNS, {}", self.name)
    }

    fn sets(self: Box<Self>) -> Sets {
        let first = (self, Saying::default(), Duration::ZERO, RETRY_MIN);
        Box::pin(stream::unfold(first, async |(this, mut saying, mut wait, mut retry)| {
            loop {
                tokio::time::sleep(wait).await;
                let (found, ttl) = this.ask().await;
                (wait, retry) = match ttl {
                    Some(ttl) => (ttl, RETRY_MIN),
                    None => (retry, (retry * 2).min(RETRY_MAX)),
                };
                if let Some(seen) = saying.of(found) {
                    return Some((seen, (this, saying, wait, retry)));
                }
            }
        }))
    }
}
