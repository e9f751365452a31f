//! `ProfileService`: which definitions are in force, which run beside them, and
//! which come into force.

use std::collections::BTreeMap;

use orrery_journal::units::{Seq, TradingDay};
use orrery_proto::v1;
use orrery_proto::v1::profile_service_server::ProfileService;
use tonic::{Request, Response, Status};

use super::calls::{Calls, deadline};
use super::status::invalid;
use super::{AsOf, BackendError, convert};
use crate::market::epoch::Moment;

/// Profiles and settings of one request, at most.
const CHANGES_MAX: usize = 64;

/// A set of definitions.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Definitions {
    /// The profiles that are chosen.
    pub profiles: Vec<String>,
    /// Parameters that differ from those that the journal began with: JSON by
    /// path.
    pub settings: BTreeMap<String, String>,
    /// Since which event; `None`: from the first one on.
    pub since: Option<Seq>,
}

/// Definitions that run beside those in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    /// Its name.
    pub name: String,
    /// What its families end with.
    pub tag: String,
    /// What it goes by.
    pub definitions: Definitions,
}

/// What is in force at a moment, and what runs beside it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// The moment.
    pub moment: Moment,
    /// What is in force.
    pub in_force: Definitions,
    /// What runs beside it, by name.
    pub shadows: Vec<Shadow>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A shadow begins.
    Add {
        /// Its name.
        name: String,
        /// Profiles to choose.
        profiles: Vec<String>,
        /// Parameters to set, `NAME=VALUE`.
        settings: Vec<String>,
    },
    /// A shadow ends.
    Remove(String),
    /// A shadow comes into force.
    Promote(String),
    /// What was in force before comes back.
    Rollback,
}

/// How far a level lay apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Apart {
    /// Its place in the body.
    pub path: String,
    /// Instants at which it did.
    pub times: u64,
    /// The largest absolute change.
    pub largest: Option<f64>,
    /// The mean absolute change over all instants of the family.
    pub mean: Option<f64>,
}

/// How much a shadow disagrees about a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Disagreement {
    /// Symbol.
    pub symbol: String,
    /// Family.
    pub family: String,
    /// Versions made in force.
    pub in_force: u64,
    /// Versions that the shadow made.
    pub shadow: u64,
    /// Instants at which either made one.
    pub instants: u64,
    /// Instants at which the two showed different bodies.
    pub differing: u64,
    /// Named levels that lay apart.
    pub levels: Vec<Apart>,
}

impl Disagreement {
    /// Share of the instants at which they differ.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.differing as f64 / self.instants.max(1) as f64
    }
}

/// A shadow beside what was in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// Its tag.
    pub tag: String,
    /// By symbol and family.
    pub families: Vec<Disagreement>,
}

/// What a backend knows and does about profiles.
pub trait Profiles {
    /// What is in force at a moment, and beside it.
    ///
    /// # Errors
    /// A moment outside of the journal, damage.
    fn standing(&self, as_of: AsOf) -> Result<Standing, BackendError>;

    /// Journals an order and says at which event.
    ///
    /// # Errors
    /// When it cannot be done ([`BackendError::Precondition`]), or the journal
    /// takes nothing.
    fn order(&self, order: &Order) -> Result<Seq, BackendError>;

    /// How much shadows disagreed on a day; all of them for an empty name.
    ///
    /// # Errors
    /// An unknown day or shadow, damage.
    fn report(&self, day: TradingDay, name: &str) -> Result<Vec<Reported>, BackendError>;
}

/// The service.
pub struct ProfileCalls {
    calls: Calls,
}

impl ProfileCalls {
    pub(super) const fn new(calls: Calls) -> ProfileCalls {
        ProfileCalls { calls }
    }

    async fn order<T>(&self, request: &Request<T>, order: Order) -> Result<u64, Status> {
        let seq = self.calls.ask(deadline(request), move |backend| backend.order(&order));
        Ok(seq.await?.0)
    }
}

