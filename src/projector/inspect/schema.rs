//! What the value of each entry has to look like, as clients read it.
//!
//! Fields beyond the rules may be there (clients ignore them), but nothing raw.

use serde_json::Value;

use super::finding::Problem;
use super::rules::{CANDLE, Is, Rule, holds_candles, rules};
use crate::projector::registry::{Name, RegisteredKey};

/// Why a value may not stand: the problem, and what was found.
pub(super) type Wrong = (Problem, String);

/// Fields that only raw or intermediate data have.
const RAW_FIELDS: [&str; 9] =
    ["ticks", "trades", "quotes", "bars", "contracts", "rows", "results", "dirty", "raw_volume"];

/// Judges a value of a registered key.
pub(super) fn check(key: &RegisteredKey, value: &[u8]) -> Result<(), Wrong> {
    let name = key.entry().name;
    if let Some(fine) = is_plain(name, value) {
        return fine.then_some(()).ok_or_else(|| schema("not the text that clients read"));
    }
    let document: Value = serde_json::from_slice(value).map_err(|e| match value.is_empty() {
        true => schema("the value is empty"),
        false => schema(&format!("no JSON: {e}")),
    })?;
    match (&document, holds_candles(name)) {
        (Value::Array(candles), true) => {
            return candles.iter().try_for_each(|candle| all_hold(&CANDLE, candle));
        }
        (Value::Object(_), false) => {}
        (Value::Array(_), false) => {
            return Err((Problem::Raw, "a bare array instead of a finished document".into()));
        }
        _ => return Err(schema("not the kind of JSON that clients read")),
    }
    if let Some(field) =
        RAW_FIELDS.iter().find(|f| document.get(**f).is_some_and(|v| v.is_array() || v.is_object()))
    {
        return Err((Problem::Raw, format!("field {field} holds raw or intermediate data")));
    }
    all_hold(&rules(name), &document)?;
    if let Some(symbol) = document.pointer("/header/symbol").and_then(Value::as_str) {
        let family = document.pointer("/header/family").and_then(Value::as_str);
        if symbol != key.symbol() || family != Some(key.family()) {
            return Err(schema("the header is another family's"));
        }
    }
    Ok(())
}

/// Whether a value that is no JSON is as clients read it; `None` where it is JSON.
fn is_plain(name: Name, value: &[u8]) -> Option<bool> {
    let text = std::str::from_utf8(value).unwrap_or_default();
    match name {
        Name::EpochActive => {
            let id = text.chars().all(|c| c.is_ascii_alphanumeric());
            Some(id && !text.is_empty() && text.len() <= 64)
        }
        Name::EpochDormancies => Some(text.parse::<u64>().is_ok()),
        Name::EpochTimeline => Some(text.split('|').count() == 4),
        _ => None,
    }
}

fn all_hold(rules: &[Rule], document: &Value) -> Result<(), Wrong> {
    for (place, is, nullable) in rules {
        let Some(found) = document.pointer(place) else {
            return Err(schema(&format!("{place} is missing")));
        };
        if !(*nullable && found.is_null()) {
            holds(*is, found).map_err(|(problem, why)| (problem, format!("{place}: {why}")))?;
        }
    }
    Ok(())
}

fn schema(why: &str) -> Wrong {
    (Problem::Schema, why.to_owned())
}

fn holds(is: Is, found: &Value) -> Result<(), Wrong> {
    let fine = match is {
        Is::Number => found.is_number(),
        Is::Text => found.is_string(),
        Is::Bool => found.is_boolean(),
        Is::Object => found.is_object(),
        Is::Array => found.is_array(),
        Is::Version => found
            .as_str()
            .and_then(|v| v.strip_prefix('v'))
            .is_some_and(|n| n.parse::<u64>().is_ok()),
        Is::Nodes => found.as_array().is_some_and(|nodes| {
            nodes.iter().all(|n| n.is_number() || n.get("price").is_some_and(Value::is_number))
        }),
        Is::Pairs => found.as_array().is_some_and(|pairs| pairs.iter().all(is_pair)),
        Is::Scaled => return scaled(found.as_array().map(|bins| bins.iter())),
        Is::ScaledByPrice => return scaled(found.as_object().map(|bins| bins.values())),
        Is::Strikes => found.as_object().is_some_and(|sides| {
            sides.iter().all(|(date, side)| {
                date.len() == 10
                    && side.as_object().is_some_and(|s| s.values().all(Value::is_number))
            })
        }),
        Is::Tiles => found.as_object().is_some_and(|tiles| {
            tiles.iter().all(|(key, tile)| key.split(':').count() == 4 && tile.is_object())
        }),
    };
    fine.then_some(()).ok_or_else(|| schema(&format!("not what clients read ({is:?})")))
}

fn is_pair(pair: &Value) -> bool {
    match pair.as_array().map(Vec::as_slice) {
        Some([from, to]) => matches!((from.as_f64(), to.as_f64()), (Some(a), Some(b)) if a <= b),
        _ => false,
    }
}

