//! Names of documents, by the symbol as it stands in a route.
//!
//! Routes carry the vendor's symbol (`I:SPX`) in upper case, dealer gravity the
//! plain one (`SPX`); `SPX` is therefore no heatmap symbol, as it never was.

/// Prefix of the prices' keys.
pub const SPOT: &str = "massive:model:spot:";
/// Prefix of the heatmaps' keys.
pub const HEATMAP: &str = "massive:heatmap:model:";
/// Prefix of the gamma exposures' keys.
pub const GEX: &str = "massive:gex:model:";
/// Prefix of the gravity artifacts' keys.
pub const GRAVITY: &str = "dealer_gravity:artifact:";
/// Prefix of our own keys.
pub const OWN: &str = "orrery:{";
/// The profile document that old pages poll.
pub const VOLUME_PROFILE: &str = "massive:volume_profile";
/// The bias of the symbol that names without one belong to.
pub const BIAS_LFI: &str = "massive:bias_lfi:model:latest";
/// Its market mode.
pub const MARKET_MODE: &str = "massive:market_mode:model:latest";
/// Its regime of volatility.
pub const VIX_REGIME: &str = "massive:vix_regime:model:latest";
/// Prefix of the selectors' keys.
pub const SELECTOR: &str = "massive:selector:model:";
/// Channel of new gravity artifacts.
pub const GRAVITY_UPDATED: &str = "dealer_gravity_updated";
/// Prefix of the channels of heatmap changes.
pub const HEATMAP_DIFF: &str = "massive:heatmap:diff:";

/// The symbol that gravity routes mean when none is named.
pub const DEFAULT_SYMBOL: &str = "SPX";

/// The symbol of a price's key; trails are no prices.
pub fn spot_symbol(key: &str) -> Option<String> {
    key.strip_prefix(SPOT)
        .filter(|symbol| !symbol.is_empty() && !symbol.ends_with(":trail"))
        .map(str::to_owned)
}

pub fn heatmap(symbol: &str) -> String {
    format!("{HEATMAP}{symbol}:latest")
}

pub fn heatmap_symbol(key: &str) -> Option<String> {
    key.strip_prefix(HEATMAP)?
        .strip_suffix(":latest")
        .filter(|symbol| !symbol.is_empty())
        .map(str::to_owned)
}

pub fn bias_lfi(symbol: &str) -> String {
    format!("massive:bias_lfi:model:{symbol}:latest")
}

pub fn selector(symbol: &str) -> String {
    format!("{SELECTOR}{symbol}:latest")
}

pub fn selector_symbol(key: &str) -> Option<String> {
    key.strip_prefix(SELECTOR)?
        .strip_suffix(":latest")
        .filter(|symbol| !symbol.is_empty())
        .map(str::to_owned)
}

pub fn gex_calls(symbol: &str) -> String {
    format!("{GEX}{symbol}:calls")
}

pub fn gex_puts(symbol: &str) -> String {
    format!("{GEX}{symbol}:puts")
}

pub fn gex_symbol(key: &str) -> Option<String> {
    let rest = key.strip_prefix(GEX)?;
    rest.strip_suffix(":calls")
        .or_else(|| rest.strip_suffix(":puts"))
        .filter(|symbol| !symbol.is_empty())
        .map(str::to_owned)
}

pub fn gravity(symbol: &str) -> String {
    format!("{GRAVITY}{}", symbol.to_ascii_lowercase())
}

pub fn gravity_symbol(key: &str) -> Option<String> {
    key.strip_prefix(GRAVITY).filter(|symbol| !symbol.is_empty()).map(str::to_ascii_uppercase)
}

pub fn context(symbol: &str) -> String {
    format!("dealer_gravity:context:{}", symbol.to_ascii_lowercase())
}

pub fn artifact(symbol: &str, family: &str) -> String {
    format!("{OWN}{symbol}}}:artifact:{family}")
}

/// Whether a symbol is written as the vendor writes it: indices with `I:`.
pub fn is_vendor_symbol(symbol: &str) -> bool {
    let plain = symbol.strip_prefix("I:").unwrap_or(symbol);
    crate::market::ticker::vendor_symbol(plain) == symbol
}

/// The candles of a symbol as it stands in a route.
pub fn candles(symbol: &str) -> String {
    artifact(symbol.strip_prefix("I:").unwrap_or(symbol), "candles")
}

/// Symbol and family of a whole artifact's key.
pub fn artifact_parts(key: &str) -> Option<(&str, &str)> {
    let (symbol, family) = key.strip_prefix(OWN)?.split_once("}:artifact:")?;
    (!symbol.is_empty() && !family.is_empty() && !family.contains(':')).then_some((symbol, family))
}

/// The symbol of a channel on which our own announcements come.
pub fn events_symbol(channel: &str) -> Option<&str> {
    channel.strip_prefix(OWN)?.strip_suffix("}:events").filter(|symbol| !symbol.is_empty())
}

/// The symbol of a route: upper case, short, of characters that keys take.
pub fn route_symbol(text: &str) -> Option<String> {
    let symbol = text.to_ascii_uppercase();
    let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b".:_-/".contains(&b);
    (!symbol.is_empty() && symbol.len() <= 64 && symbol.bytes().all(plain)).then_some(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_symbols_go_both_ways() {
        for symbol in ["I:SPX", "GOOG", "BRK.B"] {
            assert_eq!(spot_symbol(&format!("{SPOT}{symbol}")).as_deref(), Some(symbol));
            assert_eq!(heatmap_symbol(&heatmap(symbol)).as_deref(), Some(symbol));
            assert_eq!(gex_symbol(&gex_calls(symbol)).as_deref(), Some(symbol));
            assert_eq!(gex_symbol(&gex_puts(symbol)).as_deref(), Some(symbol));
            assert_eq!(selector_symbol(&selector(symbol)).as_deref(), Some(symbol));
            assert_eq!(gravity_symbol(&gravity(symbol)).as_deref(), Some(symbol));
            assert_eq!(artifact_parts(&artifact(symbol, "gex")), Some((symbol, "gex")));
        }
        assert_eq!(spot_symbol("massive:model:spot:I:SPX:trail"), None);
        assert_eq!(artifact_parts("orrery:{SPX}:artifact:gex:meta"), None);
        assert_eq!(events_symbol("orrery:{SPX}:events"), Some("SPX"));
    }

    #[test]
    fn symbols_that_would_leave_their_place_in_a_key_are_refused() {
        assert_eq!(route_symbol("i:spx").as_deref(), Some("I:SPX"));
        for bad in ["", "A B", "A{B}", "A*", "Ä", &"A".repeat(65)] {
            assert_eq!(route_symbol(bad), None, "{bad}");
        }
    }
}
