//! What a file holds, told by its first bytes.

use crate::feeds::Format;
use crate::feeds::spx0dte::BARS_HEADER;

/// What the start of a file gives away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    /// Input.
    Format(Format),
    /// A table of the SPX archive that is an answer, not input.
    Answers(&'static str),
    /// Nothing that is known here.
    Unknown,
}

/// Tells the content by the file's first bytes (64 KiB are plenty).
#[must_use]
pub fn recognize(start: &[u8]) -> Content {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    match start.first() {
        Some(b'{' | b'[') => json(start),
        _ => table(start),
    }
}

fn json(start: &[u8]) -> Content {
    let keys = first_object_keys(start);
    let has = |key: &str| keys.iter().any(|k| k == key);
    if has("ev") {
        Content::Format(Format::MassiveWs)
    } else if has("captured_at") && has("contracts") {
        Content::Format(Format::Spx0dte)
    } else if has("results") || (has("request_id") && has("status")) {
        Content::Format(Format::MassiveChain)
    } else if has("data") && (has("timestamp") || has("symbol")) {
        Content::Format(Format::CboeDelayed)
    } else if has("quotes") || has("underlyingPrice") {
        Content::Format(Format::OptionsDesk)
    } else {
        Content::Unknown
    }
}

/// The keys of the first object as far as the bytes go; a value that is longer
/// than the bytes hides the keys behind it.
fn first_object_keys(start: &[u8]) -> Vec<String> {
    let (mut keys, mut depth, mut base) = (Vec::new(), 0usize, 0usize);
    let mut at = 0;
    while let Some(&byte) = start.get(at) {
        at += 1;
        match byte {
            b'{' => {
                depth += 1;
                base = if base == 0 { depth } else { base };
            }
            b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth < base || depth == 0 {
                    break;
                }
            }
            b'"' => {
                let from = at;
                while let Some(&b) = start.get(at) {
                    match b {
                        b'\\' => at += 2,
                        b'"' => break,
                        _ => at += 1,
                    }
                }
                let text = start.get(from..at.min(start.len())).unwrap_or_default();
                at += 1;
                let rest = start.get(at..).unwrap_or_default().trim_ascii_start();
                if depth == base && base != 0 && rest.first() == Some(&b':') {
                    keys.push(String::from_utf8_lossy(text).into_owned());
                }
            }
            _ => {}
        }
    }
    keys
}

fn table(start: &[u8]) -> Content {
    let start = &start[..start.len().min(4096)];
    let text = String::from_utf8_lossy(start);
    let mut lines = text.lines().map(str::trim_end);
    let first = lines.next().unwrap_or_default();
    let heads = || text.lines().take(5);
    if first == BARS_HEADER {
        Content::Format(Format::Spx0dte)
    } else if first.starts_with("time,strike,cg,pg,") {
        Content::Answers("the archive's published gamma table, which the snapshots were made from")
    } else if first.starts_with("date,time,spot,net,") {
        Content::Answers("the archive's own levels: answers to compare with, not input")
    } else if first.contains("instrument_name") && first.contains("timestamp") {
        Content::Format(Format::DeribitOptions)
    } else if heads().any(|l| l.starts_with("Expiration Date,Calls")) {
        Content::Format(Format::CboeQuotetable)
    } else {
        lean(first)
    }
}

fn lean(line: &str) -> Content {
    let cells: Vec<&str> = line.split(',').collect();
    let [time, a, b, c, d, e] = cells.as_slice() else { return Content::Unknown };
    let digits = |cell: &&str| !cell.is_empty() && cell.bytes().all(|b| b.is_ascii_digit());
    let letter = c.len() == 1 && c.bytes().all(|b| b.is_ascii_alphabetic());
    if letter && [time, a, b].into_iter().all(digits) && matches!(*e, "0" | "1") {
        Content::Format(Format::LeanTrades)
    } else if [time, a, b, c, d, e].into_iter().all(digits) {
        Content::Format(Format::LeanBars)
    } else {
        Content::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_each_format_by_its_start() {
        for (start, format) in [
            ("{\"request_id\":\"x\",\"results\":[", Format::MassiveChain),
            ("[{\"status\":\"OK\",\"results\":[{\"ev\":", Format::MassiveChain),
            ("{\"captured_at\":\"x\",\"underlying\":\"GOOG\",\"results\":[{", Format::MassiveChain),
            ("{\"request_id\":\"a\",\"status\":\"ERROR\",\"error\":\"x\"}", Format::MassiveChain),
            ("[{\"ev\":\"T\",\"sym\":", Format::MassiveWs),
            ("  {\"sym\":\"x\",\"ev\":\"Q\"}\n{", Format::MassiveWs),
            ("{\"captured_at\":\"x\",\"spot\":1,\"contracts\":[{\"ev\"", Format::Spx0dte),
            ("time,open,high,low,close\r\n09:30,", Format::Spx0dte),
            ("{\"timestamp\": \"2026\", \"data\": {\"options\"", Format::CboeDelayed),
            ("{\"symbol\":\"TSLA\",\"updated\":\"x\",\"underlyingPrice\":1", Format::OptionsDesk),
            ("\nName,Last: 1\n\"Date: x\",B\nExpiration Date,Calls,L", Format::CboeQuotetable),
            ("timestamp,instrument_name,underlying\n", Format::DeribitOptions),
            ("14417034,1674200,210,Q,2000,0\n", Format::LeanTrades),
            ("14400000,1,2,1,1,210\n", Format::LeanBars),
        ] {
            assert_eq!(recognize(start.as_bytes()), Content::Format(format), "{start}");
        }
    }

    #[test]
    fn what_is_not_input_is_told_apart_from_what_is_unknown() {
        assert!(matches!(recognize(b"time,strike,cg,pg,total\n"), Content::Answers(_)));
        assert!(matches!(recognize(b"date,time,spot,net,x\n"), Content::Answers(_)));
        for start in
            ["", "# readme", "{\"a\":{\"ev\":1}}", "[1,2", "{\"a\":\"\\", "\u{0}\u{1}", "a,b"]
        {
            assert_eq!(recognize(start.as_bytes()), Content::Unknown, "{start}");
        }
    }
}
