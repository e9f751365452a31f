//! Which definitions are in force, which run beside them, and how much they
//! disagree.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use orrery_journal::AppendError;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{Address, RecvTime, Seq, TradingDay};
use orrery_replay::artifact::BESIDE;
use orrery_replay::as_of::{self, AsOfError, At};
use orrery_replay::compare::{self, CompareError, Span};
use orrery_replay::derived::FamilyName;
use orrery_replay::driver::fold_range;
use orrery_replay::engine::Made;
use orrery_replay::fold;
use orrery_replay::tally::{FamilyTally, Tally};

use super::{Archive, answers};
use crate::clock;
use crate::control::profiles::{
    Apart, Definitions, Disagreement, Order, Profiles, Reported, Shadow, Standing,
};
use crate::control::{AsOf, BackendError};
use crate::market::epoch::Moment;
use crate::models::parameters::Parameters;
use crate::models::parameters::setting::{SettingError, Settings};
use crate::world::MarketWorld;
use crate::world::roster::{Act, Roster};

/// Places in bodies of named levels that a report tells, by family.
const LEVELS: [(&str, &str); 7] = [
    ("gex", "/levels/flip/nearest"),
    ("gex", "/levels/call_wall"),
    ("gex", "/levels/put_wall"),
    ("gex", "/levels/peak"),
    ("gex", "/levels/absolute_gamma"),
    ("gex", "/levels/net"),
    ("context", "/gamma_flip"),
];

impl Archive {
    /// Definitions in force, and beside them, at a moment.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn roster(&self, at: At) -> Result<Roster, AsOfError> {
        self.at(at, |_, engine| self.market.roster(engine.standing()))
    }

    /// Parameters in force at a moment.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub fn in_force(&self, at: At) -> Result<Parameters, AsOfError> {
        let roster = self.roster(at)?;
        let base = self.market.parameters();
        // They were usable when they came into force.
        Ok(base.with(&roster.live).unwrap_or_else(|_| base.clone()))
    }

    /// Journals an order at a time; now when nothing is said.
    ///
    /// # Errors
    /// When it cannot be done, the time lies before the last event, or the
    /// journal takes nothing.
    pub fn order_at(&self, order: &Order, at: Option<RecvTime>) -> Result<Seq, BackendError> {
        let head = self.journal().head();
        let recv = at.unwrap_or_else(|| clock::now().max(head.recv));
        if recv < head.recv {
            let told =
                format!("the last event is of {}: nothing comes into force before it", head.recv);
            return Err(BackendError::Precondition(told));
        }
        let refuse = |told: String| BackendError::Precondition(told);
        let act = self.act(order)?;
        // The same judgement as in the fold, before anything is written.
        let mut roster = self.roster(At::Seq(head.seq)).map_err(answers::damage)?;
        let base = self.market.parameters();
        roster.take(base, &act, head.seq.next()).map_err(|e| refuse(e.to_string()))?;
        let append = || {
            let writer = self.writer()?;
            let source = writer.define_source(r#"{"feed":"profiles"}"#)?;
            let draft = Draft {
                // A feed may have gone on meanwhile; whoever names no time takes its place.
                recv: at,
                vendor_time: None,
                instrument: InstrumentRef::None,
                source,
                extension: None,
                body: DraftBody::Control(act.fact().into()),
            };
            Ok::<Seq, AppendError>(writer.append(vec![draft])?.wait()?.last)
        };
        append().map_err(|e| BackendError::Unavailable(e.to_string()))
    }

    fn act(&self, order: &Order) -> Result<Act, BackendError> {
        Ok(match order {
            Order::Add { name, profiles, settings } => {
                let head = At::Seq(self.journal().head().seq);
                let from = self.in_force(head).map_err(answers::damage)?;
                let profiles = profiles.iter().map(|name| from.profile_setting(name));
                let settings = profiles.chain(settings.iter().map(|text| from.setting(text)));
                let settings: Result<Settings, SettingError> = settings.collect();
                let settings = settings.map_err(|e| BackendError::Precondition(e.to_string()))?;
                Act::Shadow { name: name.as_str().into(), settings }
            }
            Order::Remove(name) => Act::Drop { name: name.as_str().into() },
            Order::Promote(name) => Act::Promote { name: name.as_str().into() },
            Order::Rollback => Act::Rollback,
        })
    }

    fn definitions(&self, settings: &Settings, since: Option<Seq>) -> Definitions {
        let parameters = self.market.parameters().with(settings);
        Definitions {
            profiles: parameters.map(|p| p.chosen_profiles()).unwrap_or_default(),
            settings: settings.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
            since,
        }
    }

    /// What shadows said in a range beside what was in force, by their tags: the
    /// left side is what was in force. The range is folded again; nothing is
    /// written.
    ///
    /// # Errors
    /// See [`CompareError`].
    pub fn disagreement(&self, span: Span) -> Result<BTreeMap<Box<str>, Tally>, CompareError> {
        let Span { first, last } = span;
        let (journal, derived) = (self.journal(), self.derived());
        let before = At::Seq(Seq(first.0.saturating_sub(1)));
        let opened = as_of::as_of(journal, derived, &self.world(), before);
        let unanswered = |error| match error {
            AsOfError::Derived(e) => CompareError::Derived(e),
            AsOfError::Read(e) => CompareError::Read(e),
            AsOfError::Fold(e) => CompareError::Fold(e),
            AsOfError::Engine(e) => CompareError::Fold(e.into()),
            AsOfError::Beyond { head, .. } => CompareError::Range { first, last, head },
            // No body is rebuilt here.
            AsOfError::Rebuilt { .. } => CompareError::Range { first, last, head: last },
        };
        let mut engine = opened.map_err(unanswered)?;
        let ends = self.at(At::Seq(last), |_, engine| ends(&self.market, engine.standing()));
        let mut told = Told { ends: ends.map_err(unanswered)?, ..Told::default() };
        for (symbol, family, line) in engine.lines() {
            told.showed(symbol, family, (line.version, line.content));
        }
        fold_range(journal, &mut engine, last, self.threads(), &mut |folded| {
            told.take(folded.made);
            ControlFlow::Continue(())
        })?;
        Ok(told.shadows)
    }
}

