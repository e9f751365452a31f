//! `orrery prove`: proofs for somebody who has neither this program nor the
//! journal, and their check.

mod check;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use orrery_journal::proof::note::PublicKey;
use orrery_journal::units::{Seq, TradingDay};
use serde::Serialize;

use super::exit::Exit;
use super::{Common, open, output};
use crate::backend::proving::{self, Proof};
use crate::backend::sealing;
use crate::bundle::{self, AnyProven};
use crate::control::proving::{Part, SignedCheckpoint, Wanted, WantedArtifact, WantedCertificate};

/// Prove events, pages, days and artifacts to others, or check such a proof.
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
    /// Handovers of the log's key (`orrery key handovers`): --key is an earlier
    /// key then, and the last one that it leads to checks the bundle.
    #[arg(long, requires = "key", value_name = "FILE")]
    handovers: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Event(Event),
    Range(Range),
    Page(Page),
    Day(Day),
    Artifact(Artifact),
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

/// Prove how a trading day is certified, and that the log of today begins with
/// the log that the certificate stands on.
///
/// Example: orrery prove day 2015-12-24 --out day.json
#[derive(Debug, Args)]
struct Day {
    /// Trading day, YYYY-MM-DD; `orrery seal` certifies it.
    day: String,
    /// This one of its certificates; the newest without it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    number: Option<u32>,
    #[command(flatten)]
    output: Output,
}

/// Prove that an artifact is one of those of its certified day.
///
/// Example: orrery prove artifact GOOG gex 397 --out gex.json
#[derive(Debug, Args)]
struct Artifact {
    /// Symbol, such as SPX.
    symbol: String,
    /// Family, such as gex.
    family: String,
    /// Version, such as 397 or v397.
    #[arg(value_parser = version)]
    version: u64,
    /// Leave the body out; its hash is proven.
    #[arg(long)]
    header_only: bool,
    #[command(flatten)]
    output: Output,
}

fn version(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('v').unwrap_or(text).parse();
    number.map_err(|_| "no version; write a number, such as 397".to_owned())
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
pub struct Plain {
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
        let (kept, handovers) = (command.kept.as_deref(), command.handovers.as_deref());
        return check::check(common, path, command.key.as_deref(), kept, handovers);
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
        Some(Command::Day(of)) => {
            let day = TradingDay::parse(&of.day);
            let day = day.with_context(|| format!("`{}` is no date; write YYYY-MM-DD", of.day))?;
            let wanted = WantedCertificate { day, number: of.number };
            prove(common, &of.output, &Wanted::Day(wanted))
        }
        Some(Command::Artifact(of)) => {
            let Artifact { symbol, family, version, header_only, output } = of;
            let (symbol, family) = (symbol.clone(), family.clone());
            let wanted =
                WantedArtifact { symbol, family, version: *version, header_only: *header_only };
            prove(common, output, &Wanted::Artifact(wanted))
        }
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
            let proof = match wanted {
                Wanted::Part(_) | Wanted::Consistency(..) => {
                    proving::prove(&journal, wanted, origin)?
                }
                Wanted::Day(wanted) => sealing::prove_day(&journal, *wanted, origin)?,
                Wanted::Artifact(_) => {
                    let archive = open::with(common, journal)?.into_archive(common.threads);
                    open::catch_up(&archive)?;
                    sealing::prove(&archive, wanted, origin)?
                }
            };
            let Proof { text, proven, key } = proof;
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

pub fn key(common: &Common, plain: &Plain) -> anyhow::Result<Exit> {
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
    proven: &AnyProven,
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
        let events = match proven {
            AnyProven::Log(proven) => proven.events.len(),
            AnyProven::Day(_) | AnyProven::Artifact(_) => 0,
        };
        let size = proven.checkpoint().size;
        output::json(&Written { out, bytes: text.len(), events, size, key: key.to_string() })?;
    } else {
        let bytes = output::grouped(text.len() as u64);
        output::line(format!("wrote {out}: {bytes} bytes; check it with the key {key}"));
    }
    Ok(Exit::Fine)
}
