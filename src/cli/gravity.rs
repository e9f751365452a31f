//! `orrery gravity`: a volume profile under one or several profiles, side by
//! side.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::bail;
use bytes::Bytes;
use clap::Args;
use orrery_journal::Journal;
use orrery_journal::units::Seq;
use orrery_replay::driver::{Threads, fold_range};
use orrery_replay::engine::Engine;
use serde_json::Value;

use super::exit::Exit;
use super::{Common, open, output};
use crate::market::ticker;
use crate::models;
use crate::models::gravity::profile::{Chosen, SHIPPED};
use crate::models::parameters::Parameters;
use crate::partition::Makers;
use crate::world::MarketWorld;

/// Compare the volume profile of a symbol under several definitions, at any
/// moment. Bars and trades are folded anew for it; nothing is recorded.
///
/// Example: orrery gravity SPX --profile tv-microbins-30 --profile marketswarm
#[derive(Debug, Args)]
pub struct Gravity {
    /// Symbol of the underlying, such as SPX.
    #[arg(required_unless_present = "list")]
    symbol: Option<String>,
    /// A profile, such as session; may be given several times, `all` for every
    /// one that ships. Default: the one that is configured.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// As known at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
    /// List the profiles that ship with what they stand for, and stop.
    #[arg(long)]
    list: bool,
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, or there is no such symbol, profile or moment.
pub fn run(common: &Common, command: &Gravity) -> anyhow::Result<Exit> {
    if command.list {
        return list(common);
    }
    let data = open::existing(common)?;
    let mut parameters = data.world.parameters().clone();
    let profiles = Chosen::several(&command.profile, parameters.gravity.profile)?;
    let seq = open::moment(&data.journal, command.at.as_deref())?;
    let symbol = ticker::symbol_of(command.symbol.as_deref().unwrap_or_default());
    if let Some((first, rest)) = profiles.split_first() {
        parameters.gravity.profile = *first;
        parameters.gravity.beside = rest.to_vec();
    }
    let bodies = folded(&data.journal, parameters, &symbol, seq, common.threads)?;
    let none = Bytes::new();
    let bodies: Vec<&Bytes> =
        profiles.iter().map(|p| bodies.get(p.get().name).unwrap_or(&none)).collect();
    if bodies.iter().all(|b| b.is_empty()) {
        bail!("{symbol} has no volume at event {seq}: no bar or trade of it, or of a proxy");
    }
    let bodies: Vec<Value> = bodies
        .iter()
        .map(|b| if b.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(b) })
        .collect::<Result<_, _>>()?;
    if common.json {
        let named = profiles.iter().zip(&bodies).map(|(profile, body)| {
            let profile = profile.get();
            serde_json::json!({ "profile": profile.name, "seq": seq.0,
                                "definitions": profile.definitions, "body": body })
        });
        output::json(&named.collect::<Vec<_>>())?;
        return Ok(Exit::Fine);
    }
    let mut head = vec!["figure"];
    head.extend(profiles.iter().map(|p| p.get().name));
    output::table(&head, &rows(&bodies));
    Ok(Exit::Fine)
}

/// Newest bodies of a symbol by profile, as they would have been published.
fn folded(
    journal: &Journal,
    parameters: Parameters,
    symbol: &str,
    seq: Seq,
    threads: u16,
) -> anyhow::Result<BTreeMap<Box<str>, Bytes>> {
    let makers = Makers {
        epoch: |_, _| Vec::new(),
        partition: models::gravity_models,
        views: |_| Vec::new(),
    };
    let world = MarketWorld::new(parameters)?.with_makers(makers);
    let mut engine = Engine::new(Arc::new(world));
    let mut bodies = BTreeMap::new();
    let bar = output::progress(seq.0, "folding");
    fold_range(journal, &mut engine, seq, Threads::new(usize::from(threads)), &mut |folded| {
        bar.set_position(folded.reached.seq.0);
        for made in folded.made {
            let header = made.artifact.header;
            if *header.symbol == *symbol && header.family.starts_with("gravity") {
                bodies.insert(header.profile, made.artifact.body);
            }
        }
        ControlFlow::Continue(())
    })?;
    bar.finish_and_clear();
    if engine.fold(symbol).is_none() {
        let known = engine.partitions().join(", ");
        bail!("no symbol {symbol} at event {seq}; there are {known}");
    }
    Ok(bodies)
}

fn list(common: &Common) -> anyhow::Result<Exit> {
    if common.json {
        let all = SHIPPED.each_ref().map(|p| {
            serde_json::json!({ "profile": p.name, "family": p.family, "about": p.about,
                                "definitions": p.definitions })
        });
        output::json(&all)?;
    } else {
        let rows = SHIPPED.each_ref().map(|p| vec![p.name.to_owned(), p.about.to_owned()]);
        output::table(&["profile", "stands for"], &rows);
    }
    Ok(Exit::Fine)
}

/// What a cell says about a body.
type Figure = fn(&Value) -> Option<String>;

fn rows(bodies: &[Value]) -> Vec<Vec<String>> {
    let figures: [(&str, Figure); 12] = [
        ("spot", |b| number(b.pointer("/meta/spot")?)),
        ("from", |b| Some(b.pointer("/meta/volume_source")?.as_str()?.to_owned())),
        ("volume", |b| number(b.pointer("/quality/volume")?)),
        ("lost", |b| number(b.pointer("/quality/lost_volume")?)),
        ("not shown", |b| number(b.pointer("/quality/outlier_volume")?)),
        ("lowest price", |b| number(b.pointer("/profile/min")?)),
        ("bins", |b| Some(list_of(b, "/profile/bins")?.len().to_string())),
        ("largest bin", largest),
        ("volume nodes", |b| Some(list_of(b, "/structures/volume_nodes")?.len().to_string())),
        ("volume wells", |b| Some(list_of(b, "/structures/volume_wells")?.len().to_string())),
        ("crevasses", |b| Some(list_of(b, "/structures/crevasses")?.len().to_string())),
        ("market memory", |b| number(b.pointer("/structures/market_memory_strength")?)),
    ];
    let row = |(name, figure): &(&str, Figure)| {
        let cells = bodies.iter().map(|b| figure(b).unwrap_or_else(|| "-".to_owned()));
        std::iter::once((*name).to_owned()).chain(cells).collect()
    };
    figures.iter().map(row).collect()
}

fn list_of<'a>(body: &'a Value, place: &str) -> Option<&'a Vec<Value>> {
    body.pointer(place)?.as_array()
}

/// Price of the bin with most volume, the lowest on a tie.
fn largest(body: &Value) -> Option<String> {
    let full = |bin: &Value| bin.as_u64() == Some(1000);
    let at = list_of(body, "/profile/bins")?.iter().position(full)?;
    let (min, step) = (body.pointer("/profile/min")?, body.pointer("/profile/step")?);
    Some(shown(min.as_f64()? + at as f64 * step.as_f64()?))
}

fn number(value: &Value) -> Option<String> {
    value.as_f64().map(shown)
}

fn shown(value: f64) -> String {
    format!("{value:.2}").trim_end_matches('0').trim_end_matches('.').to_owned()
}
