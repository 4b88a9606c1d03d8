//! Contenders, rounds, medians, and the two ways of printing them.

use clap::Parser;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// How a bench is run.
#[derive(Debug, Parser)]
#[command(about = "Figures beside the peers', taken in one run")]
pub struct Options {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    pub json: bool,
    /// Rounds; each runs every contender once. Fewer than 5 are for trying out.
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// Only cases whose name contains this.
    #[arg(long)]
    pub only: Option<String>,
    /// Only contenders whose name contains one of these; `teneral` is ours.
    #[arg(long, value_delimiter = ',')]
    pub peers: Vec<String>,
    /// A hundredth of the work: shows that the bench runs, not how fast.
    #[arg(long)]
    pub short: bool,
    /// What `cargo bench` adds; means nothing here.
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Options {
    /// `full`, or a hundredth of it for a short run.
    #[must_use]
    pub fn work(&self, full: u64) -> u64 {
        if self.short { (full / 100).max(1) } else { full }
    }
}

/// One measured value.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What was measured, after the case's name; empty for the main figure.
    pub what: &'static str,
    /// The value.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// How many operations it was taken over.
    pub n: u64,
}

/// Why a contender does not take part.
#[derive(Debug, Clone)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one round of one contender gives.
pub type Taken = Result<Vec<Figure>, Missing>;

struct Contender<'a> {
    case: String,
    peer: String,
    round: Box<dyn FnMut() -> Taken + 'a>,
}

/// A bench: contenders by case.
pub struct Bench<'a> {
    name: &'static str,
    options: &'a Options,
    contenders: Vec<Contender<'a>>,
}

impl fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("name", &self.name).field("contenders", &self.contenders.len()).finish()
    }
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Line<'a> {
    bench: &'a str,
    case: String,
    peer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

impl<'a> Bench<'a> {
    /// An empty bench.
    #[must_use]
    pub fn new(name: &'static str, options: &'a Options) -> Self {
        Self { name, options, contenders: Vec::new() }
    }

    /// Adds a contender of `case`; those of one case run next to one another.
    pub fn add(&mut self, case: &str, peer: &str, round: impl FnMut() -> Taken + 'a) {
        let Options { only, peers, .. } = self.options;
        let is_wanted = peers.is_empty() || peers.iter().any(|wanted| peer.contains(wanted.as_str()));
        if is_wanted && only.as_deref().is_none_or(|only| case.contains(only)) {
            self.contenders.push(Contender { case: case.into(), peer: peer.into(), round: Box::new(round) });
        }
    }

    /// Runs all rounds and prints the medians.
    pub fn run(mut self) {
        let mut cases: Vec<String> = Vec::new();
        for contender in &self.contenders {
            if !cases.contains(&contender.case) {
                cases.push(contender.case.clone());
            }
        }
        for case in cases {
            let mut contenders: Vec<&mut Contender<'a>> =
                self.contenders.iter_mut().filter(|contender| contender.case == case).collect();
            let lines = measure(self.name, &mut contenders, self.options.rounds);
            if self.options.json { print_json(&lines) } else { print_table(&case, &lines) }
        }
    }
}

/// The rounds of one case.
fn measure<'a>(bench: &'a str, contenders: &'a mut [&mut Contender<'_>], rounds: u32) -> Vec<Line<'a>> {
    let mut taken: Vec<BTreeMap<&'static str, Vec<Figure>>> = contenders.iter().map(|_| BTreeMap::new()).collect();
    let mut missing: Vec<Option<Missing>> = contenders.iter().map(|_| None).collect();
    for round in 0..rounds as usize {
        for step in 0..contenders.len() {
            // Every round starts with another contender, so that none always follows the same one.
            let at = (step + round) % contenders.len();
            if missing[at].is_some() {
                continue;
            }
            match (contenders[at].round)() {
                Ok(figures) => figures.into_iter().for_each(|f| taken[at].entry(f.what).or_default().push(f)),
                Err(why) => missing[at] = Some(why),
            }
        }
    }
    let mut lines = Vec::new();
    for ((contender, taken), missing) in contenders.iter().zip(taken).zip(missing) {
        let line = |case, figure: Option<&Figure>, skipped| Line {
            bench,
            case,
            peer: &contender.peer,
            value: figure.map(|figure| figure.value),
            unit: figure.map(|figure| figure.unit),
            n: figure.map(|figure| figure.n),
            skipped,
        };
        if let Some(why) = missing {
            lines.push(line(contender.case.clone(), None, Some(why.to_string())));
        }
        for (what, mut figures) in taken {
            figures.sort_by(|a, b| a.value.total_cmp(&b.value));
            let case = format!("{} {what}", contender.case);
            lines.push(line(case.trim_end().to_owned(), figures.get(figures.len() / 2), None));
        }
    }
    lines
}

fn print_json(lines: &[Line<'_>]) {
    for line in lines {
        println!("{}", serde_json::to_string(line).expect("plain values are JSON"));
    }
}

fn print_table(case: &str, lines: &[Line<'_>]) {
    println!("\n{case}");
    for line in lines {
        let what = line.case.strip_prefix(case).unwrap_or_default().trim();
        match (&line.skipped, line.value, line.unit) {
            (Some(why), ..) => println!("  {:<32} {why}", line.peer),
            (None, Some(value), Some(unit)) => println!("  {:<32} {what:<14} {value:>14.2} {unit}", line.peer),
            _ => {}
        }
    }
}
