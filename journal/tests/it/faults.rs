//! A world by seed beside a `Vec`: appends, power cuts, kills, ends in order,
//! failed commits that happened or not, failed writes of HEAD, full disks,
//! short writes, delays. Whatever was acknowledged or shown stays; nothing is
//! missing in between, nothing is there twice; after an error the writer
//! acknowledges nothing more.

use std::path::Path;
use std::sync::Arc;

use orrery_journal::event::{Draft, Event};
use orrery_journal::files::faulty::FaultyFiles;
use orrery_journal::store::faulty::FaultyStore;
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::units::Seq;
use orrery_journal::{Faults, Journal, OpenError, Writer};

use crate::support::*;

/// What happened in some worlds.
#[derive(Default, Debug)]
struct Tally {
    lives: u64,
    cuts: u64,
    kills: u64,
    /// Faults that were injected, and how often a writer or an opening stopped.
    faults: u64,
    stopped: u64,
    refused: u64,
    /// Lives that found something wrong.
    losses: u64,
}

const FAULTS: Faults =
    Faults { write: 8, full: 4, short: 60, sync: 8, rename: 20, delay: 20, lie: 0 };

fn drafted(events: &[Event]) -> usize {
    events.iter().filter(|e| !e.body.kind().is_bookkeeping()).count()
}

/// An opening may only fail because a call failed.
fn excused(error: &OpenError) -> bool {
    matches!(error, OpenError::Io { .. } | OpenError::Store(_))
}

/// Appends for a while; returns the last acknowledged seq.
fn write(writer: &Writer, drafts: &[Draft], random: &mut Random, tally: &mut Tally) -> Seq {
    let (mut acknowledged, mut tickets) = (Seq::BEFORE_FIRST, Vec::new());
    let (mut refused, mut stopped) = (false, false);
    let mut rest = &drafts[..(random.below(400) as usize).min(drafts.len())];
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at((1 + random.below(60) as usize).min(rest.len()));
        rest = tail;
        match writer.append(piece.to_vec()) {
            Ok(ticket) => tickets.push(ticket),
            Err(_) => refused = true,
        }
        // Some answers come while others wait; the last ones are never asked for.
        if random.below(3) == 0 {
            for ticket in tickets.drain(..) {
                match ticket.wait() {
                    Ok(appended) => {
                        assert!(!stopped, "acknowledged after an error");
                        acknowledged = appended.last;
                    }
                    Err(_) => stopped = true,
                }
            }
        }
    }
    tally.stopped += u64::from(stopped || refused);
    acknowledged
}

fn world(seed: u64, faults: Faults, tally: &mut Tally) {
    let mut random = Random(seed ^ 0x6f72_7265_7279);
    let folder = Path::new("journal");
    let drafts = session(seed, 300 + random.below(500) as usize, 3);
    let whole = Journal::in_memory(orrery_journal::Calendar::Utc).expect("opens");
    append(&whole, &drafts, &[drafts.len()]);
    let model = events(&whole);
    let (mut store, mut files) = (Arc::new(MemoryStore::new()), FaultyFiles::new(seed, faults));
    let mut promised = Seq::BEFORE_FIRST;
    for life in 0..12 {
        // The last life sees no fault and must find everything in order.
        let faults = if life == 11 { Faults::NONE } else { faults };
        files.set_faults(faults);
        let before = files.given();
        let faulty = Arc::new(FaultyStore::new(store.clone(), random.next(), faults));
        let on: Arc<FaultyFiles> = Arc::new(files.clone());
        tally.lives += 1;
        let opened = Journal::on_store_and_files(faulty.clone(), on, folder, &utc());
        match opened {
            Err(e) => {
                let faults = faulty.given() + files.given() - before;
                tally.faults += faults;
                tally.refused += 1;
                if !excused(&e) || faults == 0 {
                    tally.losses += 1;
                    eprintln!("seed {seed} life {life}: {e}");
                    return;
                }
            }
            Ok(journal) => {
                let shown = journal.head().seq;
                if shown < promised {
                    tally.losses += 1;
                    eprintln!("seed {seed} life {life}: {promised} was promised, {shown} is there");
                    return;
                }
                let found = events(&journal);
                assert!(found == model[..shown.0 as usize], "seed {seed} life {life}");
                verify_clean(&journal);
                // Whoever reads now may tell others, so it must not go any more.
                promised = shown;
                let rest = &drafts[drafted(&found)..];
                if let Ok(writer) = journal.writer(clock) {
                    promised = promised.max(write(&writer, rest, &mut random, tally));
                    let shown = journal.head().seq;
                    assert!(shown >= promised, "acknowledged and not shown");
                    assert!(read(&journal, Seq::FIRST, shown) == model[..shown.0 as usize]);
                    promised = promised.max(shown);
                    // HEAD first: what it says must be in the store already.
                    match random.below(3) {
                        0 => {
                            tally.cuts += 1;
                            files = files.crash_image(random.next());
                            store = Arc::new(store.crash_image(random.next()));
                        }
                        1 => {
                            tally.kills += 1;
                            files = files.kill_image();
                            store = Arc::new(store.kill_image());
                        }
                        // In order, or with whatever error is there.
                        _ => drop(writer.close()),
                    }
                }
                tally.faults += faulty.given() + files.given().saturating_sub(before);
            }
        }
        // A power cut between two lives, too.
        if random.below(4) == 0 {
            tally.cuts += 1;
            files = files.crash_image(random.next());
            store = Arc::new(store.crash_image(random.next()));
        }
    }
}

/// Two threads, so that the whole stays within a minute.
fn worlds(seeds: std::ops::Range<u64>, faults: Faults) -> Tally {
    let half = seeds.start + (seeds.end - seeds.start) / 2;
    let run = |seeds: std::ops::Range<u64>| {
        let mut tally = Tally::default();
        seeds.for_each(|seed| world(seed, faults, &mut tally));
        tally
    };
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| run(half..seeds.end));
        (run(seeds.start..half), other.join().expect("no panic"))
    });
    Tally {
        lives: a.lives + b.lives,
        cuts: a.cuts + b.cuts,
        kills: a.kills + b.kills,
        faults: a.faults + b.faults,
        stopped: a.stopped + b.stopped,
        refused: a.refused + b.refused,
        losses: a.losses + b.losses,
    }
}

#[test]
fn two_thousand_worlds_lose_nothing() {
    let tally = worlds(0..2_000, FAULTS);
    eprintln!("{tally:?}");
    assert_eq!(tally.losses, 0, "{tally:?}");
    assert!(tally.faults > 2_000 && tally.stopped > 500 && tally.refused > 20, "{tally:?}");
    assert!(tally.cuts > 2_000 && tally.kills > 1_000, "{tally:?}");
}

/// The same worlds with a disk that says "synced" and has not: they must
/// notice, or the test above proves nothing.
#[test]
fn a_disk_that_lies_is_noticed() {
    let tally = worlds(0..40, Faults { lie: 500, ..Faults::NONE });
    assert!(tally.losses > 10, "{tally:?}");
}
