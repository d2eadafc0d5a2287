//! What commands write to standard output, and in what columns.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

/// Writes to standard output. A reader that has seen enough is no error.
pub fn write(bytes: &[u8]) -> Result<ExitCode> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Writes a JSON array.
///
/// # Errors
/// As [`write()`].
pub fn write_json(objects: Vec<Value>) -> Result<ExitCode> {
    write(format!("{:#}\n", Value::from(objects)).as_bytes())
}

/// Columns as wide as their widest cell, numbers to the right.
pub fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let numeric = |column: usize| {
        rows.len() > 1
            && rows[1..].iter().all(|row| {
                row[column] == "-" || row[column].starts_with(|c: char| c.is_ascii_digit())
            })
    };
    let numeric: Vec<bool> = (0..widths.len()).map(numeric).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).zip(&numeric);
        let cells: Vec<String> = cells
            .map(|((cell, &width), &right)| match right {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
