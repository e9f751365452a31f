//! `orrery levels`: named levels under one or several profiles, side by side.

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::PossibleValuesParser;
use orrery_journal::units::Seq;
use orrery_replay::as_of::At;
use serde_json::Value;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::Archive;
use crate::market::book::Market;
use crate::models::gex::Gex;
use crate::models::gex::profile::{Chosen, SHIPPED};
use crate::partition::Partition;
use crate::views::levels::KINDS;

/// Compare levels of a symbol under several definitions, at any moment.
///
/// Example: orrery levels SPX --profile naive-oi --profile inverse-oi
#[derive(Debug, Args)]
pub struct Levels {
    /// Symbol of the underlying, such as SPX.
    symbol: String,
    /// A profile, such as naive-oi; may be given several times, `all` for every
    /// one that ships. Default: the one that is configured.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// As known at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
    /// Print every named level in one list, by price, as the `levels` artifact
    /// has it: walls, flips, volume nodes, volume wells, crevasses, lines.
    #[arg(long, conflicts_with = "profile")]
    flat: bool,
    /// Only levels of this kind, such as call_wall or volume_node; may be given
    /// several times. Implies --flat.
    #[arg(long, value_name = "KIND", conflicts_with = "profile",
          value_parser = PossibleValuesParser::new(KINDS.map(|(kind, _)| kind)))]
    kind: Vec<String>,
    /// List the profiles that ship with what they stand for, and stop.
    #[arg(long)]
    list: bool,
}

/// Levels that the table shows: name and place in a body.
const ROWS: [(&str, &str); 12] = [
    ("spot", "/spot"),
    ("net GEX", "/levels/net"),
    ("call GEX", "/levels/call_total"),
    ("put GEX", "/levels/put_total"),
    ("net DEX", "/levels/dex/net"),
    ("net VEX", "/levels/vex/net"),
    ("net CHEX", "/levels/chex/net"),
    ("call wall", "/levels/call_wall"),
    ("put wall", "/levels/put_wall"),
    ("peak", "/levels/peak"),
    ("absolute gamma", "/levels/absolute_gamma"),
    ("flip", "/levels/flip/nearest"),
];

/// Runs the command.
///
/// # Errors
/// When the data does not open, or there is no such symbol, profile or moment.
pub fn run(common: &Common, command: &Levels) -> anyhow::Result<Exit> {
    if command.list {
        return list(common);
    }
    if command.flat || !command.kind.is_empty() {
        return flat(common, command);
    }
    let data = open::existing(common)?;
    let parameters = data.world.parameters().gex.clone();
    let profiles = Chosen::several(&command.profile, parameters.profile)?;
    let archive = data.into_archive(common.threads);
    open::catch_up(&archive)?;
    let seq = open::moment(archive.journal(), command.at.as_deref())?;
    let all = command.profile.iter().any(|name| name == "all");
    let answers = asked(&archive, &command.symbol, seq, |market| {
        let ask = |p: &Chosen| (*p, Gex::ask(market, &parameters, *p));
        profiles.iter().map(ask).collect::<Vec<_>>()
    })?;
    let (mut profiles, mut bodies) = (Vec::new(), Vec::<Value>::new());
    for (profile, body) in answers {
        match body {
            Some(body) => {
                profiles.push(profile);
                bodies.push(serde_json::from_slice(&body)?);
            }
            // Of all profiles, those that need what this chain lacks are left out.
            None if all => {}
            None => {
                let (symbol, name) = (&command.symbol, profile.get().name);
                bail!("{symbol} has no chain with what {name} needs at event {seq}");
            }
        }
    }
    if bodies.is_empty() {
        bail!("{} has no chain with what any profile needs at event {seq}", command.symbol);
    }
    if common.json {
        let named = profiles.iter().zip(&bodies).map(|(profile, body)| {
            serde_json::json!({ "profile": profile.get().name, "seq": seq.0, "body": body })
        });
        output::json(&named.collect::<Vec<_>>())?;
        return Ok(Exit::Fine);
    }
    let mut head = vec!["level"];
    head.extend(profiles.iter().map(|p| p.get().name));
    let rows: Vec<Vec<String>> = ROWS
        .iter()
        .map(|(name, place)| {
            let mut row = vec![(*name).to_owned()];
            row.extend(bodies.iter().map(|body| cell(body.pointer(place))));
            row
        })
        .collect();
    output::table(&head, &rows);
    Ok(Exit::Fine)
}

/// The `levels` artifact of the moment.
fn flat(common: &Common, command: &Levels) -> anyhow::Result<Exit> {
    let archive = open::archive(common)?;
    let seq = open::moment(archive.journal(), command.at.as_deref())?;
    let symbol = crate::market::ticker::symbol_of(&command.symbol);
    let header = archive.latest_at(&symbol, "levels", At::Seq(seq))?;
    let header = header.with_context(|| format!("{symbol} has no levels at event {seq}"))?;
    let mut body: Value = serde_json::from_slice(&archive.body(&header)?)?;
    let wanted = |row: &Value| {
        command.kind.is_empty() || command.kind.iter().any(|kind| row["kind"] == kind.as_str())
    };
    for name in ["levels", "absent"] {
        if let Some(rows) = body[name].as_array_mut() {
            rows.retain(wanted);
        }
    }
    if common.json {
        output::json(&serde_json::json!({ "profile": header.profile, "version": header.version,
                                          "seq": seq.0, "body": body }))?;
        return Ok(Exit::Fine);
    }
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    output::line(format!(
        "{symbol} at {}, {} v{} of {}",
        text(&body["spot"]),
        header.profile,
        header.version,
        header.created_at.to_rfc3339()
    ));
    let names = ["price", "to", "kind", "strength", "distance", "rank", "expiry", "basis"];
    let row = |row: &Value| {
        let mut cells: Vec<String> = names.iter().map(|name| text(&row[*name])).collect();
        cells.push(format!("{} v{}", text(&row["profile"]), text(&row["version"])));
        cells
    };
    let rows = |name: &str| body[name].as_array().cloned().unwrap_or_default();
    let mut head = names.to_vec();
    head.push("source");
    output::table(&head, &rows("levels").iter().map(row).collect::<Vec<_>>());
    for absent in rows("absent") {
        let [kind, family, reason] = ["kind", "family", "reason"].map(|name| text(&absent[name]));
        output::line(format!("no {kind} from {family}: {reason}"));
    }
    Ok(Exit::Fine)
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

/// Asks a symbol's market as it stood after an event.
///
/// # Errors
/// When the state cannot be folded, or the symbol is unknown.
pub fn asked<T>(
    archive: &Archive,
    symbol: &str,
    seq: Seq,
    ask: impl FnOnce(&Market<'_>) -> T,
) -> anyhow::Result<T> {
    let symbol = crate::market::ticker::symbol_of(symbol);
    let answer =
        archive.at(At::Seq(seq), |_, engine| match engine.fold_as::<Partition>(&symbol) {
            Some(partition) => Ok(ask(&partition.market())),
            None => {
                Err(engine.partitions().into_iter().map(ToOwned::to_owned).collect::<Vec<String>>())
            }
        })?;
    answer
        .or_else(|known| bail!("no symbol {symbol} at event {seq}; there are {}", known.join(", ")))
}

fn cell(value: Option<&Value>) -> String {
    match value.and_then(Value::as_f64) {
        None => "-".to_owned(),
        Some(v) if v.abs() >= 1e6 => format!("{v:.4e}"),
        Some(v) => format!("{:.2}", v).trim_end_matches('0').trim_end_matches('.').to_owned(),
    }
}
