//! The view: what a person sees while the demo runs. A few lines redrawn in place on a terminal, plain lines elsewhere.
//!
//! It goes to stderr, so that stdout holds the result alone, and it looks at the run from outside, on a thread of its
//! own: a view that is slow, or a terminal that is closed, slows nothing down.

use crate::table::{columns, grouped};
use crossterm::style::Stylize;
use crossterm::{cursor, queue, terminal};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two frames on a terminal.
const FRAME: Duration = Duration::from_millis(100);

/// Between two plain lines.
const PLAIN: Duration = Duration::from_secs(1);

const BAR_CELLS: u64 = 40;

/// What is seen at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) sent_lines: u64,
    pub(crate) lines: u64,
    pub(crate) moves_done: usize,
    pub(crate) moves: usize,
    pub(crate) actors: Vec<ActorLine>,
    /// The last move, in words.
    pub(crate) last: String,
}

/// One actor at that moment.
#[derive(Debug, Clone)]
pub(crate) struct ActorLine {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) generation: u64,
    pub(crate) queued_messages: usize,
    pub(crate) status: &'static str,
}

/// A view that runs until it is closed.
#[derive(Debug)]
pub(crate) struct View {
    close: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl View {
    /// Shows what `look` sees, until [`View::close`].
    pub(crate) fn open(look: impl Fn() -> Frame + Send + 'static) -> Self {
        let (close, closed) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            if io::stderr().is_terminal() {
                redraw(&closed, look);
            } else {
                log(&closed, look);
            }
        });
        Self { close, thread }
    }

    /// Shows the last moment and ends.
    pub(crate) fn close(self) {
        drop(self.close);
        // A view that panicked has shown its panic; the run goes on to its report.
        let _ = self.thread.join();
    }
}

/// Waits for the next frame; false when the view is to end.
fn again(closed: &mpsc::Receiver<()>, period: Duration) -> bool {
    closed.recv_timeout(period) == Err(RecvTimeoutError::Timeout)
}

fn log(closed: &mpsc::Receiver<()>, look: impl Fn() -> Frame) {
    let mut speed = Speed::new();
    while again(closed, PLAIN) {
        print(&look(), &mut speed);
    }
    print(&look(), &mut speed);
}

fn print(frame: &Frame, speed: &mut Speed) {
    // Whoever closed stderr does not want to read it.
    let _ = writeln!(io::stderr(), "{}  {}", summary(frame, speed), frame.last);
}

fn redraw(closed: &mpsc::Receiver<()>, look: impl Fn() -> Frame) {
    let mut speed = Speed::new();
    let mut drawn_rows = 0;
    loop {
        let open = again(closed, FRAME);
        match draw(&look(), &mut speed, drawn_rows) {
            Ok(rows) if open => drawn_rows = rows,
            _ => return,
        }
    }
}

/// Draws over the last frame's rows and returns its own.
fn draw(frame: &Frame, speed: &mut Speed, drawn_rows: u16) -> io::Result<u16> {
    // Sizes that cannot be read are those of the smallest usual terminal.
    let (width, height) = terminal::size().unwrap_or((80, 24));
    let mut rows = vec![vec!["actor", "runs", "upgrades", "waiting", ""].into_iter().map(str::to_owned).collect()];
    for actor in &frame.actors {
        let ActorLine { name, version, generation, queued_messages, status } = actor;
        let (generation, queued) = (generation.to_string(), queued_messages.to_string());
        rows.push(vec![name.clone(), version.clone(), generation, queued, (*status).to_owned()]);
    }
    let filled = (BAR_CELLS * frame.sent_lines / frame.lines.max(1)).min(BAR_CELLS);
    let bar = "=".repeat(usize::try_from(filled).unwrap_or(0));
    let mut lines = vec![format!("[{bar:<40}] {}", summary(frame, speed))];
    lines.extend(columns(&rows).lines().map(str::to_owned));
    lines.push(frame.last.clone());
    lines.truncate(usize::from(height.saturating_sub(1)));

    let mut out = io::stderr().lock();
    if drawn_rows > 0 {
        queue!(out, cursor::MoveToPreviousLine(drawn_rows))?;
    }
    queue!(out, terminal::Clear(terminal::ClearType::FromCursorDown))?;
    for (row, line) in lines.iter().enumerate() {
        // A wrapped row would spoil the count of rows to go back over.
        let line: String = line.chars().take(usize::from(width)).collect();
        if row == 0 { writeln!(out, "{}", line.bold())? } else { writeln!(out, "{line}")? }
    }
    out.flush()?;
    Ok(u16::try_from(lines.len()).unwrap_or(u16::MAX))
}

fn summary(frame: &Frame, speed: &mut Speed) -> String {
    let Frame { sent_lines, lines, moves_done, moves, .. } = frame;
    let speed = grouped(speed.at(*sent_lines));
    format!("{} of {} lines, {speed}/s, {moves_done} of {moves} moves", grouped(*sent_lines), grouped(*lines))
}

/// Lines a second since the last look.
struct Speed {
    at: Instant,
    lines: u64,
}

impl Speed {
    fn new() -> Self {
        Self { at: Instant::now(), lines: 0 }
    }

    fn at(&mut self, lines: u64) -> u64 {
        let took_us = self.at.elapsed().as_micros().max(1);
        let new = u128::from(lines.saturating_sub(self.lines));
        *self = Self { at: Instant::now(), lines };
        u64::try_from(new * 1_000_000 / took_us).unwrap_or(u64::MAX)
    }
}
