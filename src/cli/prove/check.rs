//! The check of a bundle.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use orrery_journal::event::{Body, InlineText};
use orrery_journal::proof::bundle::Proven;
use orrery_journal::proof::checkpoint::Checkpoint;
use orrery_journal::proof::notary;
use orrery_journal::proof::note::PublicKey;
use orrery_journal::units::InstrumentId;

use crate::bundle;
use crate::cli::exit::Exit;
use crate::cli::{Common, output, show};

/// Checks a bundle with a key, and that it is of one history with a checkpoint
/// that was kept.
pub fn check(
    common: &Common,
    path: &Path,
    key: Option<&str>,
    kept: Option<&Path>,
) -> anyhow::Result<Exit> {
    let key = public_key(common, key)?;
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let kept = match kept {
        None => None,
        Some(path) => {
            let name = path.display();
            let note = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
            let read = Checkpoint::read(&note, &key);
            Some(read.with_context(|| format!("{name} is no checkpoint of this log"))?)
        }
    };
    let checked = bundle::parse(&bytes).map_err(anyhow::Error::from).and_then(|bundle| {
        let proven = bundle.check(&key)?;
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

/// Whether what was proven is of one history with a checkpoint that was kept.
fn agrees(proven: &Proven, kept: Option<&Checkpoint>) -> anyhow::Result<()> {
    let Some(kept) = kept else { return Ok(()) };
    let shown = proven.old.iter().chain([&proven.checkpoint]);
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

fn print(common: &Common, proven: &Proven) -> anyhow::Result<()> {
    let mut names: BTreeMap<InstrumentId, &str> = BTreeMap::new();
    for found in &proven.events {
        if let Body::InstrumentDefined(InlineText::Inline(text)) = &found.event.body {
            names.insert(found.event.instrument, text);
        }
    }
    let name = |id| names.get(&id).copied();
    let events =
        proven.events.iter().map(|found| show::fields(found, name(found.event.instrument)));
    let shown = |c: &Checkpoint| serde_json::json!({ "origin": c.origin, "size": c.size, "root": c.root.to_string() });
    if common.json {
        let events: Vec<_> = events.collect();
        return output::json(&serde_json::json!({
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
