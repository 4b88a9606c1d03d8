//! A plan as people read it: a row an actor, with the steps that will run.

use crate::plan::{Move, Plan};
use crate::step::Step;
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
        for warning in self.warnings() {
            writeln!(f, "warning: {warning}")?;
        }
        match (self.moves().len(), self.unchanged().len()) {
            (0, _) => f.write_str("nothing to do"),
            (moves, there) => write!(f, "{moves} to move, {there} there already; in brackets: while it is paused"),
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
