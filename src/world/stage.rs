//! One underlying's fold under the definitions in force, with those that run
//! beside it.
//!
//! What runs beside sees the same events, keeps its own time and cannot be felt
//! by what is in force: neither's bodies depend on whether the other is there.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_journal::event::Body;
use orrery_journal::units::{InstrumentId, RecvTime, Seq};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::checkpoint::state::Marks;
use orrery_replay::fold::{By, Fold, Input, Outbox, RestoreError, Standing};

use super::roster::{Act, Done, PREVIOUS, Roster, changed};
use crate::models::parameters::Parameters;
use crate::models::parameters::setting::Settings;
use crate::partition::{Makers, Partition};

/// First bytes of a saved stage; a partition alone begins with its version.
const MARK: u32 = u32::from_le_bytes(*b"STGE");
/// Layout of a saved stage.
const VERSION: u8 = 1;

/// A partition under one set of definitions.
struct Player {
    partition: Partition,
    /// What its artifacts say of it; `None`: the definitions of the world.
    by: Option<Arc<By>>,
}

impl Player {
    fn apply(&mut self, input: &Input<'_>, out: &mut Outbox) {
        self.sign(out, |partition, out| partition.apply(input, out));
    }

    fn fire(&mut self, due: RecvTime, out: &mut Outbox) {
        // A moment that another asked for is none of this one's.
        if self.partition.next_due().is_some_and(|own| own <= due) {
            self.sign(out, |partition, out| partition.fire(due, out));
        }
    }

    fn sign(&mut self, out: &mut Outbox, say: impl FnOnce(&mut Partition, &mut Outbox)) {
        let start = out.outputs.len();
        say(&mut self.partition, out);
        if self.by.is_some() {
            for output in out.outputs.iter_mut().skip(start) {
                output.by.clone_from(&self.by);
            }
        }
    }
}

/// The fold of one underlying under all definitions that run.
pub struct Stage {
    base: Arc<Parameters>,
    makers: Makers,
    roster: Roster,
    live: Player,
    shadows: BTreeMap<Box<str>, Player>,
}

impl Stage {
    /// A stage with what the journal begins with.
    #[must_use]
    pub fn new(symbol: &str, base: Arc<Parameters>, makers: Makers) -> Stage {
        let partition = Partition::with_makers(symbol, Arc::clone(&base), makers);
        let live = Player { partition, by: None };
        Stage { base, makers, roster: Roster::default(), live, shadows: BTreeMap::new() }
    }

    fn act(&mut self, act: &Act, at: Seq, out: &mut Outbox) {
        // What cannot be done was refused before it was journaled; where it was
        // not, it changes nothing.
        match self.roster.take(&self.base, act, at) {
            Ok(Done::Began(name)) => self.begin(&name, out),
            Ok(Done::Ended(name)) => drop(self.shadows.remove(&name)),
            Ok(Done::Promoted(name)) => self.promote(&name, out),
            Err(_) => {}
        }
    }

    fn begin(&mut self, name: &str, out: &mut Outbox) {
        let Some(parameters) = self.parameters_of(name) else { return };
        let differ = changed(self.live.partition.parameters(), &parameters);
        let by = self.by_of(name, &parameters);
        if let Some(partition) = self.live.partition.under(parameters, &differ) {
            let mut shadow = Player { partition, by };
            shadow.sign(out, Partition::say_all);
            self.shadows.insert(name.into(), shadow);
        }
    }

    /// What runs beside under this name comes into force; what was runs on.
    fn promote(&mut self, name: &str, out: &mut Outbox) {
        let Some(shadow) = self.shadows.remove(name) else { return };
        let mut before = std::mem::replace(&mut self.live, shadow);
        self.live.partition.succeed(&mut before.partition);
        let parameters = self.live.partition.parameters();
        let configuration = parameters.hash();
        self.live.by =
            (!self.roster.live.is_empty()).then(|| Arc::new(By { configuration, beside: None }));
        self.live.sign(out, Partition::say_all);
        before.by = self.by_of(PREVIOUS, before.partition.parameters());
        before.partition.begin_anew();
        before.sign(out, Partition::say_all);
        self.shadows.insert(PREVIOUS.into(), before);
    }

    fn by_of(&self, name: &str, parameters: &Parameters) -> Option<Arc<By>> {
        let beside = self.roster.shadows.get(name).map(|shadow| shadow.tag.clone());
        Some(Arc::new(By { configuration: parameters.hash(), beside }))
    }

    fn parameters_of(&self, name: &str) -> Option<Arc<Parameters>> {
        let settings = &self.roster.shadows.get(name)?.settings;
        self.base.with(settings).ok().map(Arc::new)
    }

    fn players(&mut self) -> impl Iterator<Item = &mut Player> {
        std::iter::once(&mut self.live).chain(self.shadows.values_mut())
    }
}

