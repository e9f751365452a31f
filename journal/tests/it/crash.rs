//! What a crash leaves: everything acknowledged, in order, once.
//!
//! Images come from the store in memory, which keeps what was synced and loses
//! any suffix of the rest; killing real processes is the business of the
//! workspace's own harness.

use std::sync::Arc;
use std::time::Duration;

use orrery_journal::event::{Draft, Event, IndexValue, TickBatch};
use orrery_journal::store::memory::MemoryStore;
use orrery_journal::units::{InstrumentId, Seq};
use orrery_journal::{AppendError, Calendar, Journal, OpenOptions, SyncMode, Ticket};

use crate::support::*;

fn open(store: &Arc<MemoryStore>, sync: SyncMode) -> Journal {
    let options = OpenOptions { calendar: Some(Calendar::Utc), sync };
    Journal::on_store(store.clone(), &options).expect("a crash image opens")
}

fn model(drafts: &[Draft]) -> Vec<Event> {
    let journal = Journal::in_memory(Calendar::Utc).expect("opens");
    append(&journal, drafts, &[drafts.len()]);
    events(&journal)
}

/// Appends in random pieces and cuts the power at random moments. Returns how
/// many cuts lost an acknowledged event, which is never right after a sync.
fn cuts(seed: u64, sync: SyncMode) -> u32 {
    let mut random = Random(seed);
    let drafts = session(seed, 9_000, 2);
    let model = model(&drafts);
    let mut store = Arc::new(MemoryStore::new());
    let mut lost = 0;
    for _ in 0..12 {
        let journal = open(&store, sync);
        // Which drafts are in already: bookkeeping is not drafted.
        let done = journal.head().seq.0 as usize;
        assert!(events(&journal) == model[..done], "no gap, nothing doubled, nothing invented");
        verify_clean(&journal);
        let drafted = |e: &&Event| !e.body.kind().is_bookkeeping();
        let mut next = model[..done].iter().filter(drafted).count();
        let until = (next + random.below(1_500) as usize).min(drafts.len());
        let writer = journal.writer(clock).expect("a writer");
        let mut tickets = Vec::new();
        while next < until {
            let to = (next + 1 + random.below(200) as usize).min(until);
            tickets.push(writer.append(drafts[next..to].to_vec()).expect("queued"));
            next = to;
        }
        // The power goes while some appends wait and others have their answer.
        let answers = random.below(tickets.len() as u64 + 1) as usize;
        let mut acknowledged = Seq(done as u64);
        for ticket in tickets.drain(..answers) {
            acknowledged = ticket.wait().expect("no fault").last;
        }
        let image = Arc::new(store.crash_image(random.next()));
        drop(writer);
        let survived = open(&image, sync).head().seq;
        lost += u32::from(survived < acknowledged);
        store = image;
    }
    lost
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    for seed in 0..10 {
        assert_eq!(cuts(seed, SyncMode::Group), 0, "seed {seed}");
    }
    for seed in 10..14 {
        assert_eq!(cuts(seed, SyncMode::Every), 0, "seed {seed}");
    }
}

#[test]
fn every_append_has_a_commit_of_its_own_if_that_is_wanted() {
    let commits = |sync| {
        // Long enough for others to queue.
        let store = Arc::new(Watched::slow(Duration::from_millis(1), Duration::ZERO));
        let options = OpenOptions { calendar: Some(Calendar::Utc), sync };
        let journal = Journal::on_store(store.clone(), &options).expect("opens");
        let before = store.commits();
        // With pages, which are sealed while others wait.
        let drafts: Vec<_> = (0..20_000).map(|i| beat(OPENING + i)).collect();
        append(&journal, &drafts, &[100]);
        verify_clean(&journal);
        store.commits() - before
    };
    assert_eq!(commits(SyncMode::Every), 200);
    let grouped = commits(SyncMode::Group);
    assert!(grouped < 100, "{grouped} commits although appends queued");
}

/// The same harness must notice a journal that acknowledges before the disk
/// has it, or the test above proves nothing.
#[test]
fn without_a_sync_the_harness_finds_losses() {
    let lost: u32 = (0..3).map(|seed| cuts(seed, SyncMode::Os)).sum();
    assert!(lost > 0, "no loss although nothing was synced");
}

#[test]
fn closing_makes_an_unsynced_import_durable() {
    let store = Arc::new(MemoryStore::new());
    let drafts = session(4, 5_000, 1);
    append(&open(&store, SyncMode::Os), &drafts, &[500]);
    for seed in 0..5 {
        let image = Arc::new(store.crash_image(seed));
        assert!(events(&open(&image, SyncMode::Os)) == model(&drafts));
    }
}

