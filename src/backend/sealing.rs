//! Certificates of trading days, and what is proven with them: for the command
//! line, and for gRPC through
//! [`control::certificate::Certifying`](crate::control::certificate::Certifying).

mod error;

use std::ops::ControlFlow;
use std::path::Path;

use orrery_journal::proof::certificates::{self, CertificateId};
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::proof::notary::Notary;
use orrery_journal::proof::prover::{ProveError, Prover};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, TradingDay};
use orrery_journal::{Calendar, Head, Journal};
use orrery_replay::artifact::Header;
use orrery_replay::certificate::facts;
use orrery_replay::certificate::proof::{ArtifactProof, DayProof};
use orrery_replay::certificate::text::{FieldDifference, TextError};
use orrery_replay::certificate::{Certificate, FactsError, Ground, How, Maker};

use super::Archive;
use super::proving::{self, Proof, ProvingError};
use crate::bundle::AnyBundle;
use crate::control::BackendError;
use crate::control::certificate::{Certifying, Kept, Rotated, Sealed, Verified};
use crate::control::proving::{Wanted, WantedArtifact, WantedCertificate};
use crate::market::calendar::CALENDAR_VERSION;

pub use error::SealingError;

/// Version of the mathematics; a test holds it to the lock file.
const LIBM: &str = "0.2.16";

/// What this program would sign as the maker of a certificate.
fn maker(journal: &Journal) -> Maker {
    let name = match journal.calendar() {
        Calendar::NewYork => "new-york",
        Calendar::Utc => "utc",
    };
    Maker {
        binary: format!("orrery {}", env!("CARGO_PKG_VERSION")),
        libm: LIBM.to_owned(),
        calendar: format!("{name} {CALENDAR_VERSION}, tzdb {}", chrono_tz::IANA_TZDB_VERSION),
    }
}

/// Whether a line of a certificate speaks of the events alone.
fn is_of_events(field: &str) -> bool {
    let name = field.split(' ').next().unwrap_or(field);
    ["events", "time", "pages", "log-root", "count", "gap-time", "refused"].contains(&name)
}

fn ground(archive: &Archive) -> Ground<'_> {
    Ground {
        journal: archive.journal(),
        derived: archive.derived(),
        world: &archive.world,
        threads: archive.threads,
    }
}

/// A certificate that lies in a data directory; its signature is the business
/// of whoever has the key.
fn read(data: &Path, id: CertificateId) -> Result<Option<Kept>, SealingError> {
    Ok(certificates::read(data, id)?.map(|note| Kept { id, note }))
}

/// All certificates that lie in a data directory, ascending.
///
/// # Errors
/// When they cannot be read.
pub fn all(data: &Path) -> Result<Vec<Kept>, SealingError> {
    let mut found = Vec::new();
    for id in certificates::list(data)? {
        found.extend(read(data, id)?);
    }
    Ok(found)
}

/// The certificate that is wanted, as it lies in a data directory.
///
/// # Errors
/// When there is none, or it cannot be read.
pub fn find(data: &Path, wanted: WantedCertificate) -> Result<Kept, SealingError> {
    let WantedCertificate { day, number } = wanted;
    let ids = certificates::list(data)?;
    let mut of_day = ids.into_iter().rev().filter(|id| id.day == day);
    let id = of_day.find(|id| number.is_none_or(|number| id.number == number));
    let found = id.map(|id| read(data, id)).transpose()?.flatten();
    found.ok_or_else(|| {
        let what = number.map_or("certificate".to_owned(), |n| format!("certificate {n}"));
        SealingError::NotCertified { day, what }
    })
}

fn parsed(notary: &Notary, kept: &Kept) -> Result<Certificate, SealingError> {
    let id = kept.id;
    let text = notary.signed_text(&kept.note);
    let text = text.map_err(|source| SealingError::Unsigned { id, source })?;
    let certificate =
        Certificate::parse(&text).map_err(|source| SealingError::Text { id, source })?;
    if certificate.id != id {
        return Err(SealingError::Text { id, source: TextError::NotCanonical });
    }
    Ok(certificate)
}

