//! How many requests a user may make: a bucket of tokens for each, filled at a steady rate.
//!
//! A flood is not to be seen in the actors' latency, so that it must cost the host next to nothing: a request without a
//! token is answered unread, and late, which holds up the connection that it came on and nobody else. Health has a
//! bucket of its own, so that whoever looks after the host still sees it. Root is a user as any other.

use super::Caller;
use crate::api::ApiError;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests a second of one user, in the long run.
pub const REQUESTS_PER_S: u32 = 250;

/// Requests of one user at once, after a time without any.
pub const REQUESTS_BURST: u32 = 500;

/// How long a request without a token waits for its refusal.
pub(super) const REFUSED_AFTER: Duration = Duration::from_millis(100);

/// What a request is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purse {
    /// Whether the host serves.
    Health,
    /// All else.
    Work,
}

/// The buckets; there are as many as users that may command: the host's own, and root.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<BTreeMap<(u32, Purse), Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    const fn full(at: Instant) -> Self {
        Self { tokens: REQUESTS_BURST as f64, at }
    }

    fn take(&mut self, now: Instant) -> Option<()> {
        let since = now.saturating_duration_since(self.at);
        let filled = self.tokens + since.as_secs_f64() * f64::from(REQUESTS_PER_S);
        (self.tokens, self.at) = (filled.min(f64::from(REQUESTS_BURST)), now.max(self.at));
        let left = self.tokens - 1.0;
        (left >= 0.0).then(|| self.tokens = left)
    }
}

impl Rates {
    /// Takes a token; the refusal when there is none.
    pub(super) fn take(&self, caller: &Caller, purse: Purse) -> Result<(), ApiError> {
        let now = Instant::now();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((caller.uid, purse)).or_insert_with(|| Bucket::full(now));
        bucket.take(now).ok_or_else(|| {
            let uid = caller.uid;
            ApiError::request(
                StatusCode::TOO_MANY_REQUESTS,
                "CTL-RATE",
                format!(
                    "user {uid} has asked more than {REQUESTS_PER_S} times a second, over {REQUESTS_BURST} at once"
                ),
                "ask less often; to see what changes, watch it: teneral actor watch",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_a_burst_and_fills_at_its_rate() {
        let begun = Instant::now();
        let mut bucket = Bucket::full(begun);
        let taken = |bucket: &mut Bucket, at| (0..10_000).take_while(|_| bucket.take(at).is_some()).count();
        assert_eq!(taken(&mut bucket, begun), 500);
        assert_eq!(taken(&mut bucket, begun + Duration::from_secs(1)), 250);
        // A clock that seems to go back gives nothing, and takes nothing away.
        assert_eq!(taken(&mut bucket, begun), 0);
        assert_eq!(taken(&mut bucket, begun + Duration::from_secs(1000)), 500);
    }

    #[test]
    fn each_user_has_buckets_of_their_own_and_health_has_one_apart() {
        let rates = Rates::default();
        let caller = |uid| Caller { uid, pid: None };
        while rates.take(&caller(7), Purse::Work).is_ok() {}
        let refused = rates.take(&caller(7), Purse::Work).expect_err("it is empty");
        assert_eq!((&*refused.code, refused.status), ("CTL-RATE", 429));
        assert_eq!(rates.take(&caller(7), Purse::Health), Ok(()));
        assert_eq!(rates.take(&caller(0), Purse::Work), Ok(()));
    }
}
