//! What must hold of any registry: each rule folds a stream in two ways and
//! says where the artifacts differ.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use orrery::market::book::Market;
use orrery::models::parameters::Parameters;
use orrery::models::{Change, Model, Scope};
use orrery::partition::Makers;
use orrery::views::View;
use orrery::world::MarketWorld;
use orrery_journal::units::{Address, Seq};
use orrery_replay::artifact::Header;
use orrery_replay::engine::{Engine, Made};
use orrery_replay::fold::{RestoreError, World};

use super::stream::{self, Taped, go_on};
use super::{Registry, parameters, without_memory};

/// A rule, asked of a stream and of a place in it.
pub type Rule = fn(&[Taped], usize) -> Result<(), String>;

fn makers<R: Registry>() -> Makers {
    Makers { epoch: R::epoch, partition: R::partition, views: |_| R::views() }
}

fn world<R: Registry>(parameters: Parameters) -> Arc<dyn World> {
    let world = MarketWorld::new(parameters).expect("usable");
    Arc::new(world.with_makers(makers::<R>()))
}

/// Everything that a registry makes of a stream, and the state at its end.
pub fn fold<R: Registry>(stream: &[Taped]) -> (Vec<Made>, Vec<u8>) {
    stream::fold(world::<R>(parameters()), stream).expect("a stream")
}

fn without_memory_of<R: Registry>(stream: &[Taped]) -> Vec<Made> {
    stream::fold(world::<R>(without_memory()), stream).expect("a stream").0
}

/// Families of all models and views, in the order in which they are asked.
pub fn families_of<R: Registry>(parameters: &Parameters) -> Vec<&'static str> {
    let own = R::partition("SPX", parameters);
    let epoch = R::epoch("SPX", parameters);
    own.iter().chain(&epoch).map(|m| m.family()).collect()
}

pub use families_of as families;

/// The first difference, told so that it can be understood.
fn same(one: &[Made], other: &[Made]) -> Result<(), String> {
    for (a, b) in one.iter().zip(other) {
        if a != b {
            let (x, y) = (&a.artifact, &b.artifact);
            let place = if x.body == y.body { 0 } else { first_difference(&x.body, &y.body) };
            return Err(format!(
                "{} {} v{} at {} against {} {} v{} at {}:\n{}\n{}",
                x.header.symbol,
                x.header.family,
                x.header.version,
                a.at,
                y.header.symbol,
                y.header.family,
                y.header.version,
                b.at,
                around(&x.body, place),
                around(&y.body, place),
            ));
        }
    }
    if one.len() == other.len() {
        Ok(())
    } else {
        Err(format!("{} against {}", one.len(), other.len()))
    }
}

fn first_difference(a: &Bytes, b: &Bytes) -> usize {
    a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()))
}

fn around(body: &Bytes, place: usize) -> String {
    let part = &body[place.saturating_sub(120).min(body.len())..(place + 80).min(body.len())];
    String::from_utf8_lossy(part).into_owned()
}

/// The artifacts of a family, apart from the others'.
fn of<'a>(made: &'a [Made], family: &str) -> Vec<&'a Made> {
    made.iter().filter(|m| *m.artifact.header.family == *family).collect()
}

/// Each version of each family names the one before it, and a range of events
/// that begins where that one's ended and never runs backwards.
pub fn lineage<R: Registry>(stream: &[Taped], _: usize) -> Result<(), String> {
    let (made, _) = fold::<R>(stream);
    chained(made.iter().map(|m| &m.artifact.header)).map(drop)
}

/// The same of any headers; how many of them only time has brought out.
pub fn chained<'a>(headers: impl Iterator<Item = &'a Header>) -> Result<usize, String> {
    let mut last: BTreeMap<(&str, &str), &Header> = BTreeMap::new();
    let mut of_time = 0;
    for new in headers {
        let old = last.insert((&new.symbol, &new.family), new);
        let (version, previous, after) = old
            .map_or((1, Address::default(), Seq::BEFORE_FIRST), |old| {
                (old.version + 1, old.hash(), old.seq_last)
            });
        let first = if new.seq_last > after { after.next() } else { new.seq_last };
        of_time += usize::from(new.seq_last == after);
        let ordered = new.seq_last >= after && old.is_none_or(|o| o.created_at <= new.created_at);
        if !ordered || (new.version, new.previous, new.seq_first) != (version, previous, first) {
            return Err(format!("{new:?}\nafter\n{old:?}"));
        }
    }
    Ok(of_time)
}