/// Certifies a day that is over, from what is recorded; every event of the day
/// is read and every header checked. A day that is certified already keeps its
/// certificate, byte for byte.
///
/// # Errors
/// See [`SealingError`].
pub fn seal(
    archive: &Archive,
    day: TradingDay,
    again: bool,
    origin: Option<&str>,
    progress: &mut dyn FnMut(Head) -> ControlFlow<()>,
) -> Result<Sealed, SealingError> {
    let found = facts::facts(ground(archive), day, How::Recorded, progress)?;
    let (journal, log) = (archive.journal(), archive.journal().prover());
    proving::notary(journal, origin, |notary, data| {
        let newest = find(data, WantedCertificate { day, number: None });
        let newest = match newest {
            Ok(kept) => Some(kept),
            Err(SealingError::NotCertified { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(kept) = &newest {
            let differing = parsed(notary, kept)?.facts.differing(&found);
            let of_events = differing.iter().find(|d| is_of_events(&d.field)).cloned();
            match (of_events, differing.into_iter().next()) {
                (_, None) => return Ok(Sealed { kept: kept.clone(), made: false }),
                (Some(FieldDifference { field, certified, found }), _) => {
                    return Err(SealingError::OtherEvents { id: kept.id, field, certified, found });
                }
                (None, Some(FieldDifference { field, certified, found })) if !again => {
                    return Err(SealingError::Otherwise { id: kept.id, field, certified, found });
                }
                (None, Some(_)) => {}
            }
        }
        let number = newest.map_or(1, |kept| kept.id.number.saturating_add(1));
        let id = CertificateId { day, number };
        let log_name = notary.public().name().to_owned();
        let certificate = Certificate { log: log_name, id, facts: found, maker: maker(journal) };
        let note = notary.certify(&log, id, &certificate.text())?;
        Ok(Sealed { kept: Kept { id, note }, made: true })
    })
}

/// Finds everything that a certificate states anew and says what differs: by
/// folding the day again, or everything from the first event on.
///
/// # Errors
/// See [`SealingError`].
pub fn verify(
    archive: &Archive,
    wanted: WantedCertificate,
    from_scratch: bool,
    progress: &mut dyn FnMut(Head) -> ControlFlow<()>,
) -> Result<Verified, SealingError> {
    let (kept, certificate) = proving::notary(archive.journal(), None, |notary, data| {
        let kept = find(data, wanted)?;
        let certificate = parsed(notary, &kept)?;
        Ok::<_, SealingError>((kept, certificate))
    })?;
    let how = if from_scratch { How::FromScratch } else { How::Folded };
    let found = facts::facts(ground(archive), wanted.day, how, progress)?;
    let mut differences = certificate.facts.differing(&found);
    // Another maker is told where its output differs: it may be the cause.
    if !differences.is_empty() {
        let Maker { binary, libm, calendar } = maker(archive.journal());
        let pairs = [
            ("binary", certificate.maker.binary, binary),
            ("libm", certificate.maker.libm, libm),
            ("calendar", certificate.maker.calendar, calendar),
        ];
        differences.extend(pairs.into_iter().filter(|(_, was, is)| was != is).map(
            |(field, certified, found)| FieldDifference {
                field: field.to_owned(),
                certified,
                found,
            },
        ));
    }
    Ok(Verified { kept, differences })
}

/// Proves something under the newest checkpoint, and checks it.
///
/// # Errors
/// See [`SealingError`].
pub fn prove(
    archive: &Archive,
    wanted: &Wanted,
    origin: Option<&str>,
) -> Result<Proof, SealingError> {
    match wanted {
        Wanted::Part(_) | Wanted::Consistency(..) => {
            Ok(proving::prove(archive.journal(), wanted, origin)?)
        }
        Wanted::Day(wanted) => prove_day(archive.journal(), *wanted, origin),
        Wanted::Artifact(wanted) => prove_artifact(archive, wanted, origin),
    }
}

/// Proves how a day is certified; needs nothing but the journal.
///
/// # Errors
/// See [`SealingError`].
pub fn prove_day(
    journal: &Journal,
    wanted: WantedCertificate,
    origin: Option<&str>,
) -> Result<Proof, SealingError> {
    let log = journal.prover();
    let (day, key) = proving::notary(journal, origin, |notary, data| {
        let kept = find(data, wanted)?;
        let certificate = parsed(notary, &kept)?;
        Ok::<_, SealingError>((day_proof(notary, &log, &kept, &certificate)?, notary.public()))
    })?;
    Ok(proving::checked(&AnyBundle::Day(day), key)?)
}

/// A certificate, signed by the present key, with its way to the newest
/// checkpoint.
fn day_proof(
    notary: &mut Notary,
    log: &Prover<'_>,
    kept: &Kept,
    certificate: &Certificate,
) -> Result<DayProof, SealingError> {
    let (signed, checkpoint) = notary.checkpoint(log)?;
    let (size, root) = (certificate.facts.size(), certificate.facts.root);
    let certificate = notary.renew(log, &kept.note, size, root)?;
    let path = log.consistency(size, signed.size)?;
    Ok(DayProof { checkpoint, certificate, path })
}

fn prove_artifact(
    archive: &Archive,
    wanted: &WantedArtifact,
    origin: Option<&str>,
) -> Result<Proof, SealingError> {
    let WantedArtifact { symbol, family, version, header_only } = wanted;
    let header = archive.derived().header(symbol, family, *version)?;
    let header = header.ok_or_else(|| SealingError::NoArtifact {
        symbol: symbol.clone(),
        family: family.clone(),
        version: *version,
    })?;
    let body = match header_only {
        true => None,
        false => {
            let text = String::from_utf8(archive.body(&header)?.to_vec());
            Some(text.map_err(|_| SealingError::NoText {
                symbol: symbol.clone(),
                family: family.clone(),
                version: *version,
            })?)
        }
    };
    let Place { day, root, index, path } = place_of(archive, &header)?;
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let log = archive.journal().prover();
    let (proof, key) = proving::notary(archive.journal(), origin, |notary, data| {
        // The certificate that speaks of these artifacts; other definitions may
        // have got another one.
        for id in certificates::list(data)?.into_iter().rev().filter(|id| id.day == day) {
            let Some(kept) = read(data, id)? else { continue };
            let certificate = parsed(notary, &kept)?;
            if certificate.facts.artifact_root == root {
                let day = day_proof(notary, &log, &kept, &certificate)?;
                let proof = ArtifactProof { day, header: bytes, index, path, body };
                return Ok((proof, notary.public()));
            }
        }
        let what = "certificate over the artifacts as they are now".to_owned();
        Err(SealingError::NotCertified { day, what })
    })?;
    Ok(proving::checked(&AnyBundle::Artifact(proof), key)?)
}

/// Where an artifact stands.
struct Place {
    /// The day whose events brought it out.
    day: TradingDay,
    /// The root over all headers of that day.
    root: TreeHash,
    /// Its own place among them.
    index: u64,
    /// The path from it to the root.
    path: Vec<TreeHash>,
}

/// The place of an artifact: among those of the day of its moment, or, where
/// only a later event let its timer fire, of the next one.
fn place_of(archive: &Archive, header: &Header) -> Result<Place, SealingError> {
    let begin = archive.journal().day_of(header.created_at);
    let days = archive.journal().days()?;
    for day in days.iter().map(|d| d.day).filter(|day| *day >= begin).take(2) {
        let artifacts = facts::artifacts(ground(archive), day)?;
        let found = artifacts.inclusion(&header.symbol, &header.family, header.version);
        if let Some((index, path)) = found.map_err(ProveError::from)? {
            let root = artifacts.root().map_err(ProveError::from)?;
            return Ok(Place { day, root, index, path });
        }
    }
    // Its header is there, so an event of one of these days made it.
    Err(FactsError::Lineage {
        symbol: header.symbol.clone(),
        family: header.family.clone(),
        version: header.version,
    }
    .into())
}

/// Puts a new key in place of the one that signs.
///
/// # Errors
/// When nothing is signed with the present one.
pub fn rotate(journal: &Journal) -> Result<Rotated, ProvingError> {
    proving::notary(journal, None, |notary, _| {
        let handover = notary.rotate(&journal.prover())?;
        Ok(Rotated { handover, key: notary.public().to_string() })
    })
}

/// The first moment after a trading day, one moment of which is known.
#[must_use]
pub fn end_of(journal: &Journal, day: TradingDay, known: RecvTime) -> RecvTime {
    // A day has 25 hours at most, so two days after is surely beyond it.
    let (mut of_day, mut beyond) = (known.0, known.0.saturating_add(48 * 3_600 * NANOS_PER_SECOND));
    while beyond - of_day > 1 {
        let middle = of_day + (beyond - of_day) / 2;
        match journal.day_of(RecvTime(middle)) > day {
            true => beyond = middle,
            false => of_day = middle,
        }
    }
    RecvTime(beyond)
}

impl Certifying for Archive {
    fn seal(
        &self,
        day: TradingDay,
        again: bool,
        origin: Option<&str>,
        progress: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Sealed, BackendError> {
        Ok(seal(self, day, again, origin, &mut |_| progress())?)
    }

    fn certificates(&self) -> Result<Vec<Kept>, BackendError> {
        let data = self.journal().folder().ok_or(ProvingError::NoFolder)?;
        Ok(all(data)?)
    }

    fn certificate(&self, wanted: WantedCertificate) -> Result<Kept, BackendError> {
        let data = self.journal().folder().ok_or(ProvingError::NoFolder)?;
        Ok(find(data, wanted)?)
    }

    fn verify(
        &self,
        wanted: WantedCertificate,
        from_scratch: bool,
        progress: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Verified, BackendError> {
        Ok(verify(self, wanted, from_scratch, &mut |_| progress())?)
    }

    fn rotate(&self) -> Result<Rotated, BackendError> {
        Ok(rotate(self.journal())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_mathematics_is_the_one_that_is_built_in() {
        let lock = include_str!("../../Cargo.lock");
        let locked = lock.split("[[package]]").find(|part| part.contains("name = \"libm\""));
        let wanted = format!("version = \"{LIBM}\"");
        assert!(locked.is_some_and(|part| part.contains(&wanted)), "{locked:?}");
    }

    #[test]
    fn every_line_of_a_certificate_is_of_the_events_or_of_what_was_made_of_them() {
        for (field, of_events) in [
            ("events", true),
            ("log-root", true),
            ("count quote", true),
            ("refused bad_price", true),
            ("profile gex/naive-oi@1", false),
            ("closing", false),
            ("artifacts", false),
            ("configuration", false),
        ] {
            assert_eq!(is_of_events(field), of_events, "{field}");
        }
    }
}
