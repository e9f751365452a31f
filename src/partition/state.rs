//! The whole state of a partition as canonical bytes, and back.
//!
//! What follows from the rest (slots of instruments, counts of quotes, bounds of
//! the day, what a book says of its session's trades) is not saved but found again.

use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::units::{Address, RecvTime};
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::checkpoint::state::Marks;
use orrery_replay::fold::RestoreError;

use super::chain::LastChain;
use super::damage::{Baseline, Doubt};
use super::living::{Living, Timed, timed};
use super::{Counters, Partition};
use crate::market::epoch::{
    Active, Epoch, History, Warming, restore_record, restore_topology, save_record, save_topology,
};
use crate::market::live_book::LiveBook;
use crate::market::tape::Tape;
use crate::models::Scope;
use crate::views::{Bodies, Published};

const VERSION: u32 = 5;

/// `marks` is told where a model, an epoch or something else begins that changes
/// apart from the rest.
pub(super) fn save(partition: &Partition, out: &mut Vec<u8>, marks: &mut Marks) {
    let mut encoder = Encoder::new(out);
    let e = &mut encoder;
    marks.part(e.position(), "moment");
    e.u32(VERSION);
    e.address(partition.parameters.hash());
    e.text(&partition.here.symbol);
    partition.here.save(e);
    marks.part(e.position(), "instruments");
    partition.instruments.save(e);
    marks.part(e.position(), "history");
    partition.history.save(e);
    partition.counters.save(e);
    marks.part(e.position(), "tape");
    partition.tape.save(e);
    marks.part(e.position(), "timers");
    e.option(partition.baseline, |e, b| b.save(e));
    e.option(partition.doubt, |e, doubt| doubt.save(e));
    e.option(partition.silence_due, Encoder::recv);
    e.option(partition.status_due, Encoder::recv);
    marks.within("active", |marks| {
        e.option(partition.active.as_ref(), |e, active| save_living(e, active, marks));
    });
    marks.within("warming", |marks| {
        e.option(partition.warming.as_ref(), |e, warming| {
            save_living(e, warming, marks);
            e.recv(warming.epoch.state.deadline);
        });
    });
    save_models(&partition.models, e, marks);
    marks.part(e.position(), "bodies");
    let held = partition.bodies.held();
    e.count(held.len());
    for (family, published) in held {
        marks.part(e.position(), &format!("body of {family}"));
        e.text(family);
        e.bool(published.current);
        e.text(&published.profile);
        e.u64(published.version);
        e.option(published.epoch, Encoder::address);
        e.recv(published.at);
        e.bytes(&published.body);
    }
    marks.part(e.position(), "views");
    e.count(partition.views.len());
    for timed in &partition.views {
        e.text(timed.view.family());
        e.text(timed.view.profile());
        e.option(timed.due, Encoder::recv);
    }
}

/// A partition like `like` with the saved state.
pub(super) fn restore(like: &Partition, bytes: &[u8]) -> Result<Partition, RestoreError> {
    let mut decoder = Decoder::new(bytes);
    let d = &mut decoder;
    let mut fresh = restore_market(like, d, Some(like.parameters.hash()), &mut restore_models)?;
    fresh.bodies = restore_bodies(&fresh, d)?;
    restore_views(&mut fresh, d)?;
    d.end()?;
    Ok(fresh)
}

/// A partition like `like` in the market of a saved one of other parameters. Its
/// models are told of by `restore`; bodies and views begin anew.
pub(super) fn transplant(
    like: &Partition,
    bytes: &[u8],
    restore: &mut RestoreModels<'_>,
) -> Result<Partition, RestoreError> {
    restore_market(like, &mut Decoder::new(bytes), None, restore)
}

/// Gives one model its saved state.
pub(super) type RestoreOne<'a> = dyn Fn(&mut Timed, &[u8]) -> Result<(), RestoreError> + 'a;

/// Gives models their saved states; the last argument gives one its own.
pub(super) type RestoreModels<'a> =
    dyn FnMut(&mut [Timed], &mut Decoder<'_>, &RestoreOne<'_>) -> Result<(), RestoreError> + 'a;

