//! The butterflies of a `heatmap` body, in its order.

use std::borrow::Cow;

use serde::Deserialize;

use crate::models::heatmap::flies::{Flies, Fly};
use crate::views::readings::Reading;

/// What the keys of butterflies begin with, as they stand in the text.
const MARK: &str = "\"butterfly:";

impl Reading for Flies {
    /// The butterflies of a body; `None` when it is no heatmap.
    ///
    /// A heatmap is megabytes of tiles of which half are none of ours: those are
    /// never parsed. Their keys stand nowhere else in the text, since no other
    /// string begins so. Mostly the model hands its own over, and nothing is.
    fn read(heatmap: &[u8]) -> Option<Flies> {
        let text = std::str::from_utf8(heatmap).ok()?;
        let (_, tiles) = text.split_once("\"tiles\":{")?;
        let mut found = Vec::new();
        for (at, _) in tiles.match_indices(MARK) {
            let (key, value) = tiles.get(at + 1..)?.split_once("\":")?;
            let tile = serde_json::Deserializer::from_str(value).into_iter::<Tile<'_>>().next()?;
            found.push((key, tile.ok()?));
        }
        let flies = found.iter().map(|(key, tile)| Fly {
            key,
            dte: tile.dte,
            width: tile.width,
            strike: tile.strike,
            root: tile.root.as_deref(),
            call: tile.call.as_ref().and_then(|side| side.debit),
            put: tile.put.as_ref().and_then(|side| side.debit),
        });
        Some(flies.filter(|fly| fly.width > 0.0 && fly.strike > 0.0).collect())
    }
}

#[derive(Deserialize)]
struct Tile<'a> {
    dte: i32,
    width: f64,
    strike: f64,
    #[serde(borrow, default)]
    root: Option<Cow<'a, str>>,
    call: Option<Side>,
    put: Option<Side>,
}

#[derive(Deserialize)]
struct Side {
    debit: Option<f64>,
}

/// For each butterfly the debits, of both sides, of those of the same width,
/// expiry and root that stand within [`REACH`] spacings of it. The spacing is
/// the smallest distance between two of them: 5 points for SPX, so that the
/// neighbours are those at 5, 10, 15 and 20 points.
#[must_use]
pub fn neighbours(flies: &[Fly<'_>]) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..flies.len()).collect();
    let lattice = |a: &Fly<'_>, b: &Fly<'_>| {
        (a.dte.cmp(&b.dte)).then(a.root.cmp(&b.root)).then(a.width.total_cmp(&b.width))
    };
    let fly = |at: &usize| &flies[*at];
    order.sort_by(|a, b| lattice(fly(a), fly(b)).then(fly(a).strike.total_cmp(&fly(b).strike)));
    let mut found = vec![Vec::new(); flies.len()];
    for row in order.chunk_by(|a, b| lattice(fly(a), fly(b)).is_eq()) {
        let gaps = row.windows(2).map(|pair| fly(&pair[1]).strike - fly(&pair[0]).strike);
        let Some(spacing) = gaps.filter(|gap| *gap > 0.0).min_by(f64::total_cmp) else { continue };
        let reach = spacing * f64::from(REACH) * (1.0 + 1e-9);
        for (i, at) in row.iter().enumerate() {
            let near = |other: &&usize| (fly(other).strike - fly(at).strike).abs() <= reach;
            let before = row[..i].iter().rev().take_while(near);
            let after = row[i + 1..].iter().take_while(near);
            let debits = before.chain(after).flat_map(|other| [fly(other).call, fly(other).put]);
            if let Some(place) = found.get_mut(*at) {
                *place = debits.flatten().collect();
            }
        }
    }
    found
}

/// How many spacings neighbours may be away.
pub const REACH: u32 = 4;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn flies_are_read_and_everything_else_is_passed_over() {
        let body = json!({"symbol": "I:SPX", "tiles": {
            "single:0:0:6500": {"dte": 0, "strike": 6500.0, "width": 0, "call": {"mid": 4.0}},
            "butterfly:0:20:6500": {"dte": 0, "strike": 6500.0, "width": 20, "eligible": false,
                "call": {"debit": 1.5, "natural_debit": 1.9}, "reasons": ["missing_upper_put"]},
            "butterfly:1:20:6500@SPX": {"dte": 1, "strike": 6500.0, "width": 20, "root": "SPX",
                "call": {"debit": -0.5}, "put": {"debit": 2.0}},
        }, "quality": {}});
        let read = Flies::read(body.to_string().as_bytes()).expect("a heatmap");
        let flies: Vec<Fly<'_>> = read.iter().collect();
        assert_eq!(flies.len(), 2);
        assert_eq!(
            (flies[0].key, flies[0].call, flies[0].put),
            ("butterfly:0:20:6500", Some(1.5), None)
        );
        assert_eq!((flies[1].root, flies[1].call, flies[1].put), (Some("SPX"), None, Some(2.0)));
        assert_eq!(Flies::read(b"{}"), None);
    }

    #[test]
    fn neighbours_stand_on_the_same_lattice_within_four_spacings() {
        let fly = |dte, width, strike: f64, call: f64| Fly {
            key: "",
            dte,
            width,
            strike,
            root: None,
            call: Some(call),
            put: None,
        };
        let mut flies: Vec<Fly<'_>> =
            (0..10).map(|i| fly(0, 20.0, 6500.0 + 5.0 * f64::from(i), f64::from(i))).collect();
        flies.push(fly(0, 25.0, 6505.0, 100.0));
        flies.push(fly(1, 20.0, 6505.0, 200.0));
        let found = neighbours(&flies);
        let mut of_fifth = found[5].clone();
        of_fifth.sort_by(f64::total_cmp);
        assert_eq!(of_fifth, [1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(found[0], [1.0, 2.0, 3.0, 4.0]);
        assert!(found[10].is_empty() && found[11].is_empty(), "alone on their lattice");
    }
}
