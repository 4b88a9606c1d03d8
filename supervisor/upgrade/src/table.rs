//! A plan as people read it: a row an actor, with the steps that will run.

use crate::after;
use crate::plan::{Direction, Move, Plan};
use crate::report::{Failure, Pause, TrialOutcome, Trialled};
use crate::step::Step;
use crate::trial::Back;
use std::fmt;

/// A row's cells; the last one needs no width.
type Row = [String; 5];

impl fmt::Display for Plan {
    /// A table, then what is to be known of single actors, then the sum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<Row> = vec![["ACTOR", "FROM", "TO", "SCHEMA", "STEPS"].map(str::to_owned)];
        rows.extend(self.moves().iter().map(moved));
        rows.extend(self.unchanged().iter().map(|there| {
            let (version, schema) = (there.at.version.to_string(), there.at.schema.to_string());
            [there.addr.to_string(), version.clone(), version, schema, "none: it is there already".to_owned()]
        }));
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3].map(width);
        for [addr, from, to, schema, steps] in &rows {
            let [a, b, c, d] = widths;
            writeln!(f, "{addr:<a$}  {from:<b$}  {to:<c$}  {schema:<d$}  {steps}")?;
        }
        for moved in self.moves() {
            for lost in &moved.pathless {
                writeln!(f, "{}: {lost}", moved.addr)?;
            }
            if !moved.children.is_empty() {
                let children: Vec<&str> = moved.children.iter().map(teneral_contract::Addr::path).collect();
                writeln!(f, "{}: its children stay as they are: {}", moved.addr, children.join(", "))?;
            }
        }
        for moved in self.moves() {
            let trialled = self.rehearsed().iter().find(|trialled| trialled.actor == moved.addr);
            trialled.map_or(Ok(()), |trialled| rehearsed(f, moved, &trialled.outcome))?;
        }
        after::written(f, self)?;
        for warning in self.warnings() {
            writeln!(f, "warning: {warning}")?;
        }
        match (self.moves().len(), self.unchanged().len()) {
            (0, _) => f.write_str("nothing to do"),
            (moves, there) => {
                let failed = |trialled: &&Trialled| matches!(trialled.outcome, TrialOutcome::Failed(_));
                let refused = match self.rehearsed().iter().filter(failed).count() {
                    0 => String::new(),
                    refused => format!(", {refused} of them refused at trial"),
                };
                write!(f, "{moves} to move{refused}, {there} there already; in brackets: while it is paused")
            }
        }
    }
}

/// What its rehearsal told: how long the pause will be, and what can be taken back afterwards.
fn rehearsed(f: &mut fmt::Formatter<'_>, moved: &Move, outcome: &TrialOutcome) -> fmt::Result {
    let Move { addr, direction, from, to, .. } = moved;
    match outcome {
        TrialOutcome::Linked => {
            writeln!(f, "{addr}: not rehearsed: its code is linked into the host")
        }
        TrialOutcome::Passed(told) => {
            let (pause, copy, migrate) = (Pause(told.pause_us), Pause(told.copy_us), Pause(told.migrate_us));
            let (before, after) = (told.state_bytes, told.new_state_bytes);
            writeln!(
                f,
                "{addr}: rehearsed: {before} -> {after} bytes of state, about {pause} of pause ({copy} to write it, \
                 {migrate} to migrate)"
            )?;
            let (from, to) = (&from.version, &to.version);
            let back_to = if *direction == Direction::Downgrade { "up to" } else { "down to" };
            let back = match (told.back, &told.back_fails) {
                (Back::Exact, _) => format!("gives back the very state that {from} had"),
                (Back::Lossy, None) => format!("gives {from} another state than it had"),
                (Back::Lossy, Some(why)) => why.clone(),
                (Back::None, _) => {
                    return writeln!(f, "{addr}: after the commit there is no way from {to} {back_to} {from}");
                }
            };
            writeln!(f, "{addr}: after the commit the way from {to} {back_to} {from} {back}")
        }
        TrialOutcome::Failed(Failure { code, cause, hint }) => {
            writeln!(f, "error[{code}]: {addr}: upgrade {from} -> {} would be refused at trial", to.version)?;
            writeln!(f, "  cause: {cause}\n  hint:  {hint}")
        }
    }
}

fn moved(moved: &Move) -> Row {
    let Move { addr, from, to, ladder, steps, .. } = moved;
    let mut schema = from.schema.to_string();
    ladder.iter().for_each(|hop| schema.push_str(&format!(" -> {}", hop.to_schema)));
    if ladder.is_empty() && from.schema != to.schema {
        schema.push_str(&format!(" => {}, reset", to.schema));
    }
    let name = |step: &Step| match step {
        Step::Pause => "[pause".to_owned(),
        Step::Commit => "commit]".to_owned(),
        step => step.name().to_owned(),
    };
    let steps: Vec<String> = steps.iter().map(name).collect();
    [addr.to_string(), from.version.to_string(), to.version.to_string(), schema, steps.join(" ")]
}
