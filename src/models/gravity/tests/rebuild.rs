//! The model beside a rebuild from the corrected list of facts, in whole
//! numbers and from scratch. Days weigh 1, 1/2 and 1/4, so that both are exact.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::models::gravity::profile::SHIPPED;

const DAYS: u32 = 3;

#[derive(Clone, Debug)]
enum Given {
    /// Minute, proxy, low in quarters, range in quarters, shares.
    Bar(i64, bool, u32, u32, u32),
    /// Proxy, price in quarters, shares.
    Trade(bool, u32, u32),
    Lines(u32),
    /// Which fact so far, and what it should have been.
    Correction(usize, Option<(u32, u32)>),
    /// A day begins, with a trade that nobody corrects.
    Day(bool, u32, u32),
}

fn given() -> impl Strategy<Value = Given> {
    let price = || 25_000u32..27_000;
    prop_oneof![
        4 => (0i64..12, any::<bool>(), price(), 0u32..60, 0u32..10_000)
            .prop_map(|(m, p, l, r, v)| Given::Bar(m, p, l, r, v)),
        4 => (any::<bool>(), price(), 1u32..500).prop_map(|(p, a, s)| Given::Trade(p, a, s)),
        1 => (0u32..3).prop_map(Given::Lines),
        3 => (0usize..60, prop::option::of((price(), 1u32..500)))
            .prop_map(|(which, right)| Given::Correction(which, right)),
        1 => (any::<bool>(), price(), 1u32..500).prop_map(|(p, a, s)| Given::Day(p, a, s)),
    ]
}

fn model() -> Gravity {
    model_of(Chosen::default())
}

fn model_of(profile: Chosen) -> Gravity {
    with(|p| {
        p.profile = profile;
        (p.days, p.half_life_days) = (Some(DAYS), Some(1.0));
    })
}

/// Profiles that leave the days to the parameters.
fn profile() -> impl Strategy<Value = Chosen> {
    let open: Vec<Chosen> = SHIPPED
        .iter()
        .filter(|p| p.definitions.days.is_none())
        .map(|p| Chosen::named(p.name).expect("its own name"))
        .collect();
    prop::sample::select(open)
}

fn quarter(n: u32) -> f64 {
    f64::from(n) / 4.0
}

#[derive(Clone, Debug)]
enum What {
    Bar { minute: i64, low: u32, range: u32 },
    Trade { price: u32 },
}

/// A fact as it should have been.
#[derive(Clone, Debug)]
struct Fact {
    seq: u64,
    day: i32,
    proxy: bool,
    shares: u32,
    what: What,
    /// Not to be corrected.
    anchor: bool,
}

#[derive(Default)]
struct Rebuild {
    facts: Vec<Fact>,
    day: i32,
    /// End of the newest bar of a day that no longer counts.
    forgotten: i64,
    days: i64,
}

impl Rebuild {
    /// Drops the days before the newest that count.
    fn forget(&mut self) {
        let all: BTreeSet<i32> = self.facts.iter().map(|f| f.day).collect();
        let Some(first) = all.iter().rev().take(DAYS as usize).next_back() else { return };
        for fact in self.facts.iter().filter(|f| f.day < *first) {
            if let What::Bar { minute, .. } = fact.what {
                self.forgotten = self.forgotten.max(minute + 1);
            }
        }
        self.facts.retain(|f| f.day >= *first);
    }
}

