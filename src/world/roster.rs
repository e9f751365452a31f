//! Which definitions are in force and which run beside them: a pure function of
//! the journaled facts about profiles.
//!
//! A shadow is a whole set of parameters under a name. It may change what models
//! and views make of the market, never the market itself. A promotion puts it in
//! force at exactly one event, for all models of all partitions at once; what was
//! in force runs on beside it as `previous`, so that a rollback is a promotion,
//! too.

use std::collections::{BTreeMap, BTreeSet};

use orrery_journal::units::Seq;
use serde::{Deserialize, Serialize};

use crate::models::parameters::Parameters;
use crate::models::parameters::setting::{SettingError, Settings};

/// What was in force before the last promotion.
pub const PREVIOUS: &str = "previous";
/// Shadows at the same time, `previous` included. Each costs as much as the fold
/// itself.
pub const SHADOWS_MAX: usize = 4;
/// Longest name, in bytes.
const NAME_MAX: usize = 24;

/// Parameters that make the market that all definitions see.
const OF_THE_MARKET: [&str; 8] = [
    "calendar",
    "calendar_version",
    "trading_calendar",
    "epochs",
    "topology",
    "proxies",
    "volatility_indices",
    "tape",
];

/// What a fact about profiles does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Act {
    /// A shadow begins.
    Shadow {
        /// Its name.
        name: Box<str>,
        /// What it changes of the parameters in force, by path.
        settings: Settings,
    },
    /// A shadow ends.
    Drop {
        /// Its name.
        name: Box<str>,
    },
    /// A shadow comes into force.
    Promote {
        /// Its name.
        name: Box<str>,
    },
    /// What was in force before the last promotion comes back.
    Rollback,
}

/// The fact as it is journaled: `{"control":"profiles","do":"promote","name":"calm"}`.
#[derive(Serialize, Deserialize)]
struct Fact {
    control: String,
    #[serde(flatten)]
    act: Act,
}

const CONTROL: &str = "profiles";

impl Act {
    /// The act of a control fact; `None` where it is about something else.
    #[must_use]
    pub fn read(fact: &[u8]) -> Option<Act> {
        let fact: Fact = serde_json::from_slice(fact).ok()?;
        (fact.control == CONTROL).then_some(fact.act)
    }

    /// The control fact of the act.
    #[must_use]
    pub fn fact(&self) -> Vec<u8> {
        let fact = Fact { control: CONTROL.to_owned(), act: self.clone() };
        // Texts and JSON values always serialise.
        serde_json::to_vec(&fact).unwrap_or_default()
    }
}

/// Why an act is refused; as a fact in the journal it changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No shadow has that name.
    #[error("there is no shadow {name}; there {}", shadows(.known))]
    NoShadow {
        /// As given.
        name: Box<str>,
        /// Those that there are.
        known: Vec<Box<str>>,
    },
    /// Another shadow has it.
    #[error("{name} is a shadow already; `orrery profiles shadow remove {name}` ends it")]
    Taken {
        /// As given.
        name: Box<str>,
    },
    /// It cannot be a name.
    #[error(
        "{name:?} cannot be a shadow's name: up to {NAME_MAX} of a to z, 0 to 9 and -, and not {PREVIOUS}"
    )]
    Name {
        /// As given.
        name: Box<str>,
    },
    /// There are enough.
    #[error("there are {SHADOWS_MAX} shadows already, with room for {PREVIOUS}; remove one")]
    TooMany,
    /// It changes nothing.
    #[error("a shadow needs a profile or a setting that differs from what is in force")]
    Same,
    /// It changes what all definitions see.
    #[error(
        "{name} makes the market that all definitions see, or says what runs beside; a shadow cannot change it"
    )]
    Market {
        /// The parameter.
        name: String,
    },
    /// Its parameters cannot be used.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// Nothing was promoted.
    #[error("nothing was promoted, so there is nothing to go back to")]
    NothingBefore,
}