/// Bins are scaled to 0..1000: anything else is volume as it came.
fn scaled<'a>(bins: Option<impl Iterator<Item = &'a Value>>) -> Result<(), Wrong> {
    let Some(mut bins) = bins else { return Err(schema("no bins")) };
    match bins.find(|bin| bin.as_u64().is_none_or(|n| n > 1000)) {
        None => Ok(()),
        Some(bin) => Err((Problem::Raw, format!("{bin} is not scaled to 0..1000"))),
    }
}

/// Judges a value of a key that the registry does not know: whether it is raw.
pub(super) fn is_raw(value: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(value).ok()?;
    let is_tick = |v: &Value| {
        let has = |names: &[&str]| names.iter().any(|n| v.get(n).is_some());
        v.get("ev").is_some()
            || (has(&["p", "price", "bid", "bp"]) && has(&["t", "ts", "timestamp"]))
    };
    if let Some(rows) = document.as_array() {
        let what = if rows.iter().any(is_tick) { "ticks" } else { "values" };
        return Some(format!("a bare array of {} {what}", rows.len()));
    }
    if is_tick(&document) {
        return Some("a single tick".into());
    }
    let field = RAW_FIELDS.iter().find(|f| document.get(**f).is_some_and(Value::is_array))?;
    Some(format!("field {field} holds raw or intermediate data"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(key: RegisteredKey, value: &Value) -> Result<(), Problem> {
        check(&key, value.to_string().as_bytes()).map_err(|(problem, _)| problem)
    }

    #[test]
    fn a_gravity_artifact_is_judged_field_by_field() {
        let fine = json!({
            "profile": {"min": 6500.0, "step": 1.0, "bins": [0, 1000]},
            "structures": {"volume_nodes": [6501.0, {"price": 1.0}],
                "volume_wells": [[6500.0, 6500.0]], "crevasses": []},
            "meta": {"spot": null, "algorithm": "a", "normalized_scale": 1000,
                "artifact_version": "v7", "last_update": "t"},
        });
        let judge = |value: &Value| judged(Name::GravityArtifact.key("SPX").expect("a key"), value);
        assert_eq!(judge(&fine), Ok(()));
        for (place, value, problem) in [
            ("/profile/bins", json!([1001]), Problem::Raw),
            ("/profile/bins", json!([0.5]), Problem::Raw),
            ("/profile/min", json!("6500"), Problem::Schema),
            ("/structures/volume_wells", json!([6500.0]), Problem::Schema),
            ("/structures/crevasses", json!([[2.0, 1.0]]), Problem::Schema),
            ("/structures/volume_nodes", json!([{}]), Problem::Schema),
            ("/meta/artifact_version", json!("7"), Problem::Schema),
            ("/meta/algorithm", json!(null), Problem::Schema),
        ] {
            let mut wrong = fine.clone();
            *wrong.pointer_mut(place).expect("a place") = value;
            assert_eq!(judge(&wrong), Err(problem), "{place}");
        }
        let mut raw = fine.clone();
        raw["ticks"] = json!([{"p": 1}]);
        assert_eq!(judge(&raw), Err(Problem::Raw));
        assert_eq!(judge(&json!([1, 2, 3])), Err(Problem::Raw));
        assert_eq!(judge(&json!({})), Err(Problem::Schema));
    }

    #[test]
    fn a_whole_artifact_names_its_own_family() {
        let key = Name::Artifact.key_of("SPX", "gex").expect("a key");
        let of = |family: &str| {
            json!({"header": {"symbol": "SPX", "family": family, "version": 1, "seq_last": 2,
                "content": "c"}, "body": {}})
        };
        assert_eq!(judged(key.clone(), &of("gex")), Ok(()));
        assert_eq!(judged(key, &of("spot")), Err(Problem::Schema));
    }

    #[test]
    fn an_epoch_is_a_bare_id() {
        let key = Name::EpochActive.key("SPX").expect("a key");
        assert!(check(&key, b"c0ffee").is_ok() && check(&key, b"current").is_ok());
        assert!(check(&key, b"").is_err() && check(&key, b"{\"a\":1}").is_err());
    }

    #[test]
    fn candles_are_a_list_and_nothing_else_is() {
        let key = || Name::Ohlc5m.key("SPX").expect("a key");
        let candle = json!({"timestamp": 1, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0});
        assert_eq!(judged(key(), &json!([candle])), Ok(()));
        assert_eq!(judged(key(), &json!([])), Ok(()));
        assert_eq!(judged(key(), &json!([{"timestamp": 1}])), Err(Problem::Schema));
        assert_eq!(judged(key(), &candle), Err(Problem::Schema));
    }

    #[test]
    fn raw_values_of_strangers_are_recognised() {
        for raw in [
            r#"[1,2,3]"#,
            r#"[{"p":1.0,"t":2}]"#,
            r#"{"ev":"T","sym":"O:X","p":1,"s":1,"t":5}"#,
            r#"{"price":5900.1,"timestamp":17}"#,
            r#"{"bars":[{}]}"#,
        ] {
            assert!(is_raw(raw.as_bytes()).is_some(), "{raw}");
        }
        for other in [r#"{"a":1}"#, "plain", r#""text""#, r#"{"price":1}"#] {
            assert_eq!(is_raw(other.as_bytes()), None, "{other}");
        }
    }
}
