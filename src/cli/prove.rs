//! `orrery prove`: proofs for somebody who has neither this program nor the
//! journal, and their check.

mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orrery_journal::Journal;
use orrery_journal::event::Body;
use orrery_journal::proof::bundle::{Bundle, Claim, Proven};
use orrery_journal::proof::checkpoint::Checkpoint;
use orrery_journal::proof::notary::{self, Notary};
use orrery_journal::proof::note::PublicKey;
use orrery_journal::proof::prover::Prover;
use orrery_journal::units::{InstrumentId, Seq};
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::bundle;

/// Prove events and pages to others, or check such a proof.
///
/// A proof is one JSON document. `tools/verify.py` checks it without this
/// program; docs/proofs.md explains it. Only events of sealed pages can be
/// proven.
///
/// Example: orrery prove --check bundle.json --key name+id+base64
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub struct Prove {
    /// Check this bundle. Exit code 0: it holds. 1: it is refused.
    #[arg(long, value_name = "BUNDLE")]
    check: Option<PathBuf>,
    /// The log's public key, or a file with it; without it that of --data.
    #[arg(long, requires = "check", value_name = "KEY")]
    key: Option<String>,
    /// A checkpoint that you kept: the bundle must be of the same history, as
    /// far as it shows.
    #[arg(long, requires = "check", value_name = "NOTE")]
    kept: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Event(Event),
    Range(Range),
    Page(Page),
    Consistency(Consistency),
    Checkpoint(Plain),
    Key(Plain),
}

#[derive(Debug, Args)]
struct Output {
    /// Write the bundle to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    plain: Plain,
}

/// Prove single events, each with the event that names its instrument.
///
/// Example: orrery prove event 4711 --out bundle.json
#[derive(Debug, Args)]
struct Event {
    /// Seqs.
    #[arg(required = true)]
    seqs: Vec<u64>,
    #[command(flatten)]
    output: Output,
}

/// Prove that these are all events from one to another.
///
/// Example: orrery prove range 4711 9000 --out bundle.json
#[derive(Debug, Args)]
struct Range {
    /// First seq.
    from: u64,
    /// Last seq.
    to: u64,
    #[command(flatten)]
    output: Output,
}

/// Prove all events of the page that holds one.
///
/// Example: orrery prove page 4711 --out bundle.json
#[derive(Debug, Args)]
struct Page {
    /// A seq of the page.
    seq: u64,
    #[command(flatten)]
    output: Output,
}

