//! `orrery prove`: proofs for somebody who has neither this program nor the
//! journal, and their check.

mod check;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orrery_journal::proof::bundle::Proven;
use orrery_journal::proof::note::PublicKey;
use orrery_journal::units::Seq;
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::proving::{self, Proof};
use crate::bundle;
use crate::control::proving::{Part, SignedCheckpoint, Wanted};

/// Prove events and pages to others, or check such a proof.
///
/// A proof is one JSON document. `tools/verify.py` checks it without this
/// program; docs/proofs.md explains it. Only events of sealed pages can be
/// proven. Works beside a server, too: it is asked.
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
    #[command(flatten)]
    server: open::Server,
}

impl Plain {
    fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }
}

pub fn run(common: &Common, command: &Prove) -> anyhow::Result<Exit> {
    if let Some(path) = &command.check {
        return check::check(common, path, command.key.as_deref(), command.kept.as_deref());
    }
    let part = |to: &Output, part| prove(common, to, &Wanted::Part(part));
    match &command.command {
        Some(Command::Event(event)) => {
            part(&event.output, Part::Events(event.seqs.iter().map(|n| Seq(*n)).collect()))
        }
        Some(Command::Range(range)) => {
            part(&range.output, Part::Range(Seq(range.from), Seq(range.to)))
        }
        Some(Command::Page(page)) => part(&page.output, Part::Page(Seq(page.seq))),
        Some(Command::Consistency(command)) => {
            let new = command.new.as_deref().map(note).transpose()?;
            prove(common, &command.output, &Wanted::Consistency(note(&command.old)?, new))
        }
        Some(Command::Checkpoint(plain)) => checkpoint(common, plain),
        Some(Command::Key(plain)) => key(common, plain),
        None => bail!("say what to prove, or --check BUNDLE; `orrery prove --help` lists it"),
    }
}

/// A checkpoint as it is named: by its size, or the text of its file.
fn note(text: &str) -> anyhow::Result<String> {
    if text.parse::<u64>().is_ok() {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(text).with_context(|| {
        format!("`{text}` is neither a number of pages nor a file with a checkpoint")
    })
}

/// Has a bundle made, here or by the server, and writes it after it has passed
/// the check that it is made for.
fn prove(common: &Common, to: &Output, wanted: &Wanted) -> anyhow::Result<Exit> {
    let origin = to.plain.origin();
    let (text, proven, key) = match open::reach(common, &to.plain.server)? {
        open::Reach::Here(journal) => {
            let Proof { text, proven, key } = proving::prove(&journal, wanted, origin)?;
            (text, proven, key)
        }
        open::Reach::Server(mut client) => {
            let given = client.prove(wanted, origin)?;
            let key = PublicKey::parse(&given.key)?;
            let read = bundle::parse(given.bundle.as_bytes()).map_err(anyhow::Error::from);
            let proven = read.and_then(|bundle| Ok(bundle.check(&key)?));
            let proven = proven.context("what the server has given does not hold")?;
            (given.bundle, proven, key)
        }
    };
    write(common, to, text, &proven, &key)
}

fn checkpoint(common: &Common, plain: &Plain) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct Signed {
        origin: String,
        size: u64,
        root: String,
        note: String,
    }
    let signed = match open::reach(common, &plain.server)? {
        open::Reach::Here(journal) => proving::checkpoint(&journal, plain.origin())?,
        open::Reach::Server(mut client) => client.checkpoint(plain.origin())?,
    };
    let SignedCheckpoint { origin, size, root, note, .. } = signed;
    if common.json {
        output::json(&Signed { origin, size, root, note })?;
    } else {
        output::line(note.trim_end());
    }
    Ok(Exit::Fine)
}

fn key(common: &Common, plain: &Plain) -> anyhow::Result<Exit> {
    let key = match open::reach(common, &plain.server)? {
        open::Reach::Here(journal) => proving::key(&journal, plain.origin())?,
        open::Reach::Server(mut client) => PublicKey::parse(&client.key(plain.origin())?)?,
    };
    let (origin, key) = (key.name().to_owned(), key.to_string());
    if common.json {
        output::json(&serde_json::json!({ "origin": origin, "key": key }))?;
    } else {
        output::line(key);
    }
    Ok(Exit::Fine)
}

fn write(
    common: &Common,
    to: &Output,
    text: String,
    proven: &Proven,
    key: &PublicKey,
) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct Written {
        out: String,
        bytes: usize,
        events: usize,
        size: u64,
        key: String,
    }
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
