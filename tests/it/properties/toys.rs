//! Toy models with one fault each, for the controls. All say how often and of
//! what they were told.
#![allow(clippy::disallowed_types)]

use std::cell::Cell;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use orrery::market::book::Market;
use orrery::models::parameters::Parameters;
use orrery::models::{Change, Model, Scope};
use orrery_journal::units::NANOS_PER_SECOND;
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use super::{Registered, Registry};

/// What a toy does with what it was told.
pub trait Manners: Send + Default + 'static {
    /// Takes a change into the number that it tells.
    fn take(&mut self, told: &mut u64, change: &Change<'_>, market: &Market<'_>) {
        let _ = (change, market);
        *told += 1;
    }
    /// Everything must be computed anew, which brings nothing new.
    fn anew(&mut self) {}
    /// What stands in the body besides.
    fn say(&mut self, told: u64, market: &Market<'_>) -> String {
        let _ = market;
        told.to_string()
    }
    /// Whether its number is saved.
    const SAVED: bool = true;
}

/// A model with these manners.
#[derive(Default)]
pub struct Toy<M> {
    told: u64,
    manners: M,
}

impl<M: Manners> Model for Toy<M> {
    fn family(&self) -> &'static str {
        "toy"
    }

    fn profile(&self) -> &'static str {
        "toy/control@1"
    }

    fn scope(&self) -> Scope {
        Scope::Epoch
    }

    fn cadence_ns(&self) -> i64 {
        NANOS_PER_SECOND
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        match change {
            Change::All => self.manners.anew(),
            _ => self.manners.take(&mut self.told, change, market),
        }
        true
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        Some(format!("{{\"told\":\"{}\"}}", self.manners.say(self.told, market)).into_bytes())
    }

    fn save(&self, out: &mut Vec<u8>) {
        Encoder::new(out).u64(if M::SAVED { self.told } else { 0 });
    }

    fn restore(&mut self, bytes: &[u8], _: &Market<'_>) -> Result<(), RestoreError> {
        let mut d = Decoder::new(bytes);
        self.told = d.u64()?;
        d.end()
    }
}

/// No fault.
#[derive(Default)]
pub struct Honest;

impl Manners for Honest {}

/// Counts for the whole process.
#[derive(Default)]
pub struct Global;

static TOLD: AtomicU64 = AtomicU64::new(0);

impl Manners for Global {
    fn take(&mut self, told: &mut u64, _: &Change<'_>, _: &Market<'_>) {
        *told = TOLD.fetch_add(1, Ordering::Relaxed);
    }
}

/// Goes through a hash map in its own order.
#[derive(Default)]
pub struct Hashed(HashMap<u64, ()>);

impl Manners for Hashed {
    fn take(&mut self, told: &mut u64, _: &Change<'_>, _: &Market<'_>) {
        *told += 1;
        self.0.insert(*told, ());
    }

    fn say(&mut self, _: u64, _: &Market<'_>) -> String {
        format!("{:?}", self.0.keys())
    }
}

/// Leaves its number out of the saved state.
#[derive(Default)]
pub struct Forgetful;

impl Manners for Forgetful {
    const SAVED: bool = false;
}

/// Keeps a sum over the book up to date with quotes, and does not hear that a
/// chain changes the book, too; told to compute anew it looks at the book.
#[derive(Default)]
pub struct Hasty(Option<f64>);

fn mids(market: &Market<'_>) -> f64 {
    market.book.map_or(0.0, |b| b.states.iter().filter_map(|s| s.mid()).sum())
}

impl Manners for Hasty {
    fn take(&mut self, told: &mut u64, change: &Change<'_>, market: &Market<'_>) {
        *told += 1;
        if matches!(change, Change::Quote(_)) {
            self.0 = Some(mids(market));
        }
    }

    fn anew(&mut self) {
        self.0 = None;
    }

    fn say(&mut self, _: u64, market: &Market<'_>) -> String {
        self.0.get_or_insert_with(|| mids(market)).to_string()
    }
}

/// Says how often it was asked.
#[derive(Default)]
pub struct Vain(u64);

impl Manners for Vain {
    fn say(&mut self, told: u64, _: &Market<'_>) -> String {
        self.0 += 1;
        format!("{told} {}", self.0)
    }
}

/// The registered models and a toy.
pub struct Beside<M>(PhantomData<M>);

impl<M: Manners> Registry for Beside<M> {
    fn epoch(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        let mut models = Registered::epoch(symbol, parameters);
        models.push(Box::new(Toy::<M>::default()));
        models
    }

    fn partition(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        Registered::partition(symbol, parameters)
    }
}

thread_local! {
    /// What was last said in the room next door.
    static HEARD: Cell<u64> = const { Cell::new(0) };
}

/// Lets everybody hear what its model was told.
struct Loud(Box<dyn Model>);

impl Model for Loud {
    fn family(&self) -> &'static str {
        self.0.family()
    }

    fn profile(&self) -> &'static str {
        self.0.profile()
    }

    fn scope(&self) -> Scope {
        self.0.scope()
    }

    fn outlives_epochs(&self) -> bool {
        self.0.outlives_epochs()
    }

    fn cadence_ns(&self) -> i64 {
        self.0.cadence_ns()
    }

    fn apply(&mut self, change: &Change<'_>, market: &Market<'_>) -> bool {
        HEARD.set(market.now.0 as u64 + 1);
        self.0.apply(change, market)
    }

    fn emit(&mut self, market: &Market<'_>) -> Option<Vec<u8>> {
        HEARD.set(0);
        self.0.emit(market)
    }

    fn save(&self, out: &mut Vec<u8>) {
        self.0.save(out);
    }

    fn restore(&mut self, bytes: &[u8], market: &Market<'_>) -> Result<(), RestoreError> {
        self.0.restore(bytes, market)
    }
}

/// Listens to the models beside it.
#[derive(Default)]
struct Listener;

impl Manners for Listener {
    fn say(&mut self, told: u64, _: &Market<'_>) -> String {
        format!("{told} {}", HEARD.get())
    }
}

/// Loud models and one that listens.
pub struct Gossips;

impl Registry for Gossips {
    fn epoch(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        let mut models = Registered::epoch(symbol, parameters);
        models.truncate(1);
        let mut models: Vec<Box<dyn Model>> =
            models.into_iter().map(|m| Box::new(Loud(m)) as Box<dyn Model>).collect();
        models.push(Box::new(Toy::<Listener>::default()));
        models
    }

    fn partition(symbol: &str, parameters: &Parameters) -> Vec<Box<dyn Model>> {
        Registered::partition(symbol, parameters)
    }
}
