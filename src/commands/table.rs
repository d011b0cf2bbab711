//! Listings for people: aligned columns, ISO times.

pub(super) use crate::views::iso;
use std::io::{self, Write};

/// Rows under a heading, each column as wide as its widest cell.
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned)] }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Writes it, or `empty` if there is no row.
    pub(super) fn write(&self, empty: &str, out: &mut dyn Write) -> io::Result<()> {
        if self.rows.len() == 1 {
            return writeln!(out, "{empty}");
        }
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.rows {
            let cells: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(out, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Writes a value and a line feed.
pub(super) fn write_json(value: &serde_json::Value, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// "1 session", "2 sessions".
pub(super) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let mut table = Table::new(["A", "NAME", "Z"]);
        table.row(["long".to_owned(), "Söhne".to_owned(), String::new()]);
        table.row(["x".to_owned(), "y".to_owned(), "z".to_owned()]);
        let mut out = Vec::new();
        table.write("none", &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "A     NAME   Z\nlong  Söhne\nx     y      z\n");
        let mut out = Vec::new();
        Table::new(["A"]).write("none", &mut out).unwrap();
        assert_eq!(out, b"none\n");
    }
}
