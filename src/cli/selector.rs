//! `orrery selector`: butterflies of the heatmap, scored under either profile.

use anyhow::{Context, bail};
use clap::Args;
use orrery_journal::units::Seq;
use orrery_replay::as_of::At;
use serde_json::Value;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::Archive;
use crate::market::ticker::symbol_of;
use crate::models::parameters::views::SelectorProfile;
use crate::views::selector::Selector as SelectorView;
use crate::views::{Bodies, Published, View};

/// Score the butterflies of a symbol's heatmap as it stood at any moment, from
/// the artifacts that were published then.
///
/// Example: orrery selector SPX --profile marketswarm --at 2026-08-19T18:00:00Z
#[derive(Debug, Args)]
pub struct Selector {
    /// Symbol of the underlying, such as SPX.
    symbol: String,
    /// convexity (the documented scoring) or marketswarm (as the original
    /// computes it). Default: the one that is configured.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// As known at a seq (`seq:1200`) or a time (RFC 3339).
    #[arg(long)]
    at: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the data does not open, or there is no such symbol, profile or moment.
pub fn run(common: &Common, command: &Selector) -> anyhow::Result<Exit> {
    let data = open::existing(common)?;
    let profile = match &command.profile {
        None => data.world.parameters().views.selector,
        Some(name) => SelectorProfile::named(name).with_context(|| {
            let known = SelectorProfile::ALL.map(SelectorProfile::name).join(", ");
            format!("{name:?} is no profile of the selector; there are {known}")
        })?,
    };
    let archive = data.into_archive(common.threads);
    open::catch_up(&archive)?;
    let seq = open::moment(archive.journal(), command.at.as_deref())?;
    let symbol = symbol_of(&command.symbol);
    let view = SelectorView::new(profile);
    let bodies = published(&archive, &symbol, seq, view.inputs())?;
    let Some(body) = view.derive(&symbol, &bodies) else {
        bail!("{symbol} has no heatmap at event {seq}; a chain with quotes makes one");
    };
    let body: Value = serde_json::from_slice(&body)?;
    if common.json {
        output::json(
            &serde_json::json!({ "profile": profile.name(), "seq": seq.0, "body": body }),
        )?;
        return Ok(Exit::Fine);
    }
    print(&symbol, profile, &body);
    Ok(Exit::Fine)
}

/// What was published of these families up to an event.
fn published(
    archive: &Archive,
    symbol: &str,
    seq: Seq,
    families: &[&'static str],
) -> anyhow::Result<Bodies> {
    let mut bodies = Bodies::default();
    for family in families {
        if let Some(header) = archive.latest_at(symbol, family, At::Seq(seq))? {
            let published = Published {
                body: archive.body(&header)?,
                current: true,
                profile: header.profile,
                version: header.version,
                epoch: header.epoch,
                at: header.created_at,
            };
            bodies.put_back(family, published);
        }
    }
    Ok(bodies)
}

fn print(symbol: &str, profile: SelectorProfile, body: &Value) {
    let text = |place: &str| match body.pointer(place) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    output::line(format!(
        "{symbol} at {} under {}: {} scored, {} beyond the debit rule; volatility {} ({}), {}, {}",
        text("/spot"),
        profile.name(),
        text("/total_scored"),
        text("/filtered_by_debit_rule"),
        text("/volatility/value"),
        text("/volatility/source"),
        text("/vix_regime"),
        text("/playbook/session"),
    ));
    let ranked = body["recommendations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let cell = |row: &Value, place: &str| match row.pointer(place) {
        Some(Value::String(text)) => text.clone(),
        Some(value) if !value.is_null() => value.to_string(),
        _ => "-".to_owned(),
    };
    let places = [
        "/rank",
        "/tile_key",
        "/score/composite",
        "/score/components/convexity",
        "/score/components/r2r",
        "/score/components/width_fit",
        "/score/components/gamma_alignment",
        "/debit",
        "/r2r_vs_typical",
        "/distance_to_spot",
    ];
    let rows: Vec<Vec<String>> =
        ranked.iter().map(|row| places.iter().map(|place| cell(row, place)).collect()).collect();
    output::table(
        &[
            "rank",
            "tile",
            "score",
            "convexity",
            "r2r",
            "width fit",
            "gamma",
            "debit",
            "r2r vs usual",
            "from spot",
        ],
        &rows,
    );
}
