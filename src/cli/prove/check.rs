//! The check of a bundle.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use orrery_journal::event::{Body, InlineText};
use orrery_journal::proof::bundle::Proven;
use orrery_journal::proof::checkpoint::Checkpoint;
use orrery_journal::proof::note::PublicKey;
use orrery_journal::proof::{handover, notary};
use orrery_journal::units::InstrumentId;
use orrery_replay::artifact::Header;
use orrery_replay::certificate::Certificate;
use orrery_replay::certificate::proof::{ProvenArtifact, ProvenDay};
use serde_json::{Value, json};

use crate::bundle::{self, AnyProven};
use crate::cli::exit::Exit;
use crate::cli::{Common, output, show};

/// Checks a bundle with a key, and that it is of one history with a checkpoint
/// that was kept.
pub fn check(
    common: &Common,
    path: &Path,
    key: Option<&str>,
    kept: Option<&Path>,
    handovers: Option<&Path>,
) -> anyhow::Result<Exit> {
    let keys = trusted(public_key(common, key)?, handovers)?;
    let key = keys.last().context("no key")?;
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let kept = match kept {
        None => None,
        Some(path) => {
            let name = path.display();
            let note = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
            // An earlier key may have signed it; the newest one says why not.
            let read = keys.iter().find_map(|key| Checkpoint::read(&note, key).ok());
            let read = read.map_or_else(|| Checkpoint::read(&note, key), Ok);
            Some(read.with_context(|| format!("{name} is no checkpoint of this log"))?)
        }
    };
    let checked = bundle::parse(&bytes).map_err(anyhow::Error::from).and_then(|bundle| {
        let proven = bundle.check(key)?;
        agrees(&proven, kept.as_ref())?;
        Ok(proven)
    });
    match checked {
        Ok(proven) => print(common, &proven)?,
        Err(why) => {
            let chain: Vec<String> = why.chain().map(ToString::to_string).collect();
            if common.json {
                output::json(&serde_json::json!({ "holds": false, "why": chain }))?;
            } else {
                output::line(format!("REFUSED: {}", chain.join(": ")));
            }
            return Ok(Exit::Finding);
        }
    }
    Ok(Exit::Fine)
}

/// The key to check with: given, in a file, or that of the data directory.
fn public_key(common: &Common, given: Option<&str>) -> anyhow::Result<PublicKey> {
    let Some(text) = given else {
        let found = notary::public_key(common.data_dir())?;
        return found.context("whose log? name its public key with --key");
    };
    match PublicKey::parse(text) {
        Ok(key) => Ok(key),
        Err(why) => match std::fs::read_to_string(text) {
            Ok(text) => Ok(PublicKey::parse(&text)?),
            Err(_) => Err(why).context("--key is neither a key nor a file with one"),
        },
    }
}

/// The trusted key, and the keys that it has handed the log to.
fn trusted(key: PublicKey, handovers: Option<&Path>) -> anyhow::Result<Vec<PublicKey>> {
    let Some(path) = handovers else { return Ok(vec![key]) };
    let name = path.display();
    let file = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    handover::follow(&file, &key).with_context(|| format!("{name} leads to no other key"))
}

/// Whether what was proven is of one history with a checkpoint that was kept.
fn agrees(proven: &AnyProven, kept: Option<&Checkpoint>) -> anyhow::Result<()> {
    let Some(kept) = kept else { return Ok(()) };
    let shown = proven.old().into_iter().chain([proven.checkpoint()]);
    let Some(same) = shown.clone().find(|shown| shown.size == kept.size) else {
        let sizes: Vec<String> = shown.map(|c| c.size.to_string()).collect();
        bail!(
            "the kept checkpoint is over {} pages and the bundle's over {}: ask for a proof of \
             consistency between them",
            kept.size,
            sizes.join(" and ")
        );
    };
    if same.root != kept.root {
        bail!(
            "two histories: the log has signed another root over {} pages than the kept one; keep \
             both notes, they prove it",
            kept.size
        );
    }
    Ok(())
}

