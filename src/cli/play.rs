//! `orrery play DAY`: a recorded day again, in this process, on a virtual clock.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use orrery_replay::session::{Moment, Pacer, Session, Tick};

use super::exit::Exit;
use super::session::order::{Order, print};
use super::{Common, open, output};
use crate::backend::sessions::{definitions, plan};
use crate::clock::Stopwatch;
use crate::world::MarketWorld;

/// The longest wait in one go.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Play a recorded day again: one line per artifact, when it came out.
///
/// Nothing else runs and nothing is published; the data directory must be free.
/// `orrery session` does the same in a running server, for several watchers.
///
/// Example: orrery play 2015-12-24 --speed 60 --gap-cap 5s --family gex
#[derive(Debug, Args)]
pub struct Play {
    #[command(flatten)]
    order: Order,
    /// Print bodies, too.
    #[arg(long)]
    bodies: bool,
    /// End after so many artifacts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

pub fn run(common: &Common, command: &Play) -> anyhow::Result<Exit> {
    let data = open::existing(common)?;
    let order = command.order.order();
    let parameters = definitions::with_profiles(data.world.parameters(), &order.profiles)?;
    definitions::know_families(&parameters, &order.shows.families)?;
    let archive = data.into_archive(common.threads);
    open::catch_up(&archive)?;
    let plan = plan::of(archive.journal(), &order)?;
    let (journal, derived) = (archive.journal().clone(), archive.derived().clone());
    let world = Arc::new(MarketWorld::new(parameters)?);
    let bar = output::progress(plan.opening.seq.0, "warming");
    let mut session = Session::open(
        journal,
        derived,
        world,
        plan,
        Pacer::new(order.speed, order.gap_cap),
        &mut |at| {
            bar.set_position(at.seq.0);
            ControlFlow::Continue(())
        },
    )?;
    bar.finish_and_clear();
    let watch = Stopwatch::start();
    session.play(watch.nanos());
    let (mut made, mut printed) = (Vec::new(), 0);
    loop {
        match session.tick(watch.nanos(), &mut made)? {
            Tick::Passed => {}
            Tick::Wait(nanos) => {
                let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
                std::thread::sleep(wait.min(WAIT_MAX));
            }
            Tick::Still => break,
        }
        for one in made.drain(..).filter(|m| order.shows.admits(&m.artifact.header)) {
            let at = Moment { seq: one.at, time: one.artifact.header.created_at };
            print(&one.artifact, at, common.json, command.bodies)?;
            printed += 1;
            if command.limit == Some(printed) {
                return Ok(Exit::Fine);
            }
        }
    }
    output::note(format!(
        "{} artifacts, {} events, {:.1} s",
        output::grouped(printed),
        output::grouped(session.folded()),
        watch.seconds()
    ));
    Ok(Exit::Fine)
}