impl Profiles for Archive {
    fn standing(&self, as_of: AsOf) -> Result<Standing, BackendError> {
        let at = self.inside(as_of)?;
        let resolved = as_of::resolve(self.journal(), at).map_err(|e| self.error(e, as_of))?;
        let Roster { live, since, shadows } = self.roster(at).map_err(|e| self.error(e, as_of))?;
        Ok(Standing {
            moment: Moment { seq: resolved.seq, at: resolved.time },
            in_force: self.definitions(&live, since),
            shadows: shadows
                .iter()
                .map(|(name, s)| Shadow {
                    name: name.to_string(),
                    tag: s.tag.to_string(),
                    definitions: self.definitions(&s.settings, Some(s.since)),
                })
                .collect(),
        })
    }

    fn order(&self, order: &Order) -> Result<Seq, BackendError> {
        self.order_at(order, None)
    }

    fn report(&self, day: TradingDay, name: &str) -> Result<Vec<Reported>, BackendError> {
        let span = compare::day_span(self.journal(), day).map_err(answers::not_compared)?;
        let mut shadows = self.disagreement(span).map_err(answers::not_compared)?;
        if !name.is_empty() {
            shadows.retain(|tag, _| tag.rsplit_once('.').is_some_and(|(of, _)| of == name));
            if shadows.is_empty() {
                let name = format!("{name} on {day}");
                return Err(BackendError::Unknown { what: "shadow", name });
            }
        }
        Ok(shadows.iter().map(|(tag, tally)| reported(tag, tally)).collect())
    }
}

fn reported(tag: &str, tally: &Tally) -> Reported {
    let family = |((symbol, name), f): (&FamilyName, &FamilyTally)| {
        let level = |(of, path): &(&str, &str)| {
            let cell = f.cells.get(*path).filter(|_| **name == **of)?;
            let (times, largest) = (cell.times, cell.largest);
            Some(Apart { path: (*path).to_owned(), times, largest, mean: f.mean(path) })
        };
        Disagreement {
            symbol: symbol.to_string(),
            family: name.to_string(),
            in_force: f.left_versions,
            shadow: f.right_versions,
            instants: f.instants,
            differing: f.differing,
            levels: LEVELS.iter().filter_map(level).collect(),
        }
    };
    Reported { tag: tag.to_owned(), families: tally.families().iter().map(family).collect() }
}