fn name(text: &str) -> Result<String, Status> {
    convert::name("name", text).map(str::to_owned)
}

#[tonic::async_trait]
impl ProfileService for ProfileCalls {
    async fn list_profiles(
        &self,
        request: Request<v1::ListProfilesRequest>,
    ) -> Result<Response<v1::ListProfilesResponse>, Status> {
        let deadline = deadline(&request);
        let as_of = convert::as_of(request.into_inner().as_of)?;
        let said = self.calls.ask(deadline, move |backend| backend.standing(as_of)).await?;
        let shadow = |s: Shadow| v1::Shadow {
            name: s.name,
            tag: s.tag,
            definitions: Some(definitions(s.definitions)),
        };
        Ok(Response::new(v1::ListProfilesResponse {
            moment: Some(convert::moment(said.moment)),
            in_force: Some(definitions(said.in_force)),
            shadows: said.shadows.into_iter().map(shadow).collect(),
        }))
    }

    async fn add_shadow(
        &self,
        request: Request<v1::AddShadowRequest>,
    ) -> Result<Response<v1::AddShadowResponse>, Status> {
        let asked = request.get_ref();
        for (field, list) in [("profiles", &asked.profiles), ("settings", &asked.settings)] {
            if list.len() > CHANGES_MAX {
                return Err(invalid(field, "names more than 64"));
            }
        }
        let order = Order::Add {
            name: name(&asked.name)?,
            profiles: asked.profiles.clone(),
            settings: asked.settings.clone(),
        };
        let seq = self.order(&request, order).await?;
        Ok(Response::new(v1::AddShadowResponse { seq }))
    }

    async fn remove_shadow(
        &self,
        request: Request<v1::RemoveShadowRequest>,
    ) -> Result<Response<v1::RemoveShadowResponse>, Status> {
        let order = Order::Remove(name(&request.get_ref().name)?);
        let seq = self.order(&request, order).await?;
        Ok(Response::new(v1::RemoveShadowResponse { seq }))
    }

    async fn promote_shadow(
        &self,
        request: Request<v1::PromoteShadowRequest>,
    ) -> Result<Response<v1::PromoteShadowResponse>, Status> {
        let order = Order::Promote(name(&request.get_ref().name)?);
        let seq = self.order(&request, order).await?;
        Ok(Response::new(v1::PromoteShadowResponse { seq }))
    }

    async fn rollback_profiles(
        &self,
        request: Request<v1::RollbackProfilesRequest>,
    ) -> Result<Response<v1::RollbackProfilesResponse>, Status> {
        let seq = self.order(&request, Order::Rollback).await?;
        Ok(Response::new(v1::RollbackProfilesResponse { seq }))
    }

    async fn report_shadows(
        &self,
        request: Request<v1::ReportShadowsRequest>,
    ) -> Result<Response<v1::ReportShadowsResponse>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let day = convert::trading_day("day", asked.day)?;
        let found = self.calls.ask(deadline, move |backend| backend.report(day, &asked.name));
        let shadows = found.await?.into_iter().map(reported).collect();
        Ok(Response::new(v1::ReportShadowsResponse { shadows }))
    }
}

fn definitions(d: Definitions) -> v1::Definitions {
    v1::Definitions {
        profiles: d.profiles,
        settings: d.settings.into_iter().collect(),
        since_seq: d.since.map(|seq| seq.0),
    }
}

fn reported(report: Reported) -> v1::ShadowReport {
    let level = |a: Apart| v1::LevelDisagreement {
        path: a.path,
        times: a.times,
        largest: a.largest,
        mean: a.mean,
    };
    let family = |d: Disagreement| v1::FamilyDisagreement {
        symbol: d.symbol,
        family: d.family,
        in_force_versions: d.in_force,
        shadow_versions: d.shadow,
        instants: d.instants,
        differing: d.differing,
        levels: d.levels.into_iter().map(level).collect(),
    };
    v1::ShadowReport {
        tag: report.tag,
        families: report.families.into_iter().map(family).collect(),
    }
}