fn shadows(known: &[Box<str>]) -> String {
    match known {
        [] => "is none; `orrery profiles shadow add` begins one".to_owned(),
        known => format!("are {}", known.join(", ")),
    }
}

/// A set of definitions that runs beside those in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    /// What differs from the parameters that the journal began with.
    pub settings: Settings,
    /// The event since which it runs.
    pub since: Seq,
    /// What tells its families from those in force: `calm.1200`.
    pub tag: Box<str>,
}

/// Definitions in force, and beside them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roster {
    /// What differs from the parameters that the journal began with.
    pub live: Settings,
    /// Since which event; `None`: from the first one on.
    pub since: Option<Seq>,
    /// Shadows by name.
    pub shadows: BTreeMap<Box<str>, Shadow>,
}

/// What an act came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// A shadow of this name began.
    Began(Box<str>),
    /// The shadow of this name ended.
    Ended(Box<str>),
    /// The shadow of this name came into force.
    Promoted(Box<str>),
}

impl Roster {
    /// Takes an act that was journaled at an event.
    ///
    /// # Errors
    /// When it cannot be done; nothing has changed then.
    pub fn take(&mut self, base: &Parameters, act: &Act, at: Seq) -> Result<Done, Refusal> {
        match act {
            Act::Shadow { name, settings } => self.begin(base, name, settings, at),
            Act::Drop { name } => match self.shadows.remove(name) {
                Some(_) => Ok(Done::Ended(name.clone())),
                None => Err(self.no_shadow(name)),
            },
            Act::Promote { name } => self.promote(name, at),
            Act::Rollback if self.shadows.contains_key(PREVIOUS) => self.promote(PREVIOUS, at),
            Act::Rollback => Err(Refusal::NothingBefore),
        }
    }

    fn begin(
        &mut self,
        base: &Parameters,
        name: &str,
        settings: &Settings,
        at: Seq,
    ) -> Result<Done, Refusal> {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > NAME_MAX || name == PREVIOUS || !name.chars().all(fine) {
            return Err(Refusal::Name { name: name.into() });
        }
        if self.shadows.contains_key(name) {
            return Err(Refusal::Taken { name: name.into() });
        }
        // One place is kept, so that a promotion is never refused.
        let others = self.shadows.keys().filter(|name| ***name != *PREVIOUS).count();
        if others + 1 >= SHADOWS_MAX {
            return Err(Refusal::TooMany);
        }
        for name in settings.keys() {
            let mut words = name.split('.');
            let of_the_market = words.next().is_some_and(|first| OF_THE_MARKET.contains(&first));
            if of_the_market || words.next_back().is_some_and(|last| last.ends_with("beside")) {
                return Err(Refusal::Market { name: name.clone() });
            }
        }
        let live = base.with(&self.live)?;
        let settings = base.settings_to(&live.with(settings)?);
        if settings == self.live {
            return Err(Refusal::Same);
        }
        self.shadows.insert(name.into(), Shadow { settings, since: at, tag: tag(name, at) });
        Ok(Done::Began(name.into()))
    }

    fn promote(&mut self, name: &str, at: Seq) -> Result<Done, Refusal> {
        let Some(shadow) = self.shadows.remove(name) else { return Err(self.no_shadow(name)) };
        let settings = std::mem::replace(&mut self.live, shadow.settings);
        self.since = Some(at);
        let previous = Shadow { settings, since: at, tag: tag(PREVIOUS, at) };
        self.shadows.insert(PREVIOUS.into(), previous);
        Ok(Done::Promoted(name.into()))
    }

    fn no_shadow(&self, name: &str) -> Refusal {
        Refusal::NoShadow { name: name.into(), known: self.shadows.keys().cloned().collect() }
    }
}

fn tag(name: &str, at: Seq) -> Box<str> {
    format!("{name}.{at}").into()
}

