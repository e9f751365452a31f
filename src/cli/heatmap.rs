//! `orrery heatmap`: one layer of the lattice as a table, under any profile, at
//! any moment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::exit::Exit;
use super::{Common, levels, open, output};
use crate::models::heatmap::Heatmap as Model;
use crate::models::heatmap::profile::{Chosen, SHIPPED};

/// Show what structures cost, strike by width, under a profile, at any moment.
///
/// Example: orrery heatmap SPX --profile theoretical --layer density --dte 0
#[derive(Debug, Args)]
pub struct Heatmap {
    /// Symbol of the underlying, such as SPX.
    #[arg(required_unless_present = "list")]
    symbol: Option<String>,
    /// Definition of the debit, such as theoretical. Default: the one that is
    /// configured.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// What the tiles buy.
    #[arg(long, value_enum, default_value_t = Strategy::Butterfly)]
    strategy: Strategy,
    /// Which side; `otm` takes calls above the spot and puts below.
    #[arg(long, value_enum, default_value_t = Side::Otm)]
    side: Side,
    /// What to show of them.
    #[arg(long, value_enum, default_value_t = Layer::Debit)]
    layer: Layer,
    /// Calendar days to expiry; the nearest without it. A table of singles has
    /// all of them.
    #[arg(long)]
    dte: Option<i64>,
    /// Root that shares its expirations with another, such as SPX beside SPXW.
    #[arg(long)]
    root: Option<String>,
    /// As known at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
    /// List the profiles that ship with what they stand for, and stop.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Strategy {
    Single,
    Vertical,
    Butterfly,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Side {
    Call,
    Put,
    Otm,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Layer {
    /// The profile's main price.
    Debit,
    /// Asks of what is bought, bids of what is sold.
    Natural,
    /// The market beside a theory: mids.
    Market,
    /// Butterfly: density of the price at settlement, per point.
    Density,
    /// Vertical: probability that the price settles beyond the middle.
    Probability,
    /// Butterfly: call debit less put debit.
    Parity,
}

impl Strategy {
    const fn name(self) -> &'static str {
        match self {
            Strategy::Single => "single",
            Strategy::Vertical => "vertical",
            Strategy::Butterfly => "butterfly",
        }
    }
}

impl Layer {
    /// Field of a side.
    const fn field(self, strategy: Strategy) -> &'static str {
        match (self, strategy) {
            (Layer::Debit, Strategy::Single) => "mid",
            (Layer::Debit, _) => "debit",
            (Layer::Natural, Strategy::Single) => "natural",
            (Layer::Natural, _) => "natural_debit",
            (Layer::Market, Strategy::Single) => "market_mid",
            (Layer::Market, _) => "market_debit",
            (Layer::Density, _) => "density",
            (Layer::Probability, _) => "probability",
            (Layer::Parity, _) => "parity_gap",
        }
    }
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, or there is no such symbol, profile, layer or
/// moment.
pub fn run(common: &Common, command: &Heatmap) -> anyhow::Result<Exit> {
    if command.list {
        return list(common);
    }
    let symbol = command.symbol.as_deref().context("name a symbol, such as SPX")?;
    match (command.layer, command.strategy) {
        (Layer::Density | Layer::Parity, Strategy::Single | Strategy::Vertical) => {
            bail!("only butterflies have this layer; add --strategy butterfly")
        }
        (Layer::Probability, Strategy::Single | Strategy::Butterfly) => {
            bail!("only verticals have this layer; add --strategy vertical")
        }
        _ => {}
    }
    let data = open::existing(common)?;
    let parameters = data.world.parameters().heatmap.clone();
    let profile = match &command.profile {
        Some(name) => Chosen::named(name)?,
        None => parameters.profile,
    };
    let archive = data.into_archive(common.threads);
    open::catch_up(&archive)?;
    let seq = open::moment(archive.journal(), command.at.as_deref())?;
    let body =
        levels::asked(&archive, symbol, seq, |market| Model::ask(market, &parameters, profile))?;
    let body = body.with_context(|| {
        format!(
            "{symbol} has no chain with a spot and the quotes that {} needs at event {seq}",
            profile.get().name
        )
    })?;
    let body: Value = serde_json::from_slice(&body)?;
    if common.json {
        let name = profile.get().name;
        output::json(&serde_json::json!({ "profile": name, "seq": seq.0, "body": body }))?;
        return Ok(Exit::Fine);
    }
    print(command, profile, &body)
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

fn print(command: &Heatmap, profile: Chosen, body: &Value) -> anyhow::Result<Exit> {
    let strategy = command.strategy;
    let known: Vec<i64> =
        body["dtes_available"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let dte = command.dte.or(known.first().copied());
    if command.dte.is_some_and(|dte| !known.contains(&dte)) {
        bail!("no expiry of that many days in the lattice; it has {known:?}");
    }
    let spot = body["priced"]["spot"].as_f64().unwrap_or(f64::NAN);
    // Strikes and columns ascend as their texts' numbers do.
    let key = |value: &Value| value.as_f64().map(|v| (v * 1e6).round() as i64);
    let mut cells: BTreeMap<i64, BTreeMap<i64, String>> = BTreeMap::new();
    let mut columns = BTreeSet::new();
    let mut flagged = 0_u32;
    for tile in body["tiles"].as_object().into_iter().flat_map(serde_json::Map::values) {
        let single = strategy == Strategy::Single;
        if tile["strategy"] != strategy.name()
            || tile["root"].as_str() != command.root.as_deref()
            || (!single && tile["dte"].as_i64() != dte)
            || (single && command.dte.is_some() && tile["dte"].as_i64() != dte)
        {
            continue;
        }
        let column = if single { &tile["dte"] } else { &tile["width"] };
        let (Some(row), Some(column)) = (key(&tile["strike"]), key(column)) else { continue };
        let strike = tile["strike"].as_f64().unwrap_or(f64::NAN);
        let side = match command.side {
            Side::Call => "call",
            Side::Put => "put",
            Side::Otm if strike > spot => "call",
            Side::Otm => "put",
        };
        let field = command.layer.field(strategy);
        let (value, flag) = match command.layer {
            Layer::Parity => (&tile[field], &tile["parity_flag"]),
            _ => (&tile[side][field], &tile[side]["flag"]),
        };
        flagged += u32::from(flag.is_string());
        let mark = if flag.is_string() { "!" } else { "" };
        let text = value.as_f64().map_or_else(|| "-".to_owned(), |v| number(v) + mark);
        columns.insert(column);
        cells.entry(row).or_default().insert(column, text);
    }
    if cells.is_empty() {
        let roots = body["expiries"].as_array().into_iter().flatten();
        let others: BTreeSet<&str> =
            roots.filter(|e| e["plain_key"] == false).filter_map(|e| e["root"].as_str()).collect();
        bail!("the lattice has no such tile; roots with keys of their own: {others:?}");
    }
    let plain = |scaled: i64| number(scaled as f64 / 1e6);
    let mut head = vec!["strike".to_owned()];
    head.extend(columns.iter().map(|c| plain(*c)));
    let rows: Vec<Vec<String>> = cells
        .iter()
        .rev()
        .map(|(strike, row)| {
            let of = |column| row.get(column).cloned().unwrap_or_else(String::new);
            std::iter::once(plain(*strike)).chain(columns.iter().map(of)).collect()
        })
        .collect();
    output::table(&head.iter().map(String::as_str).collect::<Vec<_>>(), &rows);
    let quality = &body["quality"];
    let days = dte.filter(|_| strategy != Strategy::Single);
    output::line(format!(
        "{}: {}{} by {}, {}; spot {}; {} of {} tiles eligible, coverage {}, parity gap mean {}",
        strategy.name(),
        command.layer.field(strategy),
        days.map_or_else(String::new, |d| format!(" at {d} days")),
        profile.get().name,
        if strategy == Strategy::Single { "columns: days to expiry" } else { "columns: widths" },
        number(spot),
        quality["eligible"],
        quality["tiles"],
        quality["coverage"].as_f64().map_or_else(|| "-".to_owned(), |c| format!("{c:.3}")),
        quality["parity"]["gap_mean"]
            .as_f64()
            .map_or_else(|| "-".to_owned(), |g| format!("{g:.4}")),
    ));
    if flagged > 0 {
        output::line(format!("! {flagged} lie outside of their bounds: stale or crossed quotes"));
    }
    Ok(Exit::Fine)
}

/// At most four decimals, six where they would all be zero.
fn number(value: f64) -> String {
    let places = if value.abs() < 0.01 { 6 } else { 4 };
    let text = format!("{value:.places$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