/// Two folds of one process: hash maps have another order in each.
pub fn folded_twice<R: Registry>(stream: &[Taped], _: usize) -> Result<(), String> {
    let ((one, state), (other, again)) = (fold::<R>(stream), fold::<R>(stream));
    same(&one, &other)?;
    if state == again { Ok(()) } else { Err("other states".to_owned()) }
}

/// An engine that folds event by event in turn with another one, which is
/// behind it by a part of the stream.
pub fn side_by_side<R: Registry>(stream: &[Taped], at: usize) -> Result<(), String> {
    let (alone, _) = fold::<R>(stream);
    let world = world::<R>(parameters());
    let mut engines = [Engine::new(Arc::clone(&world)), Engine::new(world)];
    let mut made = [Vec::new(), Vec::new()];
    let behind = at % stream.len();
    for end in 1..=stream.len() + behind {
        go_on(&mut engines[0], stream, end.min(stream.len()), &mut made[0])?;
        go_on(&mut engines[1], stream, end.saturating_sub(behind), &mut made[1])?;
    }
    same(&alone, &made[0])?;
    same(&alone, &made[1])
}

/// Saved and restored at a place, the engine goes on as if nothing had been.
pub fn checkpoint<R: Registry>(stream: &[Taped], at: usize) -> Result<(), String> {
    let (whole, state) = fold::<R>(stream);
    let world = world::<R>(parameters());
    let (mut engine, mut made) = (Engine::new(Arc::clone(&world)), Vec::new());
    go_on(&mut engine, stream, at % stream.len(), &mut made)?;
    let saved = engine.save();
    let mut engine = Engine::restore(world, &saved).map_err(|e| e.to_string())?;
    if engine.save() != saved {
        return Err("saved, restored and saved again is something else".to_owned());
    }
    go_on(&mut engine, stream, stream.len(), &mut made)?;
    same(&whole, &made)?;
    if engine.save() == state { Ok(()) } else { Err("another state at the end".to_owned()) }
}

/// As of a place, folded from a checkpoint before it after everything behind it
/// has happened: the same as when nothing had happened yet.
pub fn as_of<R: Registry>(stream: &[Taped], at: usize) -> Result<(), String> {
    let cut = at % stream.len();
    let world = world::<R>(parameters());
    let (mut alone, mut known) = (Engine::new(Arc::clone(&world)), Vec::new());
    go_on(&mut alone, stream, cut, &mut known)?;
    let (mut engine, mut recorded) = (Engine::new(Arc::clone(&world)), Vec::new());
    go_on(&mut engine, stream, cut / 2, &mut recorded)?;
    let (saved, begun) = (engine.save(), recorded.len());
    go_on(&mut engine, stream, stream.len(), &mut recorded)?;
    let mut engine = Engine::restore(world, &saved).map_err(|e| e.to_string())?;
    let mut found = recorded.iter().take(begun).cloned().collect();
    go_on(&mut engine, stream, cut, &mut found)?;
    same(&known, &found)?;
    same(&known, recorded.get(..known.len()).unwrap_or_default())?;
    if engine.save() == alone.save() { Ok(()) } else { Err("another state".to_owned()) }
}

/// Before each body the model is replaced by one that has nothing but the saved
/// state and the book.
pub fn reborn<R: Registry>(stream: &[Taped], _: usize) -> Result<(), String> {
    same(&fold::<R>(stream).0, &fold::<Each<R, Reborn>>(stream).0)
}

/// Before each body the model is told that everything must be computed anew.
pub fn recomputed<R: Registry>(stream: &[Taped], _: usize) -> Result<(), String> {
    same(&without_memory_of::<R>(stream), &without_memory_of::<Each<R, Recomputed>>(stream))
}

/// Each body comes from a new model that was told the same changes, and was never
/// asked for anything before.
pub fn told_again<R: Registry>(stream: &[Taped], _: usize) -> Result<(), String> {
    same(&without_memory_of::<R>(stream), &without_memory_of::<Each<R, ToldAgain>>(stream))
}

