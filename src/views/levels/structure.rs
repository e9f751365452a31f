//! Levels of a `gravity` body: volume nodes, volume wells, crevasses, and the
//! structural lines that people and AIs drew, each under kinds of their own.

use serde::Deserialize;

use super::{Found, Level};
use crate::views::readings::Reading;

const FAMILY: &str = "gravity";

#[derive(Deserialize)]
pub(super) struct Gravity {
    profile: Profile,
    structures: Structures,
    #[serde(default)]
    structural_lines: Vec<Line>,
    #[serde(default)]
    meta: Meta,
}

#[derive(Deserialize)]
struct Profile {
    min: f64,
    step: f64,
    bins: Vec<f64>,
}

#[derive(Deserialize)]
struct Structures {
    #[serde(default)]
    volume_nodes: Vec<Node>,
    #[serde(default)]
    volume_wells: Vec<(f64, f64)>,
    #[serde(default)]
    crevasses: Vec<(f64, f64)>,
}

/// A price, or one with the style that clients draw it in.
#[derive(Deserialize)]
#[serde(untagged)]
enum Node {
    Price(f64),
    Styled { price: f64 },
}

#[derive(Deserialize)]
struct Line {
    kind: Box<str>,
    from: f64,
    to: f64,
    author: Box<str>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Meta {
    normalized_scale: f64,
}

impl Default for Meta {
    fn default() -> Meta {
        Meta { normalized_scale: 1000.0 }
    }
}

impl Gravity {
    /// Mean of the bins from one price to another over the scale; `None`
    /// outside of the profile.
    fn mean(&self, from: f64, to: f64) -> Option<f64> {
        let Profile { min, step, bins } = &self.profile;
        let index = |price: f64| {
            let at = ((price - min) / step).round();
            (at >= 0.0 && at < bins.len() as f64).then_some(at as usize)
        };
        let bins = bins.get(index(from)?..=index(to)?)?;
        let scale = self.meta.normalized_scale;
        let sum: f64 = bins.iter().sum();
        (scale > 0.0 && !bins.is_empty()).then(|| sum / bins.len() as f64 / scale)
    }
}

impl Reading for Gravity {
    fn read(body: &[u8]) -> Option<Gravity> {
        serde_json::from_slice(body).ok()
    }
}

pub(super) fn collect(gravity: &Gravity, found: &mut Found) {
    for node in &gravity.structures.volume_nodes {
        let (Node::Price(price) | Node::Styled { price }) = *node;
        let strength = gravity.mean(price, price);
        found.put(Level { strength, ..Level::at("volume_node", FAMILY, price) });
    }
    let stretches = [
        ("volume_well", &gravity.structures.volume_wells),
        ("crevasse", &gravity.structures.crevasses),
    ];
    for (kind, pairs) in stretches {
        for (from, to) in pairs {
            let strength = gravity.mean(*from, *to).map(|mean| 1.0 - mean);
            found.put(Level { to: *to, strength, ..Level::at(kind, FAMILY, *from) });
        }
        if pairs.is_empty() {
            found.missing(kind, FAMILY, "none_detected");
        }
    }
    if gravity.structures.volume_nodes.is_empty() {
        found.missing("volume_node", FAMILY, "none_detected");
    }
    for line in &gravity.structural_lines {
        let kind = match &*line.kind {
            "volume_node" => "line_volume_node",
            "volume_well" => "line_volume_well",
            "crevasse" => "line_crevasse",
            _ => "line",
        };
        let basis = Some(line.author.to_string());
        found.put(Level { to: line.to, basis, ..Level::at(kind, FAMILY, line.from) });
    }
    if gravity.structural_lines.is_empty() {
        found.missing("line", FAMILY, "none_drawn");
    }
}
