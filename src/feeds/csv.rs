//! Comma-separated lines, and what their cells mean.

/// The cells of a line; quotes as in RFC 4180, line breaks inside cells are
/// not part of any format that is read here.
#[must_use]
pub fn cells(line: &str) -> Vec<String> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line.as_bytes());
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => record.iter().map(|cell| cell.trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// A cell's number: `None` for an empty cell, an error for anything that is
/// not a finite number.
///
/// # Errors
/// The cell's text.
pub fn number(cell: &str) -> Result<Option<f64>, &str> {
    if cell.is_empty() {
        return Ok(None);
    }
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        _ => Err(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_numbers() {
        assert_eq!(
            cells("\"Date: May 1, 2022\",Bid: 1.5,,x\r"),
            ["Date: May 1, 2022", "Bid: 1.5", "", "x"]
        );
        assert_eq!(number(""), Ok(None));
        assert_eq!(number("1e3"), Ok(Some(1000.0)));
        assert_eq!(number("NaN"), Err("NaN"));
        assert_eq!(number("inf"), Err("inf"));
    }
}
