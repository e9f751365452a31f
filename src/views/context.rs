//! `context`: where the price stands in the profile, with the sign of gamma.
//!
//! Joins `gravity`, `gex` and `spot`. Definitions (profile
//! `context/nearest-node@1`), all distances as fractions of the spot, rounded
//! to six decimals:
//! - `nearest_volume_node`: the volume node with the smallest distance to the
//!   spot, the lower one on a tie; `nearest_volume_node_dist` is
//!   (spot - node) / spot, positive when the price stands above the node.
//! - `volume_well_proximity`: distance to the nearest bin of a volume well.
//! - `in_crevasse`: whether a crevasse spans the spot, its ends included.
//! - `gamma_alignment`: `positive` at or above the nearest flip of the `gex`
//!   body, `negative` below it, `null` without one. What a flip is depends on
//!   the gex profile, so its name and the flip stand beside.
//!
//! Whatever is null has its reason in `quality.absent`.

use std::sync::Arc;

use orrery_journal::units::RecvTime;
use serde::{Deserialize, Serialize};

use super::readings::Reading;
use super::{Bodies, View};
use crate::models::gex::profile::SHIPPED;

/// The view.
#[derive(Clone, Copy, Debug)]
pub struct Context;

impl View for Context {
    fn family(&self) -> &'static str {
        "context"
    }

    fn profile(&self) -> &'static str {
        "context/nearest-node@1"
    }

    fn inputs(&self) -> &'static [&'static str] {
        &["gravity", "gex", "spot"]
    }

    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>> {
        let now = bodies.moment(self.inputs())?;
        let gravity = Input::of(bodies, "gravity", now)?;
        let (gex, spot) = (Input::of(bodies, "gex", now), Input::of(bodies, "spot", now));
        context(symbol, &gravity, gex.as_ref(), spot.as_ref())
    }
}

/// What a body says, and how long ago it was made.
struct Input<T> {
    said: Arc<T>,
    /// Milliseconds from its making to the moment of the view.
    since_ms: i64,
}

impl<T: Reading> Input<T> {
    fn of(bodies: &Bodies, family: &str, now: RecvTime) -> Option<Input<T>> {
        let at = bodies.published(family)?.at;
        let since_ms = now.0.saturating_sub(at.0) / 1_000_000;
        Some(Input { said: bodies.read(family)?, since_ms })
    }
}

#[derive(Deserialize)]
struct Gravity {
    profile: Profile,
    structures: Structures,
    meta: Meta,
    #[serde(default)]
    quality: Stated,
}

/// The age of what a body rests on, when the body was made.
#[derive(Deserialize, Default)]
struct Stated {
    #[serde(alias = "volume_age_ms", alias = "chain_age_ms", default)]
    age_ms: Option<i64>,
}

impl Stated {
    /// The age so many milliseconds later.
    fn age(&self, since_ms: i64) -> Option<i64> {
        self.age_ms.map(|age| age.saturating_add(since_ms))
    }
}

#[derive(Deserialize)]
struct Profile {
    step: f64,
}

#[derive(Deserialize)]
struct Structures {
    volume_nodes: Vec<f64>,
    volume_wells: Vec<(f64, f64)>,
    crevasses: Vec<(f64, f64)>,
    market_memory_strength: f64,
}

#[derive(Deserialize)]
struct Meta {
    spot: Option<f64>,
    profile: Option<String>,
}

impl Reading for Gravity {
    fn read(body: &[u8]) -> Option<Gravity> {
        serde_json::from_slice(body).ok()
    }
}

struct Gex {
    flip: Flip,
    /// The profile whose definitions the body states; no two profiles share
    /// them.
    profile: Option<&'static str>,
    quality: Stated,
}

impl Reading for Gex {
    fn read(body: &[u8]) -> Option<Gex> {
        #[derive(Deserialize)]
        struct Body {
            levels: Levels,
            #[serde(default)]
            definitions: serde_json::Value,
            #[serde(default)]
            quality: Stated,
        }
        let body: Body = serde_json::from_slice(body).ok()?;
        let same = |own| serde_json::to_value(own).is_ok_and(|value| value == body.definitions);
        let profile = SHIPPED.iter().find(|p| same(&p.definitions)).map(|p| p.name);
        Some(Gex { flip: body.levels.flip, profile, quality: body.quality })
    }
}

#[derive(Deserialize)]
struct Levels {
    flip: Flip,
}

#[derive(Deserialize)]
struct Flip {
    nearest: Option<f64>,
    #[serde(default)]
    absent: Option<String>,
}

#[derive(Deserialize)]
struct SpotBody {
    value: f64,
    #[serde(default)]
    quality: Stated,
}

