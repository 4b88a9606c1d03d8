//! Text in columns, and numbers that can be read: what every command prints for people.

use std::fmt::Write as _;

/// How the columns of a table were set that goes on.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    widths: Vec<usize>,
    numbers: Vec<bool>,
}

/// Columns as wide as their widest cell, two spaces apart: names to the left, and from the third on numbers to the
/// right. The first row may be their heading.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    aligned(&mut Layout::default(), rows, 2)
}

/// The same for more rows of a table whose first have been shown: no column becomes narrower than it was.
pub(crate) fn columns_on(layout: &mut Layout, rows: &[Vec<String>]) -> String {
    aligned(layout, rows, 2)
}

/// Columns as wide as their widest cell, two spaces apart, all left-aligned: for rows without numbers to compare.
pub(crate) fn words(rows: &[Vec<String>]) -> String {
    aligned(&mut Layout::default(), rows, usize::MAX)
}

/// What somebody or a library says, without the power to write anything but letters to a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// What stands below a table of some that matter: how many there are, a line or more for each that is named, and where
/// the others are. Nothing where there is none.
pub(crate) fn counted(count: usize, what: &str, named: &[String], others: &str) -> String {
    if count == 0 {
        return String::new();
    }
    let more = count.saturating_sub(named.len());
    let more = if more > 0 { format!("  and {more} more: {others}\n") } else { String::new() };
    format!("{count} {what}\n{}{more}", named.concat())
}

fn aligned(layout: &mut Layout, rows: &[Vec<String>], left: usize) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| harmless(cell)).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let Layout { widths, numbers } = layout;
    widths.resize(count.max(widths.len()), 0);
    (0..count).for_each(|column| widths[column] = widths[column].max(width(column)));
    let is_number = |cell: &String| cell.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b',' | b' ' | b'-'));
    let of_numbers =
        |column: usize| column >= 2 && rows.iter().skip(1).filter_map(|row| row.get(column)).all(is_number);
    numbers.extend((numbers.len()..count).map(of_numbers));
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let right = column >= left && numbers[column];
            let _ = if right { write!(text, "{cell:>width$}  ") } else { write!(text, "{cell:<width$}  ") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// Digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
