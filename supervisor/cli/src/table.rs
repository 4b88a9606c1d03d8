//! Text in columns, and numbers that can be read: what every command prints for people.

use std::fmt::Write as _;

/// Columns as wide as their widest cell, two spaces apart: names to the left, and from the third on numbers to the
/// right. The first row may be their heading.
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
    let is_number = |cell: &String| cell.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b',' | b' ' | b'-'));
    let numbers: Vec<bool> = (0..count)
        .map(|column| column >= 2 && rows.iter().skip(1).filter_map(|row| row.get(column)).all(is_number))
        .collect();
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