impl Reading for SpotBody {
    fn read(body: &[u8]) -> Option<SpotBody> {
        serde_json::from_slice(body).ok()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    symbol: &'a str,
    spot: f64,
    nearest_volume_node: Option<f64>,
    nearest_volume_node_dist: Option<f64>,
    volume_well_proximity: Option<f64>,
    in_crevasse: bool,
    market_memory_strength: f64,
    gamma_alignment: Option<&'static str>,
    gamma_flip: Option<f64>,
    gex_profile: Option<&'static str>,
    gravity_profile: Option<&'a str>,
    quality: Quality,
}

#[derive(Serialize)]
struct Quality {
    /// Whose price the spot is: `spot`, or the last that `gravity` had seen.
    spot_from: &'static str,
    /// How old the sources of its inputs are: the price, the chain, the volume.
    age_ms: Ages,
    /// What is null, and why.
    absent: Vec<String>,
}

#[derive(Serialize)]
struct Ages {
    spot: Option<i64>,
    gex: Option<i64>,
    gravity: Option<i64>,
}

impl Ages {
    /// Those that are unknown.
    fn absent(&self) -> impl Iterator<Item = String> {
        let all = [("spot", self.spot), ("gex", self.gex), ("gravity", self.gravity)];
        let unknown = all.into_iter().filter(|(_, age)| age.is_none());
        unknown.map(|(family, _)| format!("age_ms.{family}: not_stated"))
    }
}

/// The context of a symbol from what its models said last.
///
/// The spot is that of the `spot` body, else the one that `gravity` had seen;
/// `None` without any.
fn context(
    symbol: &str,
    gravity: &Input<Gravity>,
    gex: Option<&Input<Gex>>,
    spot: Option<&Input<SpotBody>>,
) -> Option<Vec<u8>> {
    let ages = Ages {
        spot: spot.and_then(|spot| spot.said.quality.age(spot.since_ms)),
        gex: gex.and_then(|gex| gex.said.quality.age(gex.since_ms)),
        gravity: gravity.said.quality.age(gravity.since_ms),
    };
    let (gravity, gex) = (&*gravity.said, gex.map(|gex| &*gex.said));
    let (spot, spot_from) = spot
        .map(|spot| (spot.said.value, "spot"))
        .or(gravity.meta.spot.map(|value| (value, "gravity")))
        .filter(|(value, _)| value.is_finite() && *value > 0.0)?;
    let flip = gex.and_then(|gex| gex.flip.nearest);
    let mut absent = Vec::new();
    if flip.is_none() {
        let why = gex.map(|gex| gex.flip.absent.as_deref());
        let why = why.map_or("no_gex", |why| why.unwrap_or("no_flip"));
        absent.push(format!("gamma_alignment: {why}"));
    }
    let structures = &gravity.structures;
    let node = nearest(structures.volume_nodes.iter().copied(), spot);
    let well = nearest(
        structures.volume_wells.iter().map(|w| nearest_bin(*w, gravity.profile.step, spot)),
        spot,
    );
    if node.is_none() {
        absent.push("nearest_volume_node: no_nodes".to_owned());
    }
    if well.is_none() {
        absent.push("volume_well_proximity: no_wells".to_owned());
    }
    absent.extend(ages.absent());
    let body = Body {
        symbol,
        spot,
        nearest_volume_node: node,
        nearest_volume_node_dist: node.map(|node| six_decimals((spot - node) / spot)),
        volume_well_proximity: well.map(|well| six_decimals((spot - well).abs() / spot)),
        in_crevasse: structures.crevasses.iter().any(|(a, b)| *a <= spot && spot <= *b),
        market_memory_strength: structures.market_memory_strength,
        gamma_alignment: flip.map(|flip| if spot >= flip { "positive" } else { "negative" }),
        gamma_flip: flip,
        gex_profile: gex.and_then(|gex| gex.profile),
        gravity_profile: gravity.meta.profile.as_deref(),
        quality: Quality { spot_from, age_ms: ages, absent },
    };
    serde_json::to_vec(&body).ok()
}

/// The price with the smallest distance to the spot; the first on a tie.
fn nearest(prices: impl Iterator<Item = f64>, spot: f64) -> Option<f64> {
    prices.min_by(|a, b| (a - spot).abs().total_cmp(&(b - spot).abs()))
}

/// The bin of a well that is nearest to the spot: wells are published as
/// joined pairs, but every bin between the ends is a well.
fn nearest_bin((start, end): (f64, f64), step: f64, spot: f64) -> f64 {
    if step > 0.0 && start < spot && spot < end {
        (start + ((spot - start) / step).round() * step).min(end)
    } else if spot <= start {
        start
    } else {
        end
    }
}

fn six_decimals(value: f64) -> f64 {
    (value * 1e6).round_ties_even() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRAVITY: &str = r#"{"profile":{"min":6500.0,"step":1.0,"bins":[100,500,1000,50,0,10,10,800,900,30]},
        "structures":{"volume_nodes":[6502.0,6507.0,6508.0],"volume_wells":[[6505.0,6506.0]],
        "crevasses":[[6504.0,6506.0]],"market_memory_strength":0.74},"meta":{"spot":6505.5}}"#;