/// Without each of the models in turn. Views that read it may say less.
pub fn one_less<R: Registry>(stream: &[Taped], at: usize) -> Result<(), String> {
    let (all, _) = fold::<R>(stream);
    let families = families::<R>(&parameters());
    assert!(families.len() <= LESS, "the list of registries below is too short");
    // A third of them for each stream, so that many streams can be tried.
    for n in (at % 3..families.len()).step_by(3) {
        let left_out = families[n];
        let readers: Vec<&str> = R::views()
            .iter()
            .filter(|v| v.inputs().contains(&left_out))
            .map(|v| v.family())
            .collect();
        let fewer = less::<R>(n, stream);
        if !of(&fewer, left_out).is_empty() {
            return Err(format!("{left_out} speaks though it was left out"));
        }
        let keep = |made: &[Made]| -> Vec<Made> {
            let family = |m: &&Made| {
                let family = &*m.artifact.header.family;
                family != left_out && !readers.contains(&family)
            };
            made.iter().filter(family).cloned().collect()
        };
        same(&keep(&all), &keep(&fewer)).map_err(|e| format!("without {left_out}: {e}"))?;
    }
    Ok(())
}

/// Models in another order: timers of one moment fire in another order, and
/// what belongs to one model stays the same.
pub fn shuffled<R: Registry>(stream: &[Taped], at: usize) -> Result<(), String> {
    let (straight, _) = fold::<R>(stream);
    let turned = match at % 3 {
        0 => fold::<Turned<R, 1>>(stream),
        1 => fold::<Turned<R, 2>>(stream),
        _ => fold::<Turned<R, 3>>(stream),
    };
    let views = R::views();
    let views = views.iter().map(|v| v.family()).chain(["epoch"]);
    for family in families::<R>(&parameters()).into_iter().chain(views) {
        let of = |made: &[Made]| of(made, family).into_iter().cloned().collect::<Vec<_>>();
        same(&of(&straight), &of(&turned.0))?;
    }
    Ok(())
}

/// The models of a registry without the one of a number.
struct Without<R, const N: usize>(PhantomData<R>);

impl<R: Registry, const N: usize> Registry for Without<R, N> {
    fn epoch(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        let before = R::partition(symbol, parameters).len();
        without(R::epoch(symbol, parameters), N.checked_sub(before))
    }

    fn partition(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        without(R::partition(symbol, parameters), Some(N))
    }

    fn views() -> Vec<Box<dyn View>> {
        R::views()
    }
}

fn without(mut models: Vec<Box<dyn Model>>, n: Option<usize>) -> Vec<Box<dyn Model>> {
    if let Some(n) = n.filter(|n| *n < models.len()) {
        drop(models.remove(n));
    }
    models
}

/// A registry is a pair of functions, so each model that can be left out needs
/// its own; so many there are.
const LESS: usize = 40;

fn less<R: Registry>(n: usize, stream: &[Taped]) -> Vec<Made> {
    macro_rules! table {
        ($($n:literal)*) => { [$(makers::<Without<R, $n>>()),*] };
    }
    let table: [Makers; LESS] = table!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19
        20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
    let world = MarketWorld::new(parameters()).expect("usable").with_makers(table[n]);
    stream::fold(Arc::new(world), stream).expect("a stream").0
}

/// The models of a registry in another order.
struct Turned<R, const BY: usize>(PhantomData<R>);

impl<R: Registry, const BY: usize> Registry for Turned<R, BY> {
    fn epoch(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        turned(R::epoch(symbol, parameters), BY)
    }

    fn partition(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        turned(R::partition(symbol, parameters), BY)
    }

    fn views() -> Vec<Box<dyn View>> {
        R::views()
    }
}

fn turned(mut models: Vec<Box<dyn Model>>, by: usize) -> Vec<Box<dyn Model>> {
    let n = models.len().max(1);
    match by {
        1 => models.reverse(),
        2 => models.rotate_left(1 % n),
        // Riffled: the two halves in turn.
        _ => {
            let second = models.split_off(n / 2);
            let mut first = std::mem::take(&mut models).into_iter();
            for model in second {
                models.push(model);
                models.extend(first.next());
            }
        }
    }
    models
}

