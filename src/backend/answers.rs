//! The archive as the backend of gRPC: translates words, decides nothing.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use orrery_journal::ReadError;
use orrery_journal::units::{Seq, TradingDay};
use orrery_replay::artifact::Header;
use orrery_replay::as_of::{self, AsOfError, At};
use orrery_replay::compare::{self, CompareError};
use orrery_replay::derived::{DerivedError, FamilyName};
use orrery_replay::engine::Engine;
use orrery_replay::fold::EpochId;

use super::Archive;
use crate::clock::Stopwatch;
use crate::control::{
    AsOf, Backend, BackendError, CorrectedRead, Epochs, Explained, LevelShare, Plane,
    ReplayDifference, ReplayOrder, ReplayProgress, ReplaySummary, Which,
};
use crate::market::epoch::Moment;
use crate::models::gex::explain::{Level, Share, explain};
use crate::models::gex::profile::Chosen;
use crate::partition::Partition;

impl Archive {
    pub(super) fn moment(&self, as_of: AsOf) -> At {
        match as_of {
            AsOf::Head => At::Seq(self.journal.head().seq),
            AsOf::Seq(seq) => At::Seq(seq),
            AsOf::Time(time) => At::Time(time),
        }
    }

    /// The moment, unless it lies before the first event.
    pub(super) fn inside(&self, as_of: AsOf) -> Result<At, BackendError> {
        let at = self.moment(as_of);
        if let AsOf::Time(_) = as_of {
            let found = as_of::resolve(self.journal(), at).map_err(|e| self.error(e, as_of))?;
            if found.seq == Seq::BEFORE_FIRST {
                return Err(out_of_range(self, as_of));
            }
        }
        Ok(at)
    }

    /// Asks one symbol's partition at a moment.
    fn ask<T>(
        &self,
        symbol: &str,
        as_of: AsOf,
        ask: impl FnOnce(Moment, &Partition) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let at = self.moment(as_of);
        let answer = self.at(at, |moment, engine| {
            if moment.seq == Seq::BEFORE_FIRST {
                return Err(out_of_range(self, as_of));
            }
            let partition = partition(engine, symbol)?;
            ask(Moment { seq: moment.seq, at: moment.time }, partition)
        });
        answer.map_err(|e| self.error(e, as_of))?
    }

    pub(super) fn error(&self, error: AsOfError, as_of: AsOf) -> BackendError {
        match error {
            AsOfError::Beyond { .. } => out_of_range(self, as_of),
            error => damage(error),
        }
    }
}

fn partition<'a>(engine: &'a Engine, symbol: &str) -> Result<&'a Partition, BackendError> {
    engine
        .fold_as::<Partition>(symbol)
        .ok_or_else(|| BackendError::Unknown { what: "symbol", name: symbol.to_owned() })
}

fn out_of_range(archive: &Archive, as_of: AsOf) -> BackendError {
    let asked = match as_of {
        AsOf::Head => "the head".to_owned(),
        AsOf::Seq(seq) => format!("event {seq}"),
        AsOf::Time(time) => time.to_rfc3339(),
    };
    let head = archive.journal.head();
    let has = match head.seq {
        Seq::BEFORE_FIRST => "no event".to_owned(),
        last => format!("events 1 to {last}, until {}", head.recv),
    };
    BackendError::OutOfRange { asked, has }
}

pub(super) fn damage(error: AsOfError) -> BackendError {
    match error {
        AsOfError::Read(e) => read(e),
        AsOfError::Derived(e) => derived(e),
        error @ AsOfError::Rebuilt { .. } => BackendError::Damaged(error.to_string()),
        error => BackendError::Internal(Box::new(error)),
    }
}

pub(super) fn read(error: ReadError) -> BackendError {
    match error {
        ReadError::Store(e) => BackendError::Internal(Box::new(e)),
        dropped @ ReadError::Dropped { .. } => BackendError::Precondition(dropped.to_string()),
        error => BackendError::Damaged(error.to_string()),
    }
}

pub(super) fn derived(error: DerivedError) -> BackendError {
    match error {
        DerivedError::Damaged { .. } => BackendError::Damaged(error.to_string()),
        error => BackendError::Internal(Box::new(error)),
    }
}

impl Backend for Archive {
    fn epochs(&self, symbol: &str, as_of: AsOf) -> Result<Epochs, BackendError> {
        self.ask(symbol, as_of, |moment, partition| {
            let epochs = partition.epochs().to_vec();
            Ok(Epochs { moment, epochs })
        })
    }

