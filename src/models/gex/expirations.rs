//! `expirations`: unsigned gamma x contracts x multiplier by expiry and strike,
//! as existing clients read it.
//!
//! Thousands of numbers that do not hang on the spot: the text is kept, and
//! written again only when one of them is another.

use orrery_journal::units::TradingDay;
use orrery_replay::json::{name, number};
use serde_json::value::RawValue;

use super::exposure::{Cell, Exposures, Layout, Sides};

/// The text of a layout's sums.
#[derive(Clone, Debug)]
pub(super) struct Expirations {
    gamma: Vec<Sides>,
    text: Box<RawValue>,
}

impl Expirations {
    /// The text of these sums; `held` is that of earlier ones in this layout.
    pub fn of(held: Option<Expirations>, layout: &Layout, sums: &Exposures) -> Option<Expirations> {
        let gamma = || sums.cells.iter().map(|cell| cell.gamma);
        let same = |held: &Expirations| held.gamma.iter().copied().map(bits).eq(gamma().map(bits));
        if let Some(held) = held.filter(same) {
            return Some(held);
        }
        let text = RawValue::from_string(text(layout, sums)?).ok()?;
        Some(Expirations { gamma: gamma().collect(), text })
    }

    pub fn text(&self) -> &RawValue {
        &self.text
    }
}

/// Zeros of two signs are two texts.
fn bits(sides: Sides) -> [Option<u64>; 2] {
    [sides.call, sides.put].map(|side| side.map(f64::to_bits))
}

/// Ascending: clients take the first expiry as today's.
fn text(layout: &Layout, sums: &Exposures) -> Option<String> {
    let cells: Vec<((TradingDay, &str), &Cell)> =
        layout.names().zip(&sums.cells).filter(|(_, cell)| !cell.is_empty()).collect();
    let mut out = Vec::with_capacity(64 + cells.len() * 64);
    out.push(b'{');
    for cells in cells.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
        let Some(((expiry, _), _)) = cells.first() else { continue };
        name(&mut out, &expiry.to_string());
        out.push(b'{');
        side(&mut out, "calls", cells, |cell| cell.gamma.call);
        side(&mut out, "puts", cells, |cell| cell.gamma.put);
        out.push(b'}');
    }
    out.push(b'}');
    String::from_utf8(out).ok()
}

fn side(
    out: &mut Vec<u8>,
    called: &str,
    cells: &[((TradingDay, &str), &Cell)],
    of: impl Fn(&Cell) -> Option<f64>,
) {
    name(out, called);
    out.push(b'{');
    for ((_, strike), cell) in cells {
        if let Some(exposure) = of(cell) {
            name(out, strike);
            number(out, exposure);
        }
    }
    out.push(b'}');
}