/// Tells the model and keeps the list of what is right.
fn give(model: &mut Gravity, kept: &mut Rebuild, given: &Given, seq: u64) {
    let json;
    let index = |proxy: bool| proxy.then_some(0u8);
    if matches!(given, Given::Day(..)) {
        // Every other day is followed by two without trading.
        kept.day += if kept.day % 2 == 0 { 1 } else { 3 };
        kept.days += 1;
    }
    let day = kept.day;
    let change = match *given {
        Given::Bar(minute, proxy, low, range, shares) => {
            // Bars of a day may come again on the next two.
            let minute = minute + 4 * kept.days;
            let same = |f: &Fact| {
                f.proxy == proxy && matches!(f.what, What::Bar { minute: m, .. } if m == minute)
            };
            if shares > 0 {
                let former = kept.facts.iter().position(same).map(|at| kept.facts.remove(at));
                if former.is_some() || minute >= kept.forgotten {
                    let day = former.map_or(day, |f| f.day);
                    let what = What::Bar { minute, low, range };
                    kept.facts.push(Fact { seq, day, proxy, shares, what, anchor: false });
                }
            }
            let start = minute * MINUTE;
            Change::UnderlyingBar {
                span: Some((VendorTime(start), VendorTime(start + MINUTE))),
                proxy: index(proxy),
                open: quarter(low),
                low: quarter(low),
                high: quarter(low + range),
                close: quarter(low + range / 2),
                volume: Some(f64::from(shares)),
                vwap: None,
            }
        }
        Given::Trade(proxy, price, shares) | Given::Day(proxy, price, shares) => {
            let anchor = matches!(given, Given::Day(..));
            let what = What::Trade { price };
            kept.facts.push(Fact { seq, day, proxy, shares, what, anchor });
            Change::UnderlyingTrade {
                proxy: index(proxy),
                price: quarter(price),
                size: f64::from(shares),
            }
        }
        Given::Lines(author) => {
            json = format!(r#"{{"author":"a{author}","lines":[{}]}}"#, 6500 + seq);
            Change::Annotation(json.as_bytes())
        }
        Given::Correction(which, right) => {
            if kept.facts.is_empty() {
                return;
            }
            let at = which % kept.facts.len();
            if kept.facts[at].anchor {
                return;
            }
            let fact = &mut kept.facts[at];
            let corrects = Seq(fact.seq);
            // The proxy's own prices are a tenth of the index's.
            let by = if fact.proxy { 10.0 } else { 1.0 };
            json = match (right, &mut fact.what) {
                (None, _) => String::new(),
                (Some((price, shares)), What::Trade { price: held }) => {
                    (*held, fact.shares) = (price, shares);
                    format!(r#"{{"price":{},"size":{shares}}}"#, quarter(price) / by)
                }
                (Some((price, shares)), What::Bar { low, range, .. }) => {
                    (*low, *range, fact.shares) = (price, 0, shares);
                    let p = quarter(price) / by;
                    format!(r#"{{"high":{p},"low":{p},"close":{p},"volume":{shares}}}"#)
                }
            };
            if right.is_none() {
                kept.facts.remove(at);
            }
            Change::Correction { corrects, right: json.as_bytes() }
        }
    };
    model.apply(&change, &on(day, seq));
    kept.forget();
}

/// Rounds a fraction to the nearest whole number, halves to the even one.
fn round(above: i64, below: i64) -> i64 {
    let (whole, rest) = (above.div_euclid(below), above.rem_euclid(below));
    whole + i64::from(rest * 2 > below || (rest * 2 == below && whole % 2 == 1))
}

/// Lowest bin, and bins from 0 to 1000.
fn rebuilt(facts: &[Fact]) -> Option<(i64, Vec<i64>)> {
    let all: BTreeSet<i32> = facts.iter().map(|f| f.day).collect();
    let first = *all.iter().rev().take(DAYS as usize).next_back()?;
    let source = facts.iter().filter(|f| f.day >= first).map(|f| f.proxy).min()?;
    let ours = || facts.iter().filter(|f| f.day >= first && f.proxy == source);
    let days: BTreeSet<i32> = ours().map(|f| f.day).collect();
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    for (age, day) in days.iter().rev().enumerate() {
        let is_bar = |f: &&Fact| matches!(f.what, What::Bar { .. });
        let bars = ours().filter(|f| f.day == *day).any(|f| is_bar(&f));
        for fact in ours().filter(|f| f.day == *day && is_bar(f) == bars) {
            let weight = i64::from(fact.shares) << (2 - age);
            match fact.what {
                What::Trade { price } => {
                    *sums.entry(round(i64::from(price), 4)).or_default() += 30 * weight
                }
                What::Bar { low, range, .. } => {
                    for i in 0..30 {
                        let point = i64::from(low) * 30 + i * i64::from(range);
                        *sums.entry(round(point, 120)).or_default() += weight;
                    }
                }
            }
        }
    }
    let (low, high) = (*sums.keys().next()?, *sums.keys().next_back()?);
    let most = sums.values().max()?;
    let bin = |bin| sums.get(&bin).map_or(0, |v| v * 1000 / most);
    Some((low, (low..=high).map(bin).collect()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever came in whatever order, sent again, corrected or cancelled: what
    /// is shown is what the right facts alone give; emitting on the way changes
    /// nothing; and a model restored in the middle goes on to the same bytes.
    #[test]
    fn incremental_is_full(all in prop::collection::vec(given(), 1..80), cut in 0usize..80) {
        let (mut full, mut kept) = (model(), Rebuild::default());
        let (mut incremental, mut twin) = (model(), Rebuild::default());
        for (i, given) in all.iter().enumerate() {
            let seq = i as u64 + 1;
            give(&mut full, &mut kept, given, seq);
            give(&mut incremental, &mut twin, given, seq);
            incremental.emit(&on(kept.day, seq));
            if i == cut {
                let mut saved = Vec::new();
                incremental.save(&mut saved);
                incremental = model();
                incremental.restore(&saved, &on(kept.day, seq)).expect("its own state");
            }
        }
        prop_assert_eq!(&full, &incremental);
        let end = on(kept.day, all.len() as u64);
        let body = full.emit(&end);
        prop_assert_eq!(&body, &incremental.emit(&end));
        let body = body.map(|b| serde_json::from_slice::<Value>(&b).expect("JSON"));
        let shown = body.map(|b| b["profile"].clone());
        let direct = rebuilt(&kept.facts)
            .map(|(min, bins)| json!({"min": min as f64, "step": 1.0, "bins": bins}));
        prop_assert_eq!(shown, direct);
    }

    /// The same facts without their history: what was sent again, corrected or
    /// cancelled leaves no trace but in the counts.
    #[test]
    fn corrected_is_as_if_it_had_been_right(
        all in prop::collection::vec(given(), 1..60), profile in profile()
    ) {
        let (mut told, mut kept) = (model_of(profile), Rebuild::default());
        for (i, given) in all.iter().enumerate() {
            give(&mut told, &mut kept, given, i as u64 + 1);
        }
        let mut right = model_of(profile);
        let mut facts = kept.facts.clone();
        facts.sort_by_key(|f| (f.day, f.seq));
        for fact in &facts {
            let proxy = fact.proxy.then_some(0u8);
            let volume = f64::from(fact.shares);
            let change = match fact.what {
                What::Trade { price } => {
                    Change::UnderlyingTrade { proxy, price: quarter(price), size: volume }
                }
                What::Bar { minute, low, range } => {
                    let start = minute * MINUTE;
                    Change::UnderlyingBar {
                        span: Some((VendorTime(start), VendorTime(start + MINUTE))),
                        proxy,
                        open: quarter(low),
                        low: quarter(low),
                        high: quarter(low + range),
                        close: quarter(low + range / 2),
                        volume: Some(volume),
                        vwap: None,
                    }
                }
            };
            right.apply(&change, &on(fact.day, fact.seq));
        }
        prop_assert_eq!(told.held.shown(&told.rules), right.held.shown(&right.rules));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Structures of every detection lie inside of the profile, in order.
    #[test]
    fn structures_lie_inside_of_the_profile(bins in prop::collection::vec(0u32..=1000, 0..200)) {
        for detection in [structures::Detection::Percentile, structures::Detection::Gradient] {
            let found = detection.detect(&bins);
            for (i, bin) in found.nodes.iter().zip(found.nodes.iter().skip(1)) {
                prop_assert!(i < bin && *bin < bins.len());
            }
            for runs in [&found.wells, &found.crevasses] {
                for (first, last) in runs {
                    prop_assert!(first <= last && *last < bins.len());
                }
                for (a, b) in runs.iter().zip(runs.iter().skip(1)) {
                    prop_assert!(a.1 + 1 < b.0);
                }
            }
        }
    }
}
