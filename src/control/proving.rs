//! Proofs that are asked for, in the schema's words.

use orrery_journal::units::{Seq, TradingDay};
use orrery_proto::v1;
use orrery_proto::v1::prove_request::What;
use tonic::Status;

use super::convert;
use super::status::invalid;

/// Events that one bundle proves by themselves at most.
const EVENTS_MAX: usize = 4_096;

/// What is to be proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// That events are in the log.
    Part(Part),
    /// That an earlier checkpoint is the beginning of a later one: each a
    /// signed note or a number of pages; everything where there is no later one.
    Consistency(String, Option<String>),
    /// That a day is certified so.
    Day(WantedCertificate),
    /// That an artifact is one of its certified day.
    Artifact(WantedArtifact),
}

/// One of the certificates of a day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WantedCertificate {
    /// The day.
    pub day: TradingDay,
    /// Which one; `None` for the newest.
    pub number: Option<u32>,
}

/// A version of a family.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedArtifact {
    /// The symbol.
    pub symbol: String,
    /// The family.
    pub family: String,
    /// The version.
    pub version: u64,
    /// Whether the body is left out.
    pub header_only: bool,
}

/// Events of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Single ones.
    Events(Vec<Seq>),
    /// All from one to another.
    Range(Seq, Seq),
    /// All of the sealed page that holds one.
    Page(Seq),
}

/// A proof, ready to be given away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Given {
    /// The bundle: JSON.
    pub bundle: String,
    /// The key that checks it.
    pub key: String,
}

/// The signed checkpoint of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedCheckpoint {
    /// Name of the log.
    pub origin: String,
    /// Pages that it is over.
    pub size: u64,
    /// RFC 6962 root, hex.
    pub root: String,
    /// The note.
    pub note: String,
    /// The key that checks it.
    pub key: String,
}

/// What a request wants to have proven.
pub(super) fn wanted(what: Option<What>) -> Result<Wanted, Status> {
    Ok(match what {
        None => return Err(invalid("what", "must be given")),
        Some(What::Events(v1::ProveEvents { seqs })) => match seqs.len() {
            0 => return Err(invalid("events.seqs", "must be given")),
            n if n > EVENTS_MAX => {
                return Err(invalid(
                    "events.seqs",
                    &format!("{EVENTS_MAX} at most; ask for a range"),
                ));
            }
            _ => Wanted::Part(Part::Events(seqs.into_iter().map(Seq).collect())),
        },
        Some(What::Range(v1::ProveRange { from_seq, to_seq })) => {
            Wanted::Part(Part::Range(Seq(from_seq), Seq(to_seq)))
        }
        Some(What::PageOfSeq(seq)) => Wanted::Part(Part::Page(Seq(seq))),
        Some(What::Consistency(v1::ProveConsistency { old, new })) => {
            Wanted::Consistency(old, (!new.is_empty()).then_some(new))
        }
        Some(What::Day(v1::ProveDay { day, number })) => {
            Wanted::Day(certificate("day.day", day, number)?)
        }
        Some(What::Artifact(asked)) => {
            let v1::ProveArtifact { symbol, family, version, header_only } = asked;
            let symbol = convert::symbol(&symbol)?.to_owned();
            let family = convert::name("artifact.family", &family)?.to_owned();
            Wanted::Artifact(WantedArtifact { symbol, family, version, header_only })
        }
    })
}

/// The certificate that a request names.
pub(super) fn certificate(
    field: &str,
    day: Option<v1::Date>,
    number: u32,
) -> Result<WantedCertificate, Status> {
    let day = convert::trading_day(field, day)?;
    Ok(WantedCertificate { day, number: (number > 0).then_some(number) })
}

/// A request for a proof.
pub(super) fn what(wanted: &Wanted) -> What {
    match wanted {
        Wanted::Part(Part::Events(seqs)) => {
            What::Events(v1::ProveEvents { seqs: seqs.iter().map(|seq| seq.0).collect() })
        }
        Wanted::Part(Part::Range(from, to)) => {
            What::Range(v1::ProveRange { from_seq: from.0, to_seq: to.0 })
        }
        Wanted::Part(Part::Page(seq)) => What::PageOfSeq(seq.0),
        Wanted::Consistency(old, new) => What::Consistency(v1::ProveConsistency {
            old: old.clone(),
            new: new.clone().unwrap_or_default(),
        }),
        Wanted::Day(WantedCertificate { day, number }) => {
            What::Day(v1::ProveDay { day: convert::date(*day), number: number.unwrap_or_default() })
        }
        Wanted::Artifact(WantedArtifact { symbol, family, version, header_only }) => {
            What::Artifact(v1::ProveArtifact {
                symbol: symbol.clone(),
                family: family.clone(),
                version: *version,
                header_only: *header_only,
            })
        }
    }
}

/// The name of a log as a request gives it; `None` when it gives none.
pub(super) fn origin(said: &str) -> Option<&str> {
    (!said.is_empty()).then_some(said)
}
