//! The flow: how far the senders are, how far they may go, and how fast.
//!
//! Rounds of moves are tied to lines, not to time: round number n begins when a fixed share of the lines was sent. A
//! quarter of the next share may be sent while the first actor is moved, which takes the time to load the code, the
//! rest in shrinking portions while the others are. So every actor works under every version and is moved amid traffic,
//! on a fast machine and on a slow one. What is left when the last round has moved them is kept for its probation: a
//! share like every other, or as many lines as it takes for a version to go wrong.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How much lost time a sender catches up on.
const CATCH_UP_MAX: Duration = Duration::from_millis(100);

/// How far the senders are.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    sent_lines: u64,
    ended: bool,
}

/// Shared by senders, mover and view.
#[derive(Debug)]
pub(crate) struct Flow {
    lines: u64,
    rounds: u64,
    /// Lines that are sent up to the end of the last round.
    moved_lines: u64,
    progress: watch::Sender<Progress>,
    allowed: watch::Sender<u64>,
    taken: std::sync::atomic::AtomicU64,
}

impl Flow {
    /// A flow of `lines` lines with `rounds` rounds of moves in it, and at least `after_lines` after the last of them;
    /// all up to the first round is allowed.
    pub(crate) fn new(lines: u64, rounds: u64, after_lines: u64) -> Self {
        let after_lines = after_lines.max(lines / (rounds + 2));
        let flow = Self {
            lines,
            rounds,
            moved_lines: lines.saturating_sub(after_lines),
            progress: watch::Sender::new(Progress::default()),
            allowed: watch::Sender::new(0),
            taken: 0.into(),
        };
        flow.allow_before(0);
        flow
    }

    /// Waits until `lines` more may be sent. Cancelled, it has still taken them.
    pub(crate) async fn admit(&self, lines: u64) {
        let end = self.taken.fetch_add(lines, std::sync::atomic::Ordering::Relaxed) + lines;
        // The sender's half lives in `self`, so the wait cannot fail.
        let _ = self.allowed.subscribe().wait_for(|allowed| *allowed >= end.min(self.lines)).await;
    }

    /// Counts `lines` as sent.
    pub(crate) fn sent(&self, lines: u64) {
        self.progress.send_modify(|progress| progress.sent_lines += lines);
    }

    /// No more lines will come; whoever waits for them is woken.
    pub(crate) fn end(&self) {
        self.progress.send_modify(|progress| progress.ended = true);
    }

    /// Lines to be sent in all.
    pub(crate) const fn lines(&self) -> u64 {
        self.lines
    }

    /// Lines sent so far.
    pub(crate) fn sent_lines(&self) -> u64 {
        self.progress.borrow().sent_lines
    }

    /// Waits for the line with which round `number` (from 0) begins, or for the end.
    pub(crate) async fn reach_round(&self, number: u64) {
        let at = self.line_of(number);
        let _ = self.progress.subscribe().wait_for(|now| now.sent_lines >= at || now.ended).await;
    }

    /// Lets the senders run up to round `number`, and on while its first actor is moved.
    pub(crate) fn allow_before(&self, number: u64) {
        let (begin, end) = (self.line_of(number), self.line_of(number + 1));
        self.allowed.send_replace(begin + (end - begin) / 4);
    }

    /// Lets the senders run on for an eighth of what round `number` has left.
    pub(crate) fn allow_some_during(&self, number: u64) {
        let end = self.line_of(number + 1);
        self.allowed.send_modify(|allowed| *allowed += end.saturating_sub(*allowed).div_ceil(8));
    }

    /// Lets the senders run to the end of round `number`.
    pub(crate) fn allow_during(&self, number: u64) {
        self.allowed.send_replace(self.line_of(number + 1));
    }

    /// All are moved: lets the rest go.
    pub(crate) fn allow_all(&self) {
        self.allowed.send_replace(self.lines);
    }

    /// Waits for the end.
    pub(crate) async fn ended(&self) {
        let _ = self.progress.subscribe().wait_for(|now| now.ended).await;
    }

    fn line_of(&self, number: u64) -> u64 {
        let share = u128::from(self.moved_lines) * u128::from(number + 1) / u128::from(self.rounds + 1);
        u64::try_from(share).unwrap_or(u64::MAX).min(self.moved_lines)
    }
}

/// Holds one sender to its share of the rate.
#[derive(Debug)]
pub(crate) struct Pace {
    line_time: Option<Duration>,
    due: Instant,
}

impl Pace {
    /// `lines_per_second` of this sender; 0 is no limit.
    pub(crate) fn new(lines_per_second: f64) -> Self {
        let line_time = (lines_per_second > 0.0).then(|| Duration::from_secs_f64(1.0 / lines_per_second));
        Self { line_time, due: Instant::now() }
    }

    /// Waits until `lines` more are due. Of time lost elsewhere, little is made up for by a burst.
    pub(crate) async fn wait(&mut self, lines: u32) {
        let Some(line_time) = self.line_time else { return };
        tokio::time::sleep_until(self.due).await;
        self.due = self.due.max(Instant::now() - CATCH_UP_MAX) + line_time * lines;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn senders_run_a_quarter_of_a_share_ahead_of_a_round_and_the_rest_while_it_moves_actors() {
        const LINES: u64 = 2000;
        let flow = Arc::new(Flow::new(LINES, 6, 0));
        let sender = tokio::spawn({
            let flow = Arc::clone(&flow);
            async move {
                for _ in 0..LINES / 10 {
                    flow.admit(10).await;
                    flow.sent(10);
                }
                flow.end();
            }
        });
        for round in 0..6 {
            flow.reach_round(round).await;
            assert!(flow.sent_lines() <= LINES * (4 * round + 5) / 32, "before {round}: {}", flow.sent_lines());
            flow.allow_during(round);
            let _ = flow.progress.subscribe().wait_for(|now| now.sent_lines == LINES * (round + 2) / 8).await;
            flow.allow_before(round + 1);
        }
        flow.allow_all();
        sender.await.unwrap();
        assert_eq!(flow.sent_lines(), LINES);
    }

    #[tokio::test]
    async fn a_round_that_no_line_will_reach_begins_at_the_end() {
        let flow = Flow::new(2000, 6, 0);
        flow.end();
        flow.reach_round(5).await;
        flow.ended().await;
        assert_eq!(flow.sent_lines(), 0);
    }

    #[tokio::test]
    async fn what_the_last_round_leaves_for_its_probation_is_not_sent_before_it_has_moved_all() {
        let flow = Arc::new(Flow::new(2000, 3, 1200));
        let sender = tokio::spawn({
            let flow = Arc::clone(&flow);
            async move {
                for _ in 0..200 {
                    flow.admit(10).await;
                    flow.sent(10);
                }
                flow.end();
            }
        });
        for round in 0..3 {
            flow.reach_round(round).await;
            flow.allow_during(round);
            let _ = flow.progress.subscribe().wait_for(|now| now.sent_lines == 200 * (round + 2)).await;
            flow.allow_before(round + 1);
        }
        tokio::task::yield_now().await;
        assert_eq!(flow.sent_lines(), 800);
        flow.allow_all();
        flow.ended().await;
        assert_eq!(flow.sent_lines(), 2000);
        sender.await.unwrap();
    }
}