/// A killed process leaves what it wrote and did not sync. The next one shows
/// it, so a power cut after that must not take it away again.
#[test]
fn what_an_opening_shows_stays() {
    let store = Arc::new(MemoryStore::new());
    let journal = open(&store, SyncMode::Os);
    let writer = journal.writer(clock).expect("a writer");
    writer.append(session(3, 900, 1)).and_then(|t| t.wait()).expect("no fault");
    let found = Arc::new(store.kill_image());
    let shown = open(&found, SyncMode::Group).head().seq;
    assert_eq!(shown, journal.head().seq, "a kill takes nothing");
    for seed in 0..20 {
        let image = Arc::new(found.crash_image(seed));
        assert_eq!(open(&image, SyncMode::Group).head().seq, shown, "seed {seed}");
    }
}

/// After a failed commit the batch is unknown, not absent: the writer stops,
/// the head stays, and reopening finds all of the batch or nothing of it.
#[test]
fn a_failed_commit_stops_the_writer_and_is_whole_or_absent() {
    for survives in [false, true] {
        for good in 0..6 {
            let store = Arc::new(MemoryStore::new());
            let drafts = session(9, 9_000, 2);
            let journal = open(&store, SyncMode::Group);
            store.fail_after(good, survives);
            let writer = journal.writer(clock).expect("a writer");
            let mut acknowledged = Seq::BEFORE_FIRST;
            let mut failed = None;
            for piece in drafts.chunks(1_500) {
                match writer.append(piece.to_vec()).and_then(|ticket| ticket.wait()) {
                    Ok(appended) => acknowledged = appended.last,
                    Err(e) => {
                        failed = Some(e);
                        break;
                    }
                }
            }
            let poisoned = |e: &AppendError| matches!(e, AppendError::Poisoned { .. });
            assert!(failed.as_ref().is_some_and(poisoned), "{failed:?}");
            assert!(writer.append(vec![beat(OPENING)]).is_err_and(|e| poisoned(&e)));
            assert_eq!(journal.head().seq, acknowledged, "nothing unsure is shown");
            assert!(events(&journal) == model(&drafts)[..acknowledged.0 as usize]);
            assert!(writer.close().is_err_and(|e| poisoned(&e)));
            assert!(journal.writer(clock).is_err(), "only opening again tells what survived");

            let image = Arc::new(store.crash_image(0));
            let again = open(&image, SyncMode::Group);
            assert_eq!(again.head().seq > acknowledged, survives);
            assert!(events(&again) == model(&drafts)[..again.head().seq.0 as usize]);
            verify_clean(&again);
        }
    }
}

/// The engine opens only some of what its creation leaves when it is broken
/// off. What is left lies under another name, and nothing is in it.
#[test]
fn a_creation_that_was_broken_off_is_begun_again() {
    let data = tempfile::tempdir().expect("a folder");
    let anew = data.path().join("journal/db.new");
    std::fs::create_dir_all(&anew).expect("creates");
    std::fs::write(anew.join("0.jnl"), b"").expect("writes");
    let journal = Journal::open(data.path(), &utc()).expect("opens");
    append(&journal, &session(1, 50, 1), &[50]);
    let head = journal.head();
    drop(journal);
    assert!(!anew.exists());
    assert_eq!(Journal::open(data.path(), &utc()).expect("opens again").head(), head);
}

/// One commit fails while the next one is planned and its pages are being
/// sealed: answers come in order, and none is given for what may not be there.
#[test]
fn a_commit_that_fails_takes_those_behind_it_along() {
    for survives in [false, true] {
        for good in 0..6 {
            let store = Arc::new(MemoryStore::new());
            let drafts = session(9, 30_000, 2);
            let journal = open(&store, SyncMode::Group);
            store.fail_after(good, survives);
            let writer = journal.writer(clock).expect("a writer");
            let mut tickets = Vec::new();
            for (at, piece) in drafts.chunks(3_000).enumerate() {
                if at % 2 == 0 {
                    let Ok(ticket) = writer.append(piece.to_vec()) else { break };
                    tickets.push(ticket);
                    continue;
                }
                let mut ticks = TickBatch::new();
                for draft in piece {
                    let value = IndexValue::default();
                    ticks.index_value(draft.recv, None, InstrumentId::NONE, draft.source, value);
                }
                let Ok(ticket) = writer.append_ticks(ticks) else { break };
                tickets.push(ticket);
            }
            let answers: Vec<_> = tickets.into_iter().map(Ticket::wait).collect();
            let taken = answers.iter().take_while(|answer| answer.is_ok()).count();
            let poisoned = |a: &Result<_, _>| matches!(a, Err(AppendError::Poisoned { .. }));
            assert!(answers[taken..].iter().all(poisoned), "{answers:?}");
            let mut next = Seq::FIRST;
            for appended in answers[..taken].iter().flatten() {
                assert_eq!(appended.first, next, "in order");
                next = appended.last.next();
            }
            assert!(taken >= good as usize, "each commit carries an append at least");
            assert_eq!(journal.head().seq.next(), next, "nothing unsure is shown");
            let shown = events(&journal);
            drop(writer);

            let image = Arc::new(store.crash_image(0));
            let again = open(&image, SyncMode::Group);
            assert!(events(&again).starts_with(&shown));
            assert!(survives || again.head().seq == journal.head().seq);
            verify_clean(&again);
        }
    }
}
