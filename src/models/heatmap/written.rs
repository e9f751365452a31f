//! The text of a tile: `"key":{...}`, as it stands in the body.
//!
//! Thousands of tiles are written four times a second, so each is written over
//! what it was, without a serializer; prices are written from their units.

use orrery_journal::units::Price;
use orrery_replay::json::{decimal, name, number, text, whole};

use super::spec::{Strategy, TileSpec};
use super::tile::{Clean, Fine, Side, Tile};

/// What never changes of a tile: key, symbol, strategy, days, strike, width and
/// root, up to where its prices follow.
pub(super) fn beginning(out: &mut Vec<u8>, spec: &TileSpec, symbol: &str) {
    text(out, &spec.key);
    out.extend_from_slice(b":{");
    name(out, "symbol");
    text(out, symbol);
    name(out, "strategy");
    text(out, spec.strategy.name());
    name(out, "dte");
    whole(out, i64::from(spec.dte));
    name(out, "strike");
    price(out, Clean::Price(spec.strike));
    name(out, "width");
    // Widths are whole numbers wherever they can be.
    if spec.width.0 % Price::SCALE == 0 {
        whole(out, spec.width.0 / Price::SCALE);
    } else {
        price(out, Clean::Price(spec.width));
    }
    if let Some(root) = &spec.root {
        name(out, "root");
        text(out, root);
    }
}

/// Writes the rest of a tile whose numbers are known over what it was.
pub(super) fn rest(
    tile: &mut Tile,
    strategy: Strategy,
    [call, put]: [Option<Side>; 2],
    gap: Option<Clean>,
) {
    let out = &mut tile.text;
    out.truncate(tile.fixed);
    if let Some(call) = call {
        out.extend_from_slice(b",\"call\":");
        side(out, strategy, &call);
    }
    if let Some(put) = put {
        out.extend_from_slice(b",\"put\":");
        side(out, strategy, &put);
    }
    if let Some(gap) = gap {
        out.extend_from_slice(b",\"parity_gap\":");
        price(out, gap);
    }
    if tile.beyond_spread {
        out.extend_from_slice(b",\"parity_flag\":\"beyond_spread\"");
    }
    if !tile.eligible {
        out.extend_from_slice(b",\"eligible\":false");
    }
    if !tile.reasons.is_empty() {
        out.extend_from_slice(b",\"reasons\":");
        for (i, reason) in tile.reasons.names().into_iter().enumerate() {
            out.push(if i == 0 { b'[' } else { b',' });
            text(out, reason);
        }
        out.push(b']');
    }
    out.push(b'}');
}

fn side(out: &mut Vec<u8>, strategy: Strategy, side: &Side) {
    if strategy == Strategy::Single {
        out.extend_from_slice(b"{\"mid\":");
        price(out, side.main);
        if let Some(natural) = side.natural {
            out.extend_from_slice(b",\"natural\":");
            price(out, natural);
        }
        if let Some(market) = side.market {
            out.extend_from_slice(b",\"market_mid\":");
            price(out, market);
        }
        return out.push(b'}');
    }
    out.extend_from_slice(b"{\"debit\":");
    price(out, side.main);
    if let Some(natural) = side.natural {
        out.extend_from_slice(b",\"natural_debit\":");
        price(out, natural);
    }
    if let Some(market) = side.market {
        out.extend_from_slice(b",\"market_debit\":");
        price(out, market);
    }
    out.extend_from_slice(b",\"max_profit\":");
    price(out, side.max_profit);
    out.extend_from_slice(b",\"max_loss\":");
    price(out, side.main);
    if strategy == Strategy::Butterfly {
        out.extend_from_slice(b",\"density\":");
    } else {
        out.extend_from_slice(b",\"probability\":");
    }
    match side.layer {
        Fine::Units(units) => decimal::<12>(out, units),
        Fine::Other(value) => number(out, value),
    }
    if let Some(flag) = side.flag {
        out.extend_from_slice(b",\"flag\":");
        text(out, flag);
    }
    out.push(b'}');
}

fn price(out: &mut Vec<u8>, price: Clean) {
    match price {
        Clean::Price(price) => decimal::<9>(out, price.0),
        Clean::Beyond(value) => number(out, value),
    }
}
