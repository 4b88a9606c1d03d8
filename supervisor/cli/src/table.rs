//! Text in columns, and numbers that can be read: what every command prints for people.

use std::fmt::Write as _;

/// Columns as wide as their widest cell, two spaces apart, the first left-aligned and the others to the right.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    aligned(rows, 2)
}

/// Columns as wide as their widest cell, two spaces apart, all left-aligned: for rows without numbers to compare.
pub(crate) fn words(rows: &[Vec<String>]) -> String {
    aligned(rows, usize::MAX)
}

fn aligned(rows: &[Vec<String>], left: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let _ = if column < left { write!(text, "{cell:<width$}  ") } else { write!(text, "{cell:>width$}  ") };
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