    fn made<T: Reading>(body: &str) -> Option<Input<T>> {
        Some(Input { said: Arc::new(T::read(body.as_bytes())?), since_ms: 1_500 })
    }

    fn of(gravity: &str, gex: Option<&str>, spot: Option<&str>) -> Option<serde_json::Value> {
        let (gex, spot) = (gex.and_then(made), spot.and_then(made));
        let body = context("SPX", &made(gravity)?, gex.as_ref(), spot.as_ref())?;
        Some(serde_json::from_slice(&body).expect("JSON"))
    }

    fn derived(gex: Option<&str>, spot: Option<&str>) -> serde_json::Value {
        of(GRAVITY, gex, spot).expect("a context")
    }

    #[test]
    fn the_golden_example_of_the_contract() {
        let body = derived(None, None);
        assert_eq!(body["nearest_volume_node"], 6507.0);
        assert_eq!(body["nearest_volume_node_dist"], -0.000231);
        assert_eq!(body["volume_well_proximity"], 7.7e-5);
        assert_eq!(body["in_crevasse"], true);
        assert_eq!(body["market_memory_strength"], 0.74);
        assert!(body["gamma_alignment"].is_null() && body["gex_profile"].is_null());
        let unknown = ["age_ms.spot", "age_ms.gex", "age_ms.gravity"];
        let unknown = unknown.map(|age| format!("{age}: not_stated"));
        let [a, b, c] = &unknown;
        let want = serde_json::json!(["gamma_alignment: no_gex", a, b, c]);
        assert_eq!(body["quality"]["absent"], want);
        assert_eq!(body["quality"]["spot_from"], "gravity");
    }

    #[test]
    fn every_gex_profile_is_named_by_its_definitions() {
        for profile in &SHIPPED {
            let gex = serde_json::json!({"levels":{"flip":{"nearest":6500.0}},
                "definitions": profile.definitions});
            let body = derived(Some(&gex.to_string()), None);
            assert_eq!(body["gex_profile"], profile.name);
            assert_eq!(body["gamma_flip"], 6500.0);
        }
    }

    #[test]
    fn what_is_missing_in_a_profile_has_a_reason() {
        let bare = r#"{"profile":{"min":1.0,"step":1.0,"bins":[]},"structures":{"volume_nodes":[],
            "volume_wells":[],"crevasses":[],"market_memory_strength":0.0},"meta":{"spot":1.0}}"#;
        let body = of(bare, None, Some(r#"{"value":2.0}"#)).expect("a context");
        assert!(body["nearest_volume_node"].is_null() && body["volume_well_proximity"].is_null());
        assert_eq!(body["quality"]["absent"].as_array().map(Vec::len), Some(6));
        assert_eq!(body["quality"]["spot_from"], "spot");
    }

    #[test]
    fn gamma_is_aligned_by_the_side_of_the_flip() {
        let gex = r#"{"levels":{"flip":{"nearest":6505.5}}}"#;
        assert_eq!(derived(Some(gex), None)["gamma_alignment"], "positive");
        let below = r#"{"value":6505.25}"#;
        assert_eq!(derived(Some(gex), Some(below))["gamma_alignment"], "negative");
        let none = r#"{"levels":{"flip":{"nearest":null}}}"#;
        assert!(derived(Some(none), None)["gamma_alignment"].is_null());
        let why = r#"{"levels":{"flip":{"nearest":null,"absent":"one_sign"}}}"#;
        assert_eq!(derived(Some(why), None)["quality"]["absent"][0], "gamma_alignment: one_sign");
    }

    #[test]
    fn ages_go_on_from_the_making_of_each_body() {
        let gravity = GRAVITY.replacen('{', r#"{"quality":{"volume_age_ms":10},"#, 1);
        let gex = r#"{"levels":{"flip":{"nearest":6500.0}},"quality":{"chain_age_ms":2000}}"#;
        let spot = r#"{"value":6505.5,"quality":{"age_ms":0}}"#;
        let body = of(&gravity, Some(gex), Some(spot)).expect("a context");
        let want = serde_json::json!({"spot": 1500, "gex": 3500, "gravity": 1510});
        assert_eq!(body["quality"]["age_ms"], want);
        assert_eq!(body["quality"]["absent"], serde_json::json!([]));
    }

    #[test]
    fn inside_a_long_well_every_bin_is_near() {
        assert_eq!(nearest_bin((6500.0, 6520.0), 1.0, 6510.25), 6510.0);
        assert_eq!(nearest_bin((6500.0, 6520.0), 1.0, 6499.0), 6500.0);
        assert_eq!(nearest_bin((6500.0, 6520.0), 1.0, 6521.0), 6520.0);
    }

    #[test]
    fn without_a_spot_or_with_a_foreign_body_there_is_none() {
        let body = GRAVITY.replace("6505.5", "null");
        assert_eq!(of(&body, None, None), None);
        assert_eq!(of("{}", None, None), None);
    }
}
