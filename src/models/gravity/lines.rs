//! Structural lines: what a person or an AI drew, shown beside what was
//! computed and never mixed with it.
//!
//! An annotation is JSON
//! `{author, model?, lines?:[..], volume_nodes?:[..], volume_wells?:[..], crevasses?:[..]}`.
//! An item is a price, a pair `[from, to]`, or an object `{price | from, to,
//! color?, weight?}`. The newest annotation of an author takes the place of the
//! author's former one.

use orrery_journal::units::{RecvTime, Seq};
use serde::{Deserialize, Serialize};

/// Most lines that one annotation may bring.
pub const LINES_MAX: usize = 1_000;
/// Most authors that are shown; the one with the oldest lines goes first.
pub const AUTHORS_MAX: usize = 32;

/// A line with its provenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// `line`, `volume_node`, `volume_well` or `crevasse`.
    pub kind: String,
    /// Price, or the lower end of a range.
    pub from: f64,
    /// Upper end; equal to `from` for a line.
    pub to: f64,
    /// As the author wishes it drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// As the author wishes it drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Who says so.
    pub author: String,
    /// With which model, when an AI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Recv time of the annotation.
    pub at: String,
    /// The event of the journal that brought it.
    pub seq: u64,
}

#[derive(Deserialize)]
struct Annotation {
    author: String,
    model: Option<String>,
    #[serde(default)]
    lines: Vec<Item>,
    #[serde(default)]
    volume_nodes: Vec<Item>,
    #[serde(default)]
    volume_wells: Vec<Item>,
    #[serde(default)]
    crevasses: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Price(f64),
    Range(f64, f64),
    Styled {
        #[serde(alias = "from")]
        price: f64,
        to: Option<f64>,
        color: Option<String>,
        weight: Option<f64>,
    },
}

/// The author and the lines of an annotation, or `None` when it is none: not
/// this JSON, too many lines, or a price that is none.
#[must_use]
pub fn parse(json: &[u8], at: RecvTime, seq: Seq) -> Option<(String, Vec<Line>)> {
    let annotation: Annotation = serde_json::from_slice(json).ok()?;
    let Annotation { author, model, lines, volume_nodes, volume_wells, crevasses } = annotation;
    let kinds = [
        ("line", lines),
        ("volume_node", volume_nodes),
        ("volume_well", volume_wells),
        ("crevasse", crevasses),
    ];
    let mut found = Vec::new();
    for (kind, items) in kinds {
        for item in items {
            let (a, b, color, weight) = match item {
                Item::Price(price) => (price, price, None, None),
                Item::Range(from, to) => (from, to, None, None),
                Item::Styled { price, to, color, weight } => {
                    (price, to.unwrap_or(price), color, weight)
                }
            };
            let (from, to) = (a.min(b), a.max(b));
            let fine = from > 0.0 && to.is_finite() && weight.is_none_or(f64::is_finite);
            if !fine || found.len() == LINES_MAX {
                return None;
            }
            let (author, model, at) = (author.clone(), model.clone(), at.to_rfc3339());
            let kind = kind.to_owned();
            found.push(Line { kind, from, to, color, weight, author, model, at, seq: seq.0 });
        }
    }
    (!author.is_empty()).then_some((author, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_item_is_read() {
        let json = br##"{"author":"ann","model":"m-1","lines":[6500],
            "volume_nodes":[{"price":6510.5,"color":"#ff0","weight":1.5}],
            "crevasses":[[6530,6520]],"volume_wells":[{"from":6540,"to":6545}]}"##;
        let (author, lines) = parse(json, RecvTime(0), Seq(41)).expect("an annotation");
        assert_eq!(author, "ann");
        let flat: Vec<_> = lines.iter().map(|l| (&*l.kind, l.from, l.to)).collect();
        assert_eq!(
            flat,
            [
                ("line", 6500.0, 6500.0),
                ("volume_node", 6510.5, 6510.5),
                ("volume_well", 6540.0, 6545.0),
                ("crevasse", 6520.0, 6530.0),
            ]
        );
        assert_eq!(lines[1].color.as_deref(), Some("#ff0"));
        assert_eq!(lines[0].model.as_deref(), Some("m-1"));
        assert!(lines.iter().all(|l| l.seq == 41));
    }

    #[test]
    fn what_is_no_annotation_is_refused() {
        for json in [
            &b"{"[..],
            b"{}",
            br#"{"author":"","lines":[1]}"#,
            br#"{"author":"a","lines":[-1]}"#,
            br#"{"author":"a","lines":["6500"]}"#,
        ] {
            assert_eq!(parse(json, RecvTime(0), Seq(1)), None, "{}", String::from_utf8_lossy(json));
        }
    }
}