impl Fold for Stage {
    fn begin(&mut self, standing: &[Standing]) {
        // Nothing has happened here, so nobody has anything to say.
        let mut nothing = Outbox::default();
        for (at, fact) in standing {
            if let Some(act) = Act::read(fact) {
                self.act(&act, *at, &mut nothing);
            }
        }
    }

    fn apply(&mut self, input: &Input<'_>, out: &mut Outbox) {
        self.players().for_each(|player| player.apply(input, out));
        if matches!(input.event.body, Body::Control(_))
            && let Some(act) = input.blob.and_then(Act::read)
        {
            self.act(&act, input.seq, out);
        }
    }

    fn look_ahead(&self, instrument: InstrumentId) {
        let shadows = self.shadows.values();
        shadows.chain([&self.live]).for_each(|player| player.partition.look_ahead(instrument));
    }

    fn next_due(&self) -> Option<RecvTime> {
        let shadows = self.shadows.values().filter_map(|player| player.partition.next_due());
        shadows.chain(self.live.partition.next_due()).min()
    }

    fn fire(&mut self, due: RecvTime, out: &mut Outbox) {
        self.players().for_each(|player| player.fire(due, out));
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.save_in_parts(out, &mut Marks::default());
    }

    fn save_in_parts(&self, out: &mut Vec<u8>, marks: &mut Marks) {
        if self.roster == Roster::default() {
            return self.live.partition.save_in_parts(out, marks);
        }
        let mut encoder = Encoder::new(out);
        let e = &mut encoder;
        e.u32(MARK);
        e.u8(VERSION);
        save_settings(&self.roster.live, e);
        e.option(self.roster.since, Encoder::seq);
        e.nested(|out| self.live.partition.save_in_parts(out, marks));
        marks.part(e.position(), "beside");
        e.count(self.roster.shadows.len());
        for (name, shadow) in &self.roster.shadows {
            e.text(name);
            e.text(&shadow.tag);
            e.seq(shadow.since);
            save_settings(&shadow.settings, e);
            let player = self.shadows.get(name);
            marks.within(name, |marks| {
                e.option(player, |e, player| {
                    e.nested(|out| player.partition.save_in_parts(out, marks));
                });
            });
        }
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let symbol = self.live.partition.symbol().to_owned();
        let mut stage = Stage::new(&symbol, Arc::clone(&self.base), self.makers);
        let mut decoder = Decoder::new(bytes);
        let d = &mut decoder;
        if d.u32()? != MARK {
            stage.live.partition.restore(bytes)?;
            *self = stage;
            return Ok(());
        }
        d.version(VERSION)?;
        stage.roster.live = load_settings(d)?;
        stage.roster.since = d.option(Decoder::seq)?;
        let player = |settings: &Settings, bytes: &[u8], beside: Option<Box<str>>| {
            let parameters = stage.base.with(settings);
            let parameters = parameters.map_err(|e| RestoreError(e.to_string()))?;
            let configuration = parameters.hash();
            let by = (beside.is_some() || !settings.is_empty())
                .then(|| Arc::new(By { configuration, beside }));
            let mut partition = Partition::with_makers(&symbol, Arc::new(parameters), stage.makers);
            partition.restore(bytes)?;
            Ok::<Player, RestoreError>(Player { partition, by })
        };
        let live = player(&stage.roster.live, d.bytes()?, None)?;
        let mut shadows = BTreeMap::new();
        let mut records = BTreeMap::new();
        for _ in 0..d.count()? {
            let name: Box<str> = d.text()?.into();
            let tag: Box<str> = d.text()?.into();
            let since = d.seq()?;
            let settings = load_settings(d)?;
            if let Some(bytes) = d.option(Decoder::bytes)? {
                shadows.insert(name.clone(), player(&settings, bytes, Some(tag.clone()))?);
            }
            records.insert(name, super::roster::Shadow { settings, since, tag });
        }
        d.end()?;
        stage.live = live;
        stage.shadows = shadows;
        stage.roster.shadows = records;
        *self = stage;
        Ok(())
    }

    /// The partition in force: what runs beside is nobody's business.
    fn as_any(&self) -> &dyn Any {
        &self.live.partition
    }
}

fn save_settings(settings: &Settings, e: &mut Encoder<'_>) {
    e.count(settings.len());
    for (path, value) in settings {
        e.text(path);
        e.text(&value.to_string());
    }
}

fn load_settings(d: &mut Decoder<'_>) -> Result<Settings, RestoreError> {
    let mut settings = Settings::new();
    for _ in 0..d.count()? {
        let path = d.text()?.to_owned();
        let value = serde_json::from_str(d.text()?)
            .map_err(|e| RestoreError(format!("the setting of {path}: {e}")))?;
        settings.insert(path, value);
    }
    Ok(settings)
}