/// Prove that what was signed earlier is the beginning of what is signed now.
///
/// OLD and NEW are files with checkpoints, or numbers of pages that a
/// checkpoint was signed over; NEW is everything if it is left out.
///
/// Example: orrery prove consistency checkpoint-of-monday.txt
#[derive(Debug, Args)]
struct Consistency {
    /// The earlier checkpoint.
    old: String,
    /// The later one.
    new: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Print the signed checkpoint, or the public key, of the log.
///
/// Example: orrery prove checkpoint
#[derive(Debug, Args)]
struct Plain {
    /// Name of the log and its key, such as example.com/orrery; only the first
    /// use can choose it.
    #[arg(long, value_name = "NAME")]
    origin: Option<String>,
}

pub fn run(common: &Common, command: &Prove) -> anyhow::Result<Exit> {
    if let Some(path) = &command.check {
        return check(common, path, command.key.as_deref(), command.kept.as_deref());
    }
    match &command.command {
        Some(Command::Event(event)) => {
            let seqs: BTreeSet<Seq> = event.seqs.iter().map(|n| Seq(*n)).collect();
            prove(common, &event.output, |log, journal, size| {
                let seqs = with_names(log, journal, seqs)?;
                let pages = log.events(&seqs, size)?;
                Ok(Claim::Events { seqs: seqs.into_iter().collect(), pages })
            })
        }
        Some(Command::Range(range)) => prove(common, &range.output, |log, _, size| {
            range_claim(log, Seq(range.from), Seq(range.to), size)
        }),
        Some(Command::Page(page)) => prove(common, &page.output, |log, _, size| {
            let (from, to) = log.page_of(Seq(page.seq))?;
            range_claim(log, from, to, size)
        }),
        Some(Command::Consistency(command)) => consistency(common, command),
        Some(Command::Checkpoint(plain)) => checkpoint(common, plain),
        Some(Command::Key(plain)) => key(common, plain),
        None => bail!("say what to prove, or --check BUNDLE; `orrery prove --help` lists it"),
    }
}

/// Makes a bundle over everything that is sealed.
fn prove(
    common: &Common,
    to: &Output,
    claim: impl FnOnce(&Prover<'_>, &Journal, u64) -> anyhow::Result<Claim>,
) -> anyhow::Result<Exit> {
    let journal = open::journal(common)?;
    let log = journal.prover();
    // First what can be refused for what was asked; then the signature.
    let claim = claim(&log, &journal, log.size())?;
    let mut notary = Notary::open(common.data_dir(), to.plain.origin.as_deref())?;
    let (_, checkpoint) = notary.checkpoint(&log)?;
    write(common, to, &notary, &Bundle { checkpoint, claim })
}

fn range_claim(log: &Prover<'_>, from: Seq, to: Seq, size: u64) -> anyhow::Result<Claim> {
    let pages = log.pages_between(from, to)?;
    if pages > bundle::BUNDLE_PAGES_MAX {
        let max = bundle::BUNDLE_PAGES_MAX;
        bail!("events {from} to {to} lie in {pages} pages; a bundle holds {max}: ask for parts");
    }
    Ok(Claim::Range { from, to, pages: log.range(from, to, size)? })
}

/// Adds the events that name the instruments of these.
fn with_names(
    log: &Prover<'_>,
    journal: &Journal,
    mut seqs: BTreeSet<Seq>,
) -> anyhow::Result<BTreeSet<Seq>> {
    let mut instruments = BTreeSet::new();
    for seq in &seqs {
        for stretch in journal.read(*seq, *seq) {
            instruments.extend(stretch?.events.iter().map(|event| event.instrument));
        }
    }
    for instrument in instruments {
        seqs.extend(log.definition(instrument)?);
    }
    Ok(seqs)
}

fn consistency(common: &Common, command: &Consistency) -> anyhow::Result<Exit> {
    let journal = open::journal(common)?;
    let log = journal.prover();
    let mut notary = Notary::open(common.data_dir(), command.output.plain.origin.as_deref())?;
    let (_, last) = notary.checkpoint(&log)?;
    let old = note(&notary, &command.old)?;
    let new = match &command.new {
        Some(text) => note(&notary, text)?,
        None => last,
    };
    let key = notary.public();
    let size = |text: &str, what: &str| {
        let read = Checkpoint::read(text.as_bytes(), &key);
        read.map(|c| c.size).with_context(|| format!("{what} is no checkpoint of this log"))
    };
    let (from, to) = (size(&old, &command.old)?, size(&new, "NEW")?);
    if from > to {
        bail!("OLD is over {from} pages and NEW over {to}: name the earlier one first");
    }
    let claim = Claim::Consistency { old, path: log.consistency(from, to)? };
    write(common, &command.output, &notary, &Bundle { checkpoint: new, claim })
}

/// A signed checkpoint by its file or its size.
fn note(notary: &Notary, text: &str) -> anyhow::Result<String> {
    if let Ok(size) = text.parse() {
        return Ok(notary.earlier(size)?);
    }
    std::fs::read_to_string(text).with_context(|| {
        format!("`{text}` is neither a number of pages nor a file with a checkpoint")
    })
}

fn checkpoint(common: &Common, plain: &Plain) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct Signed {
        origin: String,
        size: u64,
        root: String,
        note: String,
    }
    let journal = open::journal(common)?;
    let mut notary = Notary::open(common.data_dir(), plain.origin.as_deref())?;
    let (checkpoint, note) = notary.checkpoint(&journal.prover())?;
    if common.json {
        let Checkpoint { origin, size, root } = checkpoint;
        output::json(&Signed { origin, size, root: root.to_string(), note })?;
    } else {
        output::line(note.trim_end());
    }
    Ok(Exit::Fine)
}

fn key(common: &Common, plain: &Plain) -> anyhow::Result<Exit> {
    let _journal = open::journal(common)?;
    let notary = Notary::open(common.data_dir(), plain.origin.as_deref())?;
    let key = notary.public().to_string();
    if common.json {
        output::json(&serde_json::json!({ "origin": notary.public().name(), "key": key }))?;
    } else {
        output::line(key);
    }
    Ok(Exit::Fine)
}

/// Writes a bundle, after it has passed the check that it is made for.
fn write(common: &Common, to: &Output, notary: &Notary, made: &Bundle) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct Written {
        out: String,
        bytes: usize,
        events: usize,
        size: u64,
        key: String,
    }
    let key = notary.public();
    let proven = made.check(&key).context("what was asked for does not hold")?;
    let text = bundle::to_json(made)?;
    let Some(path) = &to.out else {
        output::line(text);
        return Ok(Exit::Fine);
    };
    let text = text + "\n";
    std::fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
    let out = path.display().to_string();
    if common.json {
        let (events, size) = (proven.events.len(), proven.checkpoint.size);
        output::json(&Written { out, bytes: text.len(), events, size, key: key.to_string() })?;
    } else {
        let bytes = output::grouped(text.len() as u64);
        output::line(format!("wrote {out}: {bytes} bytes; check it with the key {key}"));
    }
    Ok(Exit::Fine)
}

fn check(
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
        if let Body::InstrumentDefined(orrery_journal::event::InlineText::Inline(text)) =
            &found.event.body
        {
            names.insert(found.event.instrument, text);
        }
    }
    let events = proven.events.iter().map(|found| show::fields(found, &names));
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
