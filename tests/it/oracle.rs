//! Numbers against code that is not ours, in Python, from the packages in
//! `tests/oracles/requirements.txt`. `cargo xtask setup` installs them below
//! `target/`; without them the tests say that they were skipped.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use orrery::market::black_scholes::{Terms, implied_volatility};
use orrery_journal::event::OptionRight;

use crate::support::{Orrery, shared, unpacked};

/// The interpreter with the packages, or `None` with a line that says so.
pub fn python() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oracles/bin/python");
    if !path.exists() {
        println!("skipped: {} is absent; `cargo xtask setup` makes it", path.display());
        return None;
    }
    Some(path)
}

#[track_caller]
pub fn agree(python: &Path, script: &str, arguments: &[&Path]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles").join(script);
    let ran = Command::new(python).arg(&script).args(arguments).output().expect("python runs");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    println!("{out}");
    assert!(ran.status.success(), "{out}\n{err}");
}

/// Every profile that ships, on a captured chain.
fn gex_agrees(file: &str, format: &str, symbol: &str) {
    let (Some(python), Some(path)) = (python(), shared(file)) else { return };
    let orrery = Orrery::new();
    orrery.import(&[&path]);
    let bodies = orrery.run(&["levels", symbol, "--profile", "all", "--json"]).expect(0).stdout;
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, asked) = (folder.path().join("chain"), folder.path().join("bodies.json"));
    std::fs::write(&chain, unpacked(&path)).expect("written");
    std::fs::write(&asked, bodies).expect("written");
    agree(&python, "gex.py", &[Path::new(format), &chain, &asked]);
}

#[test]
fn gex_of_qqq_agrees_with_numpy() {
    gex_agrees("chain-qqq-20260504.json.zst", "massive", "QQQ");
}

#[test]
fn gex_of_jpm_agrees_with_numpy() {
    gex_agrees("chain-jpm-20260504.json.zst", "massive", "JPM");
}

#[test]
fn gex_of_tsla_agrees_with_numpy() {
    gex_agrees("chain-tsla-20260715-1048et.json.zst", "desk", "TSLA");
}

#[test]
fn gex_of_aapl_agrees_with_numpy() {
    gex_agrees("cboe-delayed-aapl-20260724.json.zst", "cboe", "AAPL");
}

#[test]
fn gex_of_spx_agrees_with_numpy() {
    gex_agrees("cboe-quotetable-spx-20220204.csv.zst", "table", "SPX");
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let unit = (self.0 >> 11) as f64 / (1u64 << 53) as f64;
        low + unit * (high - low)
    }
}

#[test]
fn greeks_and_volatilities_agree_with_quantlib() {
    let Some(python) = python() else { return };
    let mut random = Random(7);
    let mut rows = String::from(
        "right,spot,strike,years,rate,carry,volatility,price,delta,gamma,vega,theta,vanna,charm,implied\n",
    );
    for n in 0..4_000 {
        // The second part are the extremes: seconds to ten years, next to no
        // volatility to five times the price, far wings, pennies to 50,000.
        let extreme = n >= 1_500;
        let right = if n % 2 == 0 { OptionRight::Call } else { OptionRight::Put };
        let (spot, years, volatility, deviations) = match extreme {
            false => ([1.0, 8_000.0], [1e-4, 5.0], [0.03, 3.0], 5.0),
            true => ([0.5, 50_000.0], [1e-6, 10.0], [0.005, 5.0], 8.0),
        };
        let mut by_factor =
            |[low, high]: [f64; 2]| libm::exp(random.between(libm::log(low), libm::log(high)));
        let (years, volatility, spot) = (by_factor(years), by_factor(volatility), by_factor(spot));
        // So many deviations to either side, at most.
        let away = random.between(-deviations, deviations);
        let strike = spot * libm::exp(away * volatility * libm::sqrt(years));
        let (rate, carry) = (random.between(-0.02, 0.12), random.between(0.0, 0.1));
        let terms = Terms { spot, strike, years, rate, carry, volatility };
        let price = terms.price(right).expect("a price");
        let greeks = terms.greeks(right).expect("greeks");
        let start = Terms { volatility: 0.25, ..terms };
        let implied = implied_volatility(right, price, &start);
        let implied = implied.map_or_else(|_| String::new(), |v| format!("{v:?}"));
        let name = if right == OptionRight::Call { "C" } else { "P" };
        let _ = writeln!(
            rows,
            "{name},{spot:?},{strike:?},{years:?},{rate:?},{carry:?},{volatility:?},{price:?},{:?},{:?},{:?},{:?},{:?},{:?},{implied}",
            greeks.delta, greeks.gamma, greeks.vega, greeks.theta, greeks.vanna, greeks.charm,
        );
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, rows).expect("written");
    agree(&python, "greeks.py", &[&file]);
}

#[test]
fn every_day_of_the_calendar_agrees_with_calendars_of_others() {
    let Some(python) = python() else { return };
    let orrery = Orrery::new();
    let asked = ["calendar", "--from", "2010-01-01", "--to", "2030-12-31", "--all", "--json"];
    let days = orrery.run(&asked).expect(0).stdout;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("days.json");
    std::fs::write(&file, days).expect("written");
    agree(&python, "trading_days.py", &[&file]);
}