/// Everything up to the models, which are the last that a partition needs to go
/// on. `configuration` is the hash that the saved one must have.
fn restore_market(
    like: &Partition,
    d: &mut Decoder<'_>,
    configuration: Option<Address>,
    restore_models: &mut RestoreModels<'_>,
) -> Result<Partition, RestoreError> {
    let version = d.u32()?;
    if version != VERSION {
        return Err(RestoreError(format!("partition state version {version}, not {VERSION}")));
    }
    let saved = d.address()?;
    if configuration.is_some_and(|ours| ours != saved) {
        return Err(RestoreError("it was saved under other parameters".to_owned()));
    }
    let symbol = d.text()?;
    if symbol != like.symbol() {
        return Err(RestoreError(format!("it belongs to {symbol}, not {}", like.symbol())));
    }
    let mut fresh =
        Partition::with_makers(like.symbol(), Arc::clone(&like.parameters), like.makers);
    fresh.here = like.here.restore(d)?;
    fresh.instruments = like.instruments.restore(d)?;
    fresh.history = History::restore(d)?;
    fresh.counters = Counters::restore(d)?;
    fresh.tape = Tape::restore(like.parameters.tape, d)?;
    fresh.baseline = d.option(Baseline::restore)?;
    fresh.doubt = d.option(Doubt::restore)?;
    fresh.silence_due = d.option(Decoder::recv)?;
    fresh.status_due = d.option(Decoder::recv)?;
    fresh.active = d.option(|d| restore_living(&fresh, d, restore_models, |_| Ok(Active)))?;
    fresh.warming = d.option(|d| {
        restore_living(&fresh, d, restore_models, |d| Ok(Warming { deadline: d.recv()? }))
    })?;
    fresh.assign_slots();
    fresh.write_inventories();
    let book = fresh.active.as_ref().map(|a| a.epoch.live.book());
    restore_models(&mut fresh.models, d, &|model, bytes| {
        model.model.restore(bytes, &fresh.here.market(book))
    })?;
    Ok(fresh)
}

fn save_living<S>(e: &mut Encoder<'_>, living: &Living<S>, marks: &mut Marks) {
    marks.part(e.position(), "epoch");
    save_record(&living.epoch.record, e);
    marks.part(e.position(), "topology");
    save_topology(&living.epoch.live.book().topology, e);
    marks.part(e.position(), "book");
    living.epoch.live.save(e);
    e.option(living.chain, |e, chain| chain.save(e));
    save_models(&living.models, e, marks);
}

fn restore_living<S>(
    partition: &Partition,
    d: &mut Decoder<'_>,
    restore_models: &mut RestoreModels<'_>,
    state: impl FnOnce(&mut Decoder<'_>) -> Result<S, RestoreError>,
) -> Result<Living<S>, RestoreError> {
    let record = restore_record(d)?;
    let topology = Arc::new(restore_topology(d)?);
    let live = LiveBook::restore(topology, d)?;
    let chain = d.option(LastChain::restore)?;
    let made = (partition.makers.epoch)(partition.symbol(), &partition.parameters);
    let mut models = timed(made, Scope::Epoch);
    restore_models(&mut models, d, &|model, bytes| {
        model.model.restore(bytes, &partition.here.market(Some(live.book())))
    })?;
    Ok(Living { epoch: Epoch { record, live, state: state(d)? }, models, chain })
}

fn save_models(models: &[Timed], e: &mut Encoder<'_>, marks: &mut Marks) {
    marks.part(e.position(), "models");
    e.count(models.len());
    for timed in models {
        marks.part(e.position(), timed.model.family());
        e.text(timed.model.family());
        e.text(timed.model.profile());
        e.option(timed.due, Encoder::recv);
        e.nested(|out| timed.model.save(out));
    }
}

fn restore_models(
    models: &mut [Timed],
    d: &mut Decoder<'_>,
    restore: &RestoreOne<'_>,
) -> Result<(), RestoreError> {
    let count = d.count()?;
    if count != models.len() {
        return Err(RestoreError(format!("{count} models where {} belong", models.len())));
    }
    for timed in models {
        let (family, profile) = (d.text()?, d.text()?);
        if (family, profile) != (timed.model.family(), timed.model.profile()) {
            return Err(RestoreError(format!("{profile} where {} belongs", timed.model.profile())));
        }
        let due: Option<RecvTime> = d.option(Decoder::recv)?;
        restore(timed, d.bytes()?).map_err(|e| RestoreError(format!("{family}: {}", e.0)))?;
        timed.due = due;
    }
    Ok(())
}

fn restore_bodies(partition: &Partition, d: &mut Decoder<'_>) -> Result<Bodies, RestoreError> {
    let mut bodies = Bodies::default();
    for _ in 0..d.count()? {
        let family = d.text()?;
        let known =
            partition.views.iter().flat_map(|v| v.view.inputs()).find(|f| **f == family).copied();
        let known = known.ok_or_else(|| RestoreError(format!("no view reads {family}")))?;
        let published = Published {
            current: d.bool()?,
            profile: d.text()?.into(),
            version: d.u64()?,
            epoch: d.option(Decoder::address)?,
            at: d.recv()?,
            body: Bytes::copy_from_slice(d.bytes()?),
        };
        bodies.put_back(known, published);
    }
    Ok(bodies)
}

fn restore_views(partition: &mut Partition, d: &mut Decoder<'_>) -> Result<(), RestoreError> {
    let (count, ours) = (d.count()?, partition.views.len());
    if count != ours {
        return Err(RestoreError(format!("{count} views where {ours} belong")));
    }
    for timed in &mut partition.views {
        let (family, profile) = (d.text()?, d.text()?);
        if (family, profile) != (timed.view.family(), timed.view.profile()) {
            return Err(RestoreError(format!("{profile} where {} belongs", timed.view.profile())));
        }
        timed.due = d.option(Decoder::recv)?;
    }
    Ok(())
}