/// The event of a tag: `calm.1200`.
fn began(tag: &str) -> Option<Seq> {
    let (_, at) = tag.rsplit_once('.')?;
    at.parse().ok().map(Seq)
}

/// The events at which shadows ended, by tag.
fn ends(world: &MarketWorld, standing: &[fold::Standing]) -> BTreeMap<Box<str>, Seq> {
    let tags = |facts: &[fold::Standing]| -> BTreeSet<Box<str>> {
        world.roster(facts).shadows.into_values().map(|shadow| shadow.tag).collect()
    };
    let mut ends = BTreeMap::new();
    let mut before: BTreeSet<Box<str>> = BTreeSet::new();
    for (index, (at, _)) in standing.iter().enumerate() {
        let after = tags(standing.get(..=index).unwrap_or_default());
        for tag in before.difference(&after) {
            ends.insert(tag.clone(), *at);
        }
        before = after;
    }
    ends
}

/// What is in force, and each shadow beside it.
#[derive(Default)]
struct Told {
    /// Where shadows ended, by tag.
    ends: BTreeMap<Box<str>, Seq>,
    newest: BTreeMap<FamilyName, (u64, Address)>,
    shadows: BTreeMap<Box<str>, Tally>,
}

impl Told {
    fn showed(&mut self, symbol: &str, family: &str, line: (u64, Address)) {
        match family.split_once(BESIDE) {
            None => {
                self.newest.insert((symbol.into(), family.into()), line);
                for tally in self.shadows.values_mut() {
                    tally.showed(0, (symbol.into(), family.into()), line);
                }
            }
            Some((family, tag)) => {
                self.shadow(tag).showed(1, (symbol.into(), family.into()), line);
            }
        }
    }

    /// The tally of a shadow; a new one knows what is in force.
    fn shadow(&mut self, tag: &str) -> &mut Tally {
        let newest = &self.newest;
        self.shadows.entry(tag.into()).or_insert_with(|| {
            let mut tally = Tally::default();
            newest.iter().for_each(|(name, line)| tally.showed(0, name.clone(), *line));
            tally
        })
    }

    fn take(&mut self, made: Vec<Made>) {
        let mut live = Vec::new();
        let mut beside: BTreeMap<Box<str>, Vec<Made>> = BTreeMap::new();
        for mut made in made {
            let header = &mut made.artifact.header;
            match header.family.split_once(BESIDE) {
                None => live.push(made),
                Some((family, tag)) => {
                    let (family, tag): (Box<str>, Box<str>) = (family.into(), tag.into());
                    if began(&tag) == Some(made.at) {
                        // It said everything because it began; nobody else was asked.
                        let name = (header.symbol.clone(), family);
                        let line = (header.version, header.content);
                        self.shadow(&tag).showed(1, name, line);
                        continue;
                    }
                    header.family = family;
                    beside.entry(tag).or_default().push(made);
                }
            }
        }
        for tag in beside.keys() {
            self.shadow(tag);
        }
        for (tag, tally) in &mut self.shadows {
            // Nobody disagrees before it began, nor where it has ended.
            let (began, end) = (began(tag), self.ends.get(tag));
            let ran = |made: &[Made]| {
                let from = made.partition_point(|m| Some(m.at) <= began);
                let to = end.map_or(made.len(), |end| made.partition_point(|m| m.at < *end));
                from..to.max(from)
            };
            let beside = beside.get(tag).map_or(&[][..], |made| made);
            let (left, right) = (live.get(ran(&live)), beside.get(ran(beside)));
            tally.take(left.unwrap_or_default(), right.unwrap_or_default());
        }
        for made in live {
            let header = made.artifact.header;
            self.newest.insert((header.symbol, header.family), (header.version, header.content));
        }
    }
}
