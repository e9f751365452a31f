//! What several views read: where a body came from, and the spot.

use std::collections::BTreeMap;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use serde::{Deserialize, Serialize};

use super::Bodies;
use super::readings::Reading;

const NANOS_PER_MILLI: i64 = NANOS_PER_SECOND / 1000;

/// Which version of which definitions a view has read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Source<'a> {
    /// Profile of the artifact.
    pub profile: &'a str,
    /// Version of the artifact.
    pub version: u64,
    /// How much older it is than the newest of the sources, ms.
    pub age_ms: i64,
}

/// The sources among these families, by family; those without a body are left
/// out.
#[must_use]
pub fn sources<'a>(
    bodies: &'a Bodies,
    families: &[&'static str],
) -> BTreeMap<&'static str, Source<'a>> {
    let newest = bodies.moment(families).unwrap_or_default();
    let source = |family: &&'static str| {
        let p = bodies.published(family)?;
        let age_ms = (newest.0 - p.at.0) / NANOS_PER_MILLI;
        Some((*family, Source { profile: &p.profile, version: p.version, age_ms }))
    };
    families.iter().filter_map(source).collect()
}

/// The price of the underlying and when it was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// Points.
    pub value: f64,
    /// Recv time of the observation, where the body says it.
    pub at: Option<RecvTime>,
}

impl Reading for Spot {
    fn read(body: &[u8]) -> Option<Spot> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(alias = "spot")]
            value: Option<f64>,
            #[serde(borrow, default)]
            at: Option<&'a str>,
        }
        let body: Body<'_> = serde_json::from_slice(body).ok()?;
        let value = body.value.filter(|v| v.is_finite() && *v > 0.0)?;
        Some(Spot { value, at: body.at.and_then(RecvTime::parse_rfc3339) })
    }
}

/// The spot of the `spot` body, else the one that `gex` had seen.
#[must_use]
pub fn spot(bodies: &Bodies) -> Option<Spot> {
    ["spot", "gex"].into_iter().find_map(|family| bodies.read(family).map(|spot| *spot))
}

/// One decimal, ties to even, never -0.
#[must_use]
pub fn one_decimal(value: f64) -> f64 {
    decimals(value, 10.0)
}

/// Rounded to the reciprocal of `scale`, ties to even, never -0.
#[must_use]
pub fn decimals(value: f64, scale: f64) -> f64 {
    (value * scale).round_ties_even() / scale + 0.0
}

/// Bodies for tests, as if published at version 1 in this order.
#[cfg(test)]
pub fn bodies(published: &[(&'static str, &'static str, serde_json::Value)]) -> Bodies {
    let mut bodies = Bodies::default();
    for (family, profile, body) in published {
        let body = bytes::Bytes::from(body.to_string());
        bodies.enter(family, profile, None, &body, RecvTime(0));
    }
    bodies
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_spot_is_its_own_familys_or_that_of_gex() {
        let gex = || ("gex", "gex/naive-oi@1", json!({"spot": 100.5, "curve": null}));
        let spot_at = json!({"value": 101.0, "at": "2026-02-06T14:30:00.000000000Z"});
        let both = bodies(&[gex(), ("spot", "spot/newest@1", spot_at)]);
        let found = spot(&both).expect("a spot");
        assert_eq!(found.value, 101.0);
        assert_eq!(found.at, Some(RecvTime(1_770_388_200_000_000_000)));
        assert_eq!(spot(&bodies(&[gex()])), Some(Spot { value: 100.5, at: None }));
        let none = json!({"spot": null});
        assert_eq!(spot(&bodies(&[("gex", "gex/naive-oi@1", none)])), None);
        let named = serde_json::to_value(sources(&both, &["gex", "heatmap", "spot"]));
        let want = json!({"gex": {"profile": "gex/naive-oi@1", "version": 1, "age_ms": 0},
                          "spot": {"profile": "spot/newest@1", "version": 1, "age_ms": 0}});
        assert_eq!(named.expect("JSON"), want);
        let mut later = both;
        let at = RecvTime(1_234 * NANOS_PER_MILLI + 5);
        later.enter("spot", "spot/newest@1", None, &"{\"value\":102.0}".into(), at);
        let ages = sources(&later, &["gex", "spot"]);
        assert_eq!((ages["gex"].age_ms, ages["spot"].age_ms), (1_234, 0));
    }

    #[test]
    fn versions_count_as_the_ledger_does() {
        use orrery_journal::units::Address;
        let mut held = Bodies::default();
        let (a, b) = (bytes::Bytes::from_static(b"a"), bytes::Bytes::from_static(b"b"));
        let (one, two) = (Some(Address::of(b"1")), Some(Address::of(b"2")));
        let mut enter = |epoch, profile, body| {
            let changed = held.enter("gex", profile, epoch, body, RecvTime(0));
            (changed, held.published("gex").expect("entered").version)
        };
        assert_eq!(enter(one, "p@1", &a), (true, 1));
        assert_eq!(enter(one, "p@1", &a), (false, 1));
        assert_eq!(enter(one, "p@1", &b), (true, 2));
        assert_eq!(enter(two, "p@1", &b), (true, 3));
        assert_eq!(enter(two, "p@2", &b), (true, 4));
        held.withdraw("gex");
        assert_eq!((held.get("gex"), held.published("gex")), (None, None));
        // Back as it was: nothing new for the ledger, but news for a view.
        assert!(held.enter("gex", "p@2", two, &b, RecvTime(0)));
        assert_eq!(held.published("gex").map(|p| p.version), Some(4));
    }
}
