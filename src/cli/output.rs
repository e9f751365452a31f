//! Printing: text for people, one JSON document for machines.
#![allow(clippy::print_stdout)]

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Prints a line of data. A reader that went away (`| head`) ends nothing.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(io::stdout().lock(), "{}", text.as_ref());
}

/// Says something that is no data, to standard error.
pub fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Prints a JSON document.
///
/// # Errors
/// When the value cannot be written as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints an error with its causes, outermost first, to standard error.
pub fn error(error: &anyhow::Error, as_json: bool) {
    let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
    let mut out = io::stderr().lock();
    if as_json {
        let _ = writeln!(out, "{}", serde_json::json!({ "error": chain }));
        return;
    }
    let _ = writeln!(out, "error: {}", chain.join(": "));
}

/// Prints a table: the first row is the head, numbers to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = head.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let numeric =
        |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
    let print = |cells: Vec<&str>| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) =
                if numeric(cell) { (pad.as_str(), "") } else { ("", pad.as_str()) };
            text.push_str(&format!("{before}{cell}{after}  "));
        }
        line(text.trim_end());
    };
    print(head.to_vec());
    for row in rows {
        print(row.iter().map(String::as_str).collect());
    }
}

/// A number with thousands separators: `276,000`.
#[must_use]
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A value of a body in a table: as JSON, cut where it is long.
#[must_use]
pub fn short(value: Option<&serde_json::Value>) -> String {
    const WIDTH: usize = 40;
    let text = value.map_or_else(|| "(absent)".to_owned(), ToString::to_string);
    match text.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// A progress bar on standard error; hidden where nobody watches.
#[must_use]
pub fn progress(total: u64, what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    if let Ok(style) =
        ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {eta}")
    {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 276_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "276,000", "1,234,567"]
        );
    }
}