    fn plane(
        &self,
        symbol: &str,
        epoch: Option<EpochId>,
        as_of: AsOf,
    ) -> Result<Plane, BackendError> {
        self.ask(symbol, as_of, |moment, partition| {
            let book = match epoch {
                None => partition.active_book().ok_or_else(|| {
                    BackendError::Precondition(format!(
                        "{symbol} has no active epoch at event {}",
                        moment.seq
                    ))
                })?,
                Some(id) => [partition.active_book(), partition.warming_book()]
                    .into_iter()
                    .flatten()
                    .find(|b| b.topology.id == id)
                    .ok_or_else(|| match partition.epochs().iter().any(|r| r.id == id) {
                        true => BackendError::Precondition(format!(
                            "epoch {id} is retired at event {}; ask as of a moment in its life",
                            moment.seq
                        )),
                        false => BackendError::Unknown { what: "epoch", name: id.to_string() },
                    })?,
            };
            let day = self.journal.day_of(moment.at);
            Ok(Plane { moment, day, book: book.clone(), spot: partition.spot() })
        })
    }

    fn explain(
        &self,
        symbol: &str,
        level: &str,
        profile: Option<&str>,
        as_of: AsOf,
    ) -> Result<Explained, BackendError> {
        let unknown = |what, name: &str| BackendError::Unknown { what, name: name.to_owned() };
        let named = Level::named(level).ok_or_else(|| unknown("level", level))?;
        let chosen =
            profile.map(|name| Chosen::named(name).map_err(|_| unknown("gex profile", name)));
        let chosen = chosen.transpose()?;
        self.ask(symbol, as_of, |moment, partition| {
            let gex = &partition.parameters().gex;
            let found = explain(&partition.market(), gex, chosen.unwrap_or(gex.profile), named);
            let found = found.ok_or_else(|| {
                BackendError::Precondition(format!("{symbol} has no chain at event {}", moment.seq))
            })?;
            let share = |share: Share| LevelShare {
                ticker: share.ticker,
                expiry: share.expiry,
                strike: share.strike,
                value: share.value,
                share: share.share,
            };
            Ok(Explained {
                moment,
                profile: found.profile.to_owned(),
                level: found.level,
                value: found.value,
                contracts: found.contracts.into_iter().map(share).collect(),
            })
        })
    }

    fn families(&self) -> Result<Vec<FamilyName>, BackendError> {
        self.derived.families().map_err(derived)
    }

    fn header(
        &self,
        symbol: &str,
        family: &str,
        which: Which,
    ) -> Result<Option<Header>, BackendError> {
        match which {
            Which::Latest => self.derived.latest(symbol, family).map_err(derived),
            Which::Version(version) => {
                self.derived.header(symbol, family, version).map_err(derived)
            }
            Which::AsOf(as_of) => {
                let at = self.inside(as_of)?;
                self.latest_at(symbol, family, at).map_err(|e| self.error(e, as_of))
            }
        }
    }

    fn corrected(
        &self,
        symbol: &str,
        family: &str,
        as_of: AsOf,
    ) -> Result<Option<CorrectedRead>, BackendError> {
        let at = self.inside(as_of)?;
        self.corrected_at(symbol, family, at).map_err(|e| self.error(e, as_of))
    }

    fn headers(
        &self,
        symbol: &str,
        family: &str,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Header>, BackendError> {
        self.derived.headers(symbol, family, from_version, limit).map_err(derived)
    }

    fn body(&self, header: &Header) -> Result<Bytes, BackendError> {
        Archive::body(self, header).map_err(damage)
    }

    fn check_day(&self, day: TradingDay) -> Result<(), BackendError> {
        compare::day_span(&self.journal, day).map(|_| ()).map_err(not_compared)
    }

    fn replay(
        &self,
        order: ReplayOrder,
        progress: &mut dyn FnMut(ReplayProgress),
        cancel: &AtomicBool,
    ) -> Result<ReplaySummary, BackendError> {
        let span = compare::day_span(&self.journal, order.day).map_err(not_compared)?;
        let watch = Stopwatch::start();
        let mut now = ReplayProgress {
            events_total: span.last.0 - span.first.0 + 1,
            ..ReplayProgress::default()
        };
        let found = Archive::replay(self, span, order.threads, &mut |reached, made| {
            now.events = reached.seq.0.saturating_sub(span.first.0 - 1);
            now.artifacts += made.len() as u64;
            progress(now);
            match cancel.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
        .map_err(not_compared)?;
        let difference = found.first_difference().map(|d| ReplayDifference {
            symbol: d.symbol.clone(),
            family: d.family.clone(),
            version: d.version,
            seq: d.seq,
            field: d.field.to_string(),
            recorded: d.recorded.clone(),
            replayed: d.replayed.clone(),
        });
        Ok(ReplaySummary {
            progress: now,
            elapsed: Duration::from_secs_f64(watch.seconds().max(0.0)),
            cancelled: !found.complete && difference.is_none(),
            difference,
        })
    }
}

pub(super) fn not_compared(error: CompareError) -> BackendError {
    match error {
        CompareError::NoSuchDay { day, .. } => {
            BackendError::Unknown { what: "day", name: day.to_string() }
        }
        CompareError::Read(e) => read(e),
        CompareError::Derived(e) => derived(e),
        error => BackendError::Internal(Box::new(error)),
    }
}
