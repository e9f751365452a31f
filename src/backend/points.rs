//! What stands at a point, which contracts are behind it, and what it was made
//! of.

use std::sync::Arc;

use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::as_of::{self, AsOfError, At};
use orrery_replay::fold::World;
use orrery_replay::what_if;

use super::{Archive, answers};
use crate::control::point::{CellPart, Point, Points, Said, When};
use crate::control::{AsOf, BackendError};
use crate::market::epoch::Moment;
use crate::models;
use crate::models::parameters::setting::Settings;
use crate::partition::Partition;
use crate::world::MarketWorld;

impl Archive {
    /// The header that a point names, as recorded.
    fn recorded(&self, point: &Point) -> Result<Header, BackendError> {
        let Point { symbol, family, .. } = point;
        let found = match point.when {
            When::Version(version) => {
                self.derived().header(symbol, family, version).map_err(answers::derived)?
            }
            When::At(as_of) => {
                let at = self.inside(as_of)?;
                self.latest_at(symbol, family, at).map_err(|e| self.error(e, as_of))?
            }
            When::Close(_) => {
                let at = self.at_of(point)?;
                self.latest_at(symbol, family, at).map_err(answers::damage)?
            }
        };
        found.ok_or_else(|| BackendError::Unknown { what: "artifact", name: point.to_string() })
    }

    /// The moment of a point that is no version.
    fn at_of(&self, point: &Point) -> Result<At, BackendError> {
        match point.when {
            When::Version(_) => self.recorded(point).map(|header| At::Seq(header.seq_last)),
            When::At(as_of) => self.inside(as_of),
            When::Close(day) => {
                let days = self.journal().days().map_err(answers::read)?;
                let found = days.iter().find(|d| d.day == day);
                let name = day.to_string();
                let found = found.ok_or(BackendError::Unknown { what: "day", name })?;
                Ok(At::Seq(found.last))
            }
        }
    }

    /// What another profile would have said at the moment of a point.
    fn supposed(&self, point: &Point, profile: &str) -> Result<Artifact, BackendError> {
        let refuse = |e: &dyn std::fmt::Display| BackendError::Precondition(e.to_string());
        let from = &self.in_force(At::Seq(self.journal().head().seq)).map_err(answers::damage)?;
        let setting = from.profile_setting(profile).map_err(|e| refuse(&e))?;
        let parameters = from.with(&Settings::from([setting])).map_err(|e| refuse(&e))?;
        let world = MarketWorld::new(parameters).map_err(|e| refuse(&e))?;
        let world: Arc<dyn World> = Arc::new(world.unsteered());
        let moment = match point.when {
            // The moment at which it was made, timers included.
            When::Version(_) => {
                let header = self.recorded(point)?;
                as_of::Moment { seq: header.seq_last, time: header.created_at }
            }
            _ => as_of::resolve(self.journal(), self.at_of(point)?).map_err(|e| {
                let asked = match point.when {
                    When::At(as_of) => as_of,
                    _ => AsOf::Head,
                };
                self.error(e, asked)
            })?,
        };
        let found = what_if::said(self.journal(), &world, moment, &point.symbol, &point.family);
        let found = found.map_err(|e| match e {
            AsOfError::Read(e) => answers::read(e),
            error => answers::damage(error),
        })?;
        found.ok_or_else(|| BackendError::Unknown { what: "artifact", name: point.to_string() })
    }
}

impl Points for Archive {
    fn header_at(&self, point: &Point) -> Result<Header, BackendError> {
        self.recorded(point)
    }

    fn said(&self, point: &Point) -> Result<Said, BackendError> {
        let (header, body) = match &point.profile {
            Some(profile) => {
                let Artifact { header, body } = self.supposed(point, profile)?;
                (header, body)
            }
            None => {
                let header = self.recorded(point)?;
                let body = Archive::body(self, &header).map_err(answers::damage)?;
                (header, body)
            }
        };
        let moment = Moment { seq: header.seq_last, at: header.created_at };
        Ok(Said { header, body, moment })
    }

    fn behind(&self, said: &Said, paths: &[&str]) -> Result<Vec<Vec<CellPart>>, BackendError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let Header { symbol, profile, .. } = &said.header;
        let part = |p: models::Part| CellPart {
            ticker: p.ticker,
            expiry: p.expiry,
            strike: p.strike,
            value: p.value,
        };
        let found = self.at(At::Seq(said.moment.seq), |_, engine| {
            let partition = engine.fold_as::<Partition>(symbol);
            let cell = |path: &&str| {
                let partition = partition?;
                let (market, parameters) = (partition.market(), partition.parameters());
                let parts = models::behind(profile, path, &market, parameters)?;
                Some(parts.into_iter().map(part).collect())
            };
            paths.iter().map(|path| cell(path).unwrap_or_default()).collect()
        });
        found.map_err(answers::damage)
    }

    fn inputs(&self, header: &Header) -> Result<Vec<Header>, BackendError> {
        let families = self.at(At::Seq(header.seq_last), |_, engine| {
            let partition = engine.fold_as::<Partition>(&header.symbol);
            partition.map(|p| p.inputs_of(&header.family)).unwrap_or_default()
        });
        let mut inputs = Vec::new();
        for family in families.map_err(answers::damage)? {
            // What it could read: made no later, of events no later.
            let (seq, time) = (header.seq_last, header.created_at);
            let derived = self.derived();
            let found =
                derived.newest_by(&header.symbol, family, seq, time).map_err(answers::derived)?;
            inputs.extend(found);
        }
        Ok(inputs)
    }
}
