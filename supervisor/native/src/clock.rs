//! `native/clock`: wall time, and wake-ups by it.
//!
//! A wake-up looks at the wall clock at least every second, so that a clock that is set, and a machine that slept, are
//! seen at once.

use crate::call::{Call, Refused};
use crate::grants::Grants;
use crate::host::Native;
use crate::streams::Sink;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use teneral_native_api::clock::{Message, Now, PERIOD_MS_MIN, Time, Wake, Waking, When, Woken};

/// Longest sleep between two looks at the wall clock.
const LOOK: Duration = Duration::from_secs(1);

/// Longest name of a wake-up.
const NAME_BYTES_MAX: usize = 256;

pub(crate) struct Clock {
    pub(crate) grants: Arc<Grants>,
}

impl Native for Clock {
    type Message = Message;

    async fn handle(&self, message: Message, call: &mut Call) -> Result<(), Refused> {
        self.grants.clock(call.sender())?;
        match message {
            Message::Now(Now {}) => call.reply(&Time { unix_ms: unix_ms() }),
            Message::Wake(Wake { name, when }) => {
                if name.len() > NAME_BYTES_MAX {
                    return Err(Refused::failed(format!("a name of over {NAME_BYTES_MAX} bytes")));
                }
                let due_unix_ms = first(when)?;
                let named = name.clone();
                call.keep(&named, |sink| wake(sink, name, when, due_unix_ms))?;
                call.reply(&Waking { due_unix_ms });
            }
            Message::Forget(forget) => call.end(&forget.name),
        }
        Ok(())
    }
}

fn first(when: When) -> Result<u64, Refused> {
    match when {
        When::At { unix_ms } => Ok(unix_ms),
        When::Every { period_ms } if period_ms < PERIOD_MS_MIN => {
            Err(Refused::failed(format!("a period of {period_ms} ms, below the least of {PERIOD_MS_MIN}")))
        }
        When::Every { period_ms } => Ok(after(unix_ms(), period_ms)),
    }
}

async fn wake(sink: Sink, name: String, when: When, mut due_unix_ms: u64) {
    let mut missed = 0;
    loop {
        loop {
            let left = Duration::from_millis(due_unix_ms.saturating_sub(unix_ms()));
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left.min(LOOK)).await;
            if sink.is_gone() {
                return;
            }
        }
        let woken = Woken { name: name.clone(), due_unix_ms, missed };
        let (false, When::Every { period_ms }) = (sink.tell(&woken).await.is_err(), when) else { return };
        let next = after(unix_ms().max(due_unix_ms), period_ms);
        missed = ((next - due_unix_ms) / period_ms).saturating_sub(1);
        due_unix_ms = next;
    }
}

/// The next whole multiple of the period.
fn after(unix_ms: u64, period_ms: u64) -> u64 {
    (unix_ms / period_ms).saturating_add(1).saturating_mul(period_ms)
}

fn unix_ms() -> u64 {
    // A clock before 1970 is a clock that was never set.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