/// Kinds of profiles whose parameters differ between two sets: `gex` where
/// `gex.flip.step` does.
#[must_use]
pub fn changed(from: &Parameters, to: &Parameters) -> BTreeSet<String> {
    let (there, back) = (from.settings_to(to), to.settings_to(from));
    let paths = there.into_keys().chain(back.into_keys());
    paths.map(|path| path.split('.').next().unwrap_or(&path).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shadow(name: &str, settings: &[(&str, serde_json::Value)]) -> Act {
        let settings = settings.iter().map(|(path, value)| ((*path).to_owned(), value.clone()));
        Act::Shadow { name: name.into(), settings: settings.collect() }
    }

    #[test]
    fn acts_come_back_from_their_facts_and_other_facts_are_none() {
        let acts = [
            shadow("calm", &[("gex.profile", json!("gex/inverse-oi@1"))]),
            Act::Drop { name: "calm".into() },
            Act::Promote { name: "calm".into() },
            Act::Rollback,
        ];
        for act in acts {
            assert_eq!(Act::read(&act.fact()), Some(act));
        }
        for other in ["", "{}", r#"{"control":"input_refused"}"#, r#"{"control":"profiles"}"#] {
            assert_eq!(Act::read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_promotion_swaps_and_a_rollback_swaps_back() {
        let base = Parameters::default();
        let mut roster = Roster::default();
        let inverse = [("gex.profile", json!("gex/inverse-oi@1"))];
        let mut take = |act: &Act, at| {
            roster.take(&base, act, Seq(at)).expect("possible");
            roster.clone()
        };
        let begun = take(&shadow("calm", &inverse), 10);
        assert_eq!((&*begun.shadows["calm"].tag, begun.since), ("calm.10", None));
        let promoted = take(&Act::Promote { name: "calm".into() }, 20);
        assert_eq!(promoted.live["gex.profile"], "gex/inverse-oi@1");
        assert_eq!(promoted.since, Some(Seq(20)));
        assert_eq!(promoted.shadows[PREVIOUS].settings, Settings::new(), "as it began");
        assert_eq!(&*promoted.shadows[PREVIOUS].tag, "previous.20");
        let back = take(&Act::Rollback, 30);
        assert_eq!((back.live, back.since), (Settings::new(), Some(Seq(30))));
        assert_eq!(back.shadows[PREVIOUS].settings, promoted.live);
    }

    #[test]
    fn what_cannot_be_done_says_why_and_changes_nothing() {
        let base = Parameters::default();
        let mut roster = Roster::default();
        let step = |n: f64| [("gex.flip.step", json!(n))];
        roster.take(&base, &shadow("a", &step(0.01)), Seq(1)).expect("possible");
        let before = roster.clone();
        let mut refused = |act: &Act| roster.take(&base, act, Seq(9)).expect_err("no").to_string();
        for (act, why) in [
            (shadow("a", &step(0.02)), "is a shadow already"),
            (shadow("previous", &step(0.02)), "not previous"),
            (shadow("A b", &step(0.02)), "a to z"),
            (shadow("b", &[]), "differs from what is in force"),
            (shadow("b", &[("epochs.damage_patience", json!(9))]), "all definitions see"),
            (shadow("b", &[("gex.beside", json!([]))]), "runs beside"),
            (shadow("b", &[("gex.flipp", json!(1))]), "did you mean"),
            (Act::Promote { name: "b".into() }, "there are a"),
            (Act::Drop { name: "b".into() }, "no shadow b"),
            (Act::Rollback, "nothing was promoted"),
        ] {
            let told = refused(&act);
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(roster, before);
        roster.take(&base, &shadow("b", &step(0.02)), Seq(2)).expect("a second");
        roster.take(&base, &shadow("c", &step(0.03)), Seq(3)).expect("a third");
        let told = roster.take(&base, &shadow("d", &step(0.04)), Seq(4)).expect_err("full");
        assert!(matches!(told, Refusal::TooMany), "a place is kept");
    }
}