fn print(common: &Common, proven: &AnyProven) -> anyhow::Result<()> {
    match proven {
        AnyProven::Log(proven) => print_log(common, proven),
        AnyProven::Day(proven) => {
            let ProvenDay { checkpoint, certificate } = &**proven;
            if common.json {
                return output::json(&json!({
                    "holds": true,
                    "checkpoint": shown(checkpoint),
                    "certificate": certificate.text(),
                }));
            }
            output::line(certificate.text().trim_end());
            output::line(holds(checkpoint, certificate));
            Ok(())
        }
        AnyProven::Artifact(proven) => {
            let ProvenArtifact { day, header, with_body } = &**proven;
            let ProvenDay { checkpoint, certificate } = day;
            if common.json {
                return output::json(&json!({
                    "holds": true,
                    "checkpoint": shown(checkpoint),
                    "certificate": certificate.text(),
                    "artifact": fields(header).into_iter().collect::<serde_json::Map<_, _>>(),
                    "body": with_body,
                }));
            }
            let of = fields(header).into_iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                value => format!("{name}={value}"),
            });
            let body = if *with_body { "with its body" } else { "without its body" };
            // Symbols come from tickers, so from outside.
            let told = format!("{} {body}", of.collect::<Vec<_>>().join(" "));
            output::line(told.replace(char::is_control, "\u{fffd}"));
            output::line(holds(checkpoint, certificate));
            Ok(())
        }
    }
}

/// What is told of a header, in the order of its bytes.
fn fields(header: &Header) -> Vec<(String, Value)> {
    let mut fields = vec![
        ("symbol", json!(header.symbol)),
        ("family", json!(header.family)),
        ("profile", json!(header.profile)),
        ("version", json!(header.version)),
    ];
    fields.extend(header.epoch.map(|epoch| ("epoch", json!(epoch.to_string()))));
    fields.extend([
        ("configuration", json!(header.configuration.to_string())),
        ("seq_first", json!(header.seq_first.0)),
        ("seq_last", json!(header.seq_last.0)),
        ("created_at", json!(header.created_at.to_rfc3339())),
        ("content", json!(header.content.to_string())),
        ("body_bytes", json!(header.body_len)),
        ("previous", json!(header.previous.to_string())),
    ]);
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn shown(checkpoint: &Checkpoint) -> Value {
    let Checkpoint { origin, size, root } = checkpoint;
    json!({ "origin": origin, "size": size, "root": root.to_string() })
}

fn holds(checkpoint: &Checkpoint, certificate: &Certificate) -> String {
    let Checkpoint { origin, size, root } = checkpoint;
    let id = certificate.id;
    format!("HOLDS: certificate {id}, in the log {origin} of {size} pages, root {root}")
}

fn print_log(common: &Common, proven: &Proven) -> anyhow::Result<()> {
    let mut names: BTreeMap<InstrumentId, &str> = BTreeMap::new();
    for found in &proven.events {
        if let Body::InstrumentDefined(InlineText::Inline(text)) = &found.event.body {
            names.insert(found.event.instrument, text);
        }
    }
    let name = |id| names.get(&id).copied();
    let events =
        proven.events.iter().map(|found| show::fields(found, name(found.event.instrument)));
    if common.json {
        let events: Vec<_> = events.collect();
        return output::json(&json!({
            "holds": true,
            "checkpoint": shown(&proven.checkpoint),
            "old": proven.old.as_ref().map(shown),
            "pages": proven.pages.iter().map(show::page).collect::<Vec<_>>(),
            "events": events,
        }));
    }
    for event in events {
        output::line(event.to_string());
    }
    let Checkpoint { origin, size, root } = &proven.checkpoint;
    let mut what = format!("{} events, in the log", output::grouped(proven.events.len() as u64));
    if let Some(old) = &proven.old {
        output::line(format!("what was signed at {} pages is the beginning of it", old.size));
        what = "the log".to_owned();
    }
    output::line(format!("HOLDS: {what} {origin} of {size} pages, root {root}"));
    Ok(())
}
