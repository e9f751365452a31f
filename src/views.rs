//! Views: pure functions of published bodies. A view owns no state, reads no
//! market and no clock; it only joins what models have already said.

pub mod bias_lfi;
pub mod context;
pub mod levels;
pub mod market_mode;
pub mod net_gamma;
pub mod read;
pub mod readings;
pub mod selector;
pub mod vix_regime;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};
use orrery_replay::fold::EpochId;

use self::readings::{Reading, Readings};
use crate::models::Figures;
use crate::models::parameters::Parameters;

/// Newest bodies of one partition's active epoch, by family, with what names
/// the version that each of them is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bodies(BTreeMap<&'static str, Held>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    published: Published,
    readings: Readings,
}

/// A body, and which version of its family it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The body; of an epoch that has retired when it is not current.
    pub body: Bytes,
    /// Whether it belongs to what is published now.
    pub current: bool,
    /// Named definitions that made it.
    pub profile: Box<str>,
    /// Number that the artifact's header carries.
    pub version: u64,
    /// The epoch that it was put out under.
    pub epoch: Option<EpochId>,
    /// When it was made.
    pub at: RecvTime,
}

impl Bodies {
    /// The newest body of a family.
    #[must_use]
    pub fn get(&self, family: &str) -> Option<&Bytes> {
        self.published(family).map(|p| &p.body)
    }

    /// The same with its profile and version.
    #[must_use]
    pub fn published(&self, family: &str) -> Option<&Published> {
        self.0.get(family).map(|held| &held.published).filter(|p| p.current)
    }

    /// What this type reads in the newest body of a family.
    #[must_use]
    pub fn read<T: Reading>(&self, family: &str) -> Option<Arc<T>> {
        let held = self.0.get(family).filter(|held| held.published.current)?;
        held.readings.of(&held.published.body)
    }

    /// Takes a body; whether it is a new version of its family. The rule is that
    /// of the ledger that numbers artifacts: other bytes, another epoch or
    /// another profile.
    pub fn enter(
        &mut self,
        family: &'static str,
        profile: &str,
        epoch: Option<EpochId>,
        body: &Bytes,
        at: RecvTime,
    ) -> bool {
        if let Some(Held { published: held, readings }) = self.0.get_mut(family) {
            let same = held.body == *body && held.epoch == epoch && *held.profile == *profile;
            let told = same && held.current;
            held.current = true;
            if !same {
                held.version = held.version.saturating_add(1);
                (held.body, held.profile) = (body.clone(), profile.into());
                (held.epoch, held.at) = (epoch, at);
                *readings = Readings::default();
            }
            return !told;
        }
        let (body, profile) = (body.clone(), profile.into());
        self.put_back(family, Published { body, current: true, profile, version: 1, epoch, at });
        true
    }

    /// When the newest of these families' bodies was made: the moment of a view
    /// that reads them.
    #[must_use]
    pub fn moment(&self, families: &[&str]) -> Option<RecvTime> {
        families.iter().filter_map(|family| Some(self.published(family)?.at)).max()
    }

    /// Takes what its model says that is to be read in the newest body of a family.
    pub fn hand(&mut self, family: &str, figures: Figures) {
        if let Some(held) = self.0.get(family) {
            held.readings.hand(figures);
        }
    }

    /// The epoch of a family has retired: nobody may read its body any more.
    pub fn withdraw(&mut self, family: &str) {
        if let Some(held) = self.0.get_mut(family) {
            held.published.current = false;
        }
    }

    /// The same for all of them.
    pub fn withdraw_all(&mut self) {
        self.0.values_mut().for_each(|held| held.published.current = false);
    }

    /// Everything that is held, for saving.
    pub fn held(&self) -> impl ExactSizeIterator<Item = (&'static str, &Published)> {
        self.0.iter().map(|(family, held)| (*family, &held.published))
    }

    /// Puts back what was saved.
    pub fn put_back(&mut self, family: &'static str, published: Published) {
        self.0.insert(family, Held { published, readings: Readings::default() });
    }
}

/// A pure function of bodies.
pub trait View: Send {
    /// Family of its artifacts.
    fn family(&self) -> &'static str;
    /// Named, versioned definitions, such as `context/nearest-node@1`.
    fn profile(&self) -> &'static str;
    /// Families that it reads; it is derived again when one of them changes.
    fn inputs(&self) -> &[&'static str];
    /// Shortest time between two bodies, ns; they come out at multiples of it.
    /// 0: with each change of an input.
    fn cadence_ns(&self) -> i64 {
        0
    }
    /// The canonical body, or `None` when what it needs is not there.
    fn derive(&self, symbol: &str, bodies: &Bodies) -> Option<Vec<u8>>;
}

const SECOND_NS: i64 = NANOS_PER_SECOND;
const FIVE_SECONDS_NS: i64 = 5 * NANOS_PER_SECOND;

/// Every view, in the order in which they are derived.
#[must_use]
pub fn all(parameters: &Parameters) -> Vec<Box<dyn View>> {
    let mut all: Vec<Box<dyn View>> = vec![
        Box::new(context::Context),
        Box::new(levels::Levels::new(&parameters.gex)),
        Box::new(bias_lfi::BiasLfi),
        Box::new(market_mode::MarketMode),
        Box::new(vix_regime::VixRegime),
    ];
    let selectors = selector::Selector::all(&parameters.views);
    all.extend(selectors.map(|view| Box::new(view) as Box<dyn View>));
    all
}