/// What is done to each model of a registry.
pub trait Wrap: 'static {
    fn wrap(inner: Inner) -> Box<dyn Model>;
}

/// A registry with each of its models in a wrapping.
struct Each<R, W>(PhantomData<(R, W)>);

impl<R: Registry, W: Wrap> Registry for Each<R, W> {
    fn epoch(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        wrapped::<W>(R::epoch, symbol, parameters)
    }

    fn partition(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        wrapped::<W>(R::partition, symbol, parameters)
    }

    fn views() -> Vec<Box<dyn View>> {
        R::views()
    }
}

type Make = fn(&str, &Parameters) -> Vec<Box<dyn Model>>;

fn wrapped<W: Wrap>(make: Make, symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
    let wrap = |(index, model)| {
        W::wrap(Inner { model, make, index, symbol: symbol.into(), parameters: parameters.clone() })
    };
    make(symbol, parameters).into_iter().enumerate().map(wrap).collect()
}

/// A model that knows how to begin anew.
pub struct Inner {
    model: Box<dyn Model>,
    make: Make,
    index: usize,
    symbol: Box<str>,
    parameters: Parameters,
}

impl Inner {
    fn fresh(&self) -> Box<dyn Model> {
        (self.make)(&self.symbol, &self.parameters).swap_remove(self.index)
    }
}

macro_rules! hand_on {
    () => {
        fn family(&self) -> &'static str {
            self.0.model.family()
        }
        fn profile(&self) -> &'static str {
            self.0.model.profile()
        }
        fn scope(&self) -> Scope {
            self.0.model.scope()
        }
        fn outlives_epochs(&self) -> bool {
            self.0.model.outlives_epochs()
        }
        fn cadence_ns(&self) -> i64 {
            self.0.model.cadence_ns()
        }
        fn save(&self, out: &mut Vec<u8>) {
            self.0.model.save(out);
        }
    };
}

macro_rules! restore {
    () => {
        fn restore(&mut self, bytes: &[u8], market: &Market<'_>) -> Result<(), RestoreError> {
            self.0.model.restore(bytes, market)
        }
    };
}

struct Reborn(Inner);

impl Wrap for Reborn {
    fn wrap(inner: Inner) -> Box<dyn Model> {
        Box::new(Reborn(inner))
    }
}

impl Model for Reborn {
    hand_on!();
    restore!();

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        self.0.model.apply(change, market)
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let (mut fresh, mut saved) = (self.0.fresh(), Vec::new());
        self.0.model.save(&mut saved);
        fresh.restore(&saved, market).expect("its own state");
        self.0.model = fresh;
        self.0.model.emit(market)
    }
}

struct Recomputed(Inner);

impl Wrap for Recomputed {
    fn wrap(inner: Inner) -> Box<dyn Model> {
        Box::new(Recomputed(inner))
    }
}

impl Model for Recomputed {
    hand_on!();
    restore!();

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        self.0.model.apply(change, market)
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        self.0.model.apply(&Change::All, market);
        self.0.model.emit(market)
    }
}

/// Beside the model stand others like it, told of everything from the beginning;
/// each is asked once, for one of the first bodies.
struct ToldAgain(Inner, Vec<Box<dyn Model>>);

/// As many bodies of a model are compared.
const ASKED_ONCE: usize = 12;

impl Wrap for ToldAgain {
    fn wrap(inner: Inner) -> Box<dyn Model> {
        let others = (0..ASKED_ONCE).map(|_| inner.fresh()).collect();
        Box::new(ToldAgain(inner, others))
    }
}

impl Model for ToldAgain {
    hand_on!();

    // A model that outlives its epoch goes on with the state of the one before.
    fn restore(&mut self, bytes: &[u8], market: &Market<'_>) -> Result<(), RestoreError> {
        self.1.iter_mut().try_for_each(|other| other.restore(bytes, market))?;
        self.0.model.restore(bytes, market)
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        for other in &mut self.1 {
            other.apply(change, market);
        }
        self.0.model.apply(change, market)
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        let body = self.0.model.emit(market);
        match self.1.pop() {
            Some(mut other) => other.emit(market),
            None => body,
        }
    }
}
