//! Prints what the folds make of a few random streams, a line per artifact
//! family: `cargo xtask same` compares the output of several builds.
#![allow(clippy::print_stdout)]

mod stream;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use orrery_folds::models::gex::profile as gex;
use orrery_folds::models::gravity::profile as gravity;
use orrery_folds::models::heatmap::profile as heatmap;
use orrery_folds::models::parameters::Parameters;
use orrery_folds::world::MarketWorld;
use orrery_folds::world::roster::Act;
use orrery_journal::units::Address;
use orrery_replay::compare::TraceLine;

/// Streams, and acts of each.
const STREAMS: u64 = 12;
const ACTS: usize = 400;

fn main() -> Result<(), String> {
    // Arithmetic that wraps in one build and stops another is no fold.
    if !overflow_is_checked() {
        return Err("this build does not check overflow".to_owned());
    }
    let mut parameters = Parameters::default();
    parameters.gex.beside =
        gex::SHIPPED.iter().filter_map(|p| gex::Chosen::named(p.name).ok()).collect();
    parameters.gravity.beside =
        gravity::SHIPPED.iter().filter_map(|p| gravity::Chosen::named(p.name).ok()).collect();
    parameters.heatmap.beside =
        heatmap::SHIPPED.iter().filter_map(|p| heatmap::Chosen::named(p.name).ok()).collect();
    let world = Arc::new(MarketWorld::new(parameters).map_err(|e| e.to_string())?);
    for seed in 0..STREAMS {
        let stream = steered(stream::stream(&stream::acts(seed, ACTS)), seed)?;
        let (made, state) = stream::fold(Arc::clone(&world) as _, &stream)?;
        // A chain of headers holds every version before its last.
        let mut last: BTreeMap<(Box<str>, Box<str>), TraceLine> = BTreeMap::new();
        for made in &made {
            let line = TraceLine::of(made);
            last.insert((line.symbol.clone(), line.family.clone()), line);
        }
        for ((symbol, family), line) in &last {
            println!("{seed} {symbol} {family} v{} {}", line.version, line.header);
        }
        println!("{seed} state {}", Address::of(&state));
    }
    Ok(())
}

/// Every other stream has definitions that run beside, come into force and go.
fn steered(stream: Vec<stream::Taped>, seed: u64) -> Result<Vec<stream::Taped>, String> {
    if seed.is_multiple_of(2) {
        return Ok(stream);
    }
    let base = Parameters::default();
    let chosen = ["gex/inverse-oi@1", "gravity/session@1"].map(|name| base.profile_setting(name));
    let settings = chosen.into_iter().collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let acts = [
        Act::Shadow { name: "other".into(), settings },
        Act::Promote { name: "other".into() },
        Act::Rollback,
    ];
    let quarter = stream.len() / 4;
    let facts: Vec<_> = (1..).zip(acts).map(|(n, act)| (n * quarter, act.fact())).collect();
    Ok(stream::with_facts(&stream, &facts))
}

fn overflow_is_checked() -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let sum = std::panic::catch_unwind(|| black_box(u8::MAX) + black_box(1));
    drop(std::panic::take_hook());
    sum.is_err()
}
