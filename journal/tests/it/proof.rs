//! Proofs as an auditor meets them: what is true is proven, what was changed is
//! refused with its reason, and a log signs one history only.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use orrery_journal::event::Draft;
use orrery_journal::proof::bundle::{Bundle, Claim, PageProof, ProofError};
use orrery_journal::proof::checkpoint::CheckpointError;
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::proof::notary::{self, Notary, NotaryError};
use orrery_journal::proof::note::{NoteError, SecretKey};
use orrery_journal::proof::prover::ProveError;
use orrery_journal::proof::slice::Slice;
use orrery_journal::units::{Address, Seq};
use orrery_journal::{Calendar, Journal};
use proptest::prelude::*;

use crate::support::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn memory(drafts: &[Draft], lengths: &[usize]) -> Journal {
    let journal = Journal::in_memory(Calendar::Utc).expect("opens");
    append(&journal, drafts, lengths);
    journal
}

/// A key that is the same in every test.
fn key() -> SecretKey {
    SecretKey::from_seed("test.example/log", [5; 32]).expect("a key")
}

/// A signed note over all of a journal's pages.
fn note(journal: &Journal, size: u64) -> String {
    let root = journal.prover().root(size).expect("a root");
    let origin = key().public().name().to_owned();
    orrery_journal::proof::checkpoint::Checkpoint { origin, size, root }.sign(&key())
}

fn events_bundle(journal: &Journal, seqs: &[u64]) -> Bundle {
    let log = journal.prover();
    let seqs: BTreeSet<Seq> = seqs.iter().map(|n| Seq(*n)).collect();
    let pages = log.events(&seqs, log.size()).expect("sealed");
    let claim = Claim::Events { seqs: seqs.into_iter().collect(), pages };
    Bundle { checkpoint: note(journal, log.size()), claim }
}

fn range_bundle(journal: &Journal, from: u64, to: u64) -> Bundle {
    let log = journal.prover();
    let (from, to) = (Seq(from), Seq(to));
    let pages = log.range(from, to, log.size()).expect("sealed");
    Bundle { checkpoint: note(journal, log.size()), claim: Claim::Range { from, to, pages } }
}

fn pages_of(bundle: &mut Bundle) -> &mut Vec<PageProof> {
    match &mut bundle.claim {
        Claim::Events { pages, .. } | Claim::Range { pages, .. } => pages,
        Claim::Consistency { .. } => panic!("no pages"),
    }
}

#[track_caller]
fn refused(bundle: &Bundle) -> ProofError {
    bundle.check(&key().public()).expect_err("must be refused")
}

/// Sealed events of a journal.
fn sealed(journal: &Journal) -> u64 {
    let days = journal.days().expect("days");
    let log = journal.prover();
    let mut last = 0;
    for day in days {
        for seq in [day.first.0, day.last.0] {
            if let Ok((_, to)) = log.page_of(Seq(seq)) {
                last = last.max(to.0);
            }
        }
    }
    last
}

#[test]
fn any_event_is_proven_by_a_few_chunks_of_its_page() {
    // Rows of both lengths; then a day of quotes only.
    let mut drafts = session(77, 9_000, 2);
    let next = OPENING + 10 * 86_400 * SECOND;
    drafts.extend((0..4_000).map(|i| quote(next + i, "O:SPXW260320C05000000", 100, 105)));
    drafts.push(beat(next + 86_400 * SECOND));
    let journal = memory(&drafts, &[700]);
    let all = events(&journal);
    let end = journal.head().seq.0 - 1;
    assert_eq!(sealed(&journal), end, "all but the last day's beat");
    let public = key().public();
    let mut few = 0;
    for seq in (1..=end).step_by(97).chain([1, end]) {
        let bundle = events_bundle(&journal, &[seq]);
        let proven = bundle.check(&public).expect("true");
        assert_eq!(proven.events.len(), 1);
        assert_eq!(proven.events[0].seq, Seq(seq));
        assert!(proven.events[0].event == all[seq as usize - 1], "event {seq}");
        assert_eq!(proven.checkpoint.size, journal.prover().size());
        let Claim::Events { pages, .. } = &bundle.claim else { panic!("events") };
        let shown: usize = pages[0].slice.runs.iter().map(|run| run.bytes.len()).sum();
        few += usize::from(shown <= 4 * 1_024);
    }
    assert!(few > 40, "a page of equal rows shows three chunks: {few}");
    let many: Vec<u64> = (1..=end).step_by(1_000).collect();
    let proven = events_bundle(&journal, &many).check(&public).expect("true");
    assert_eq!(proven.events.len(), many.len());
}

#[test]
fn a_range_is_everything_between_two_events() {
    let journal = memory(&session(78, 14_000, 3), &[900]);
    let all = events(&journal);
    let end = sealed(&journal);
    for (from, to) in [(1, end), (1, 1), (end, end), (4_000, 4_200), (4_097, 8_192), (5, end - 5)] {
        let proven = range_bundle(&journal, from, to).check(&key().public()).expect("true");
        let found: Vec<_> = proven.events.iter().map(|e| e.event.clone()).collect();
        assert!(found == all[from as usize - 1..to as usize], "{from} to {to}");
        assert!(proven.events.iter().map(|e| e.seq.0).eq(from..=to));
    }
}

#[test]
fn changed_dropped_reordered_and_rehashed_events_are_refused() {
    let journal = memory(&session(79, 14_000, 1), &[900]);
    let good = range_bundle(&journal, 1, 12_288);
    good.check(&key().public()).expect("true");
    let change = |edit: &dyn Fn(&mut Vec<PageProof>)| {
        let mut bad = good.clone();
        edit(pages_of(&mut bad));
        refused(&bad)
    };
    let rehash = |page: &mut PageProof, edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = page.slice.all().expect("whole").to_vec();
        edit(&mut bytes);
        page.address = Address::of(&bytes);
        page.slice = Slice::whole(&bytes);
    };
    // A price; then the same with the page hashed anew.
    let bad = change(&|pages| pages[1].slice.runs[0].bytes[64 + 24] ^= 1);
    assert!(matches!(bad, ProofError::PageChanged { index: 1, .. }), "{bad:?}");
    let bad = change(&|pages| rehash(&mut pages[1], &|bytes| bytes[64 + 24] ^= 1));
    assert_eq!(bad, ProofError::NotInLog { index: 1 });
    // Two events change places; one is left out.
    let bad = change(&|pages| rehash(&mut pages[2], &|bytes| bytes[64..192].rotate_left(64)));
    assert_eq!(bad, ProofError::NotInLog { index: 2 });
    let bad = change(&|pages| rehash(&mut pages[0], &|bytes| drop(bytes.drain(64..128))));
    assert_eq!(bad, ProofError::NotInLog { index: 0 });
    // Whole pages dropped, moved, doubled.
    let bad = change(&|pages| drop(pages.remove(1)));
    assert_eq!(bad, ProofError::PageOrder { index: 2 });
    let bad = change(&|pages| drop(pages.remove(2)));
    assert_eq!(bad, ProofError::NotHeld { seq: Seq(12_288) });
    let bad = change(&|pages| pages.swap(0, 1));
    assert_eq!(bad, ProofError::PageOrder { index: 0 });
    let bad = change(&|pages| pages.insert(1, pages[1].clone()));
    assert_eq!(bad, ProofError::PageOrder { index: 1 });
    let bad = change(&|pages| pages[1].index = 0);
    assert_eq!(bad, ProofError::NotInLog { index: 0 });
    let bad = change(&|pages| pages.clear());
    assert_eq!(bad, ProofError::NotHeld { seq: Seq(1) });
    // Another claim than the pages can carry.
    for (from, to, wanted) in [
        (Seq(0), Seq(5), ProofError::Claim { seq: Seq(0) }),
        (Seq(9), Seq(5), ProofError::Claim { seq: Seq(9) }),
        (Seq(1), Seq(12_289), ProofError::NotHeld { seq: Seq(12_289) }),
        (Seq(1), Seq(8_192), ProofError::NotNeeded { index: 2 }),
        (Seq(4_097), Seq(12_288), ProofError::NotNeeded { index: 0 }),
    ] {
        let mut bad = good.clone();
        if let Claim::Range { from: f, to: t, .. } = &mut bad.claim {
            (*f, *t) = (from, to);
        }
        assert_eq!(refused(&bad), wanted);
    }
    // Everything hashed anew and signed by somebody else.
    let mut drafts = session(79, 14_000, 1);
    drafts[5_000] = quote(drafts[5_000].recv.expect("a time").0, "O:SPXW260320C05000000", 1, 2);
    let other = memory(&drafts, &[900]);
    let mut forged = range_bundle(&other, 1, 12_288);
    let thief = SecretKey::from_seed("test.example/log", [6; 32]).expect("a key");
    let root = other.prover().root(3).expect("a root");
    let origin = "test.example/log".to_owned();
    let checkpoint = orrery_journal::proof::checkpoint::Checkpoint { origin, size: 3, root };
    forged.checkpoint = checkpoint.sign(&thief);
    forged.check(&thief.public()).expect("consistent in itself");
    let bad = refused(&forged);
    let other_signer = ProofError::Checkpoint(CheckpointError::Note(NoteError::OtherSigner {
        wanted: String::new(),
        found: String::new(),
    }));
    assert_eq!(std::mem::discriminant(&bad), std::mem::discriminant(&other_signer), "{bad:?}");
    // Their pages under our signature; our key under another name.
    forged.checkpoint = note(&journal, 3);
    assert!(matches!(refused(&forged), ProofError::NotInLog { index: 0 | 1 }));
    let renamed = key().named("test.example/other").expect("a name");
    let bad = good.check(&renamed.public()).expect_err("another log");
    assert!(matches!(bad, ProofError::Checkpoint(_)), "{bad:?}");
}

#[test]
fn a_single_event_cannot_be_passed_off_as_another() {
    let quotes: Vec<_> = (0..5_000).map(|i| quote(OPENING + i, "O:X", 100 + i, 105 + i)).collect();
    let journal = memory(&quotes, &[1_000]);
    let good = events_bundle(&journal, &[1_000]);
    let claim = |seqs: &[u64]| {
        let mut bad = good.clone();
        if let Claim::Events { seqs: claimed, .. } = &mut bad.claim {
            *claimed = seqs.iter().map(|n| Seq(*n)).collect();
        }
        bad.check(&key().public())
    };
    let found = claim(&[1_000]).expect("true").events[0].clone();
    assert!(found.event == events(&journal)[999]);
    // Neighbours in the same chunk are proven just as well; others are not.
    claim(&[999]).expect("in the same chunk");
    assert!(matches!(claim(&[2_000]), Err(ProofError::NotShown { index: 0, .. })));
    assert_eq!(claim(&[4_097]), Err(ProofError::NotHeld { seq: Seq(4_097) }));
    assert_eq!(claim(&[1_000, 1_000]), Err(ProofError::Claim { seq: Seq(1_000) }));
    assert_eq!(claim(&[]), Err(ProofError::Claim { seq: Seq(0) }));
    // Without the end of the page its length is not proven.
    let mut bad = good.clone();
    let canonical = range_bundle(&journal, 1, 1);
    let Claim::Range { pages, .. } = &canonical.claim else { panic!("a range") };
    let whole = pages[0].slice.all().expect("whole");
    let row = 64 + 999 * 64;
    pages_of(&mut bad)[0].slice = Slice::of(whole, &[0..64, row..row + 64]);
    assert!(matches!(refused(&bad), ProofError::NotShown { index: 0, .. }));
    // A page that nothing is claimed of.
    let mut two = events_bundle(&journal, &[1]);
    pages_of(&mut two)[0].slice = Slice::of(whole, &[0..64, 64..65]);
    assert!(matches!(refused(&two), ProofError::NotShown { .. }), "no end");
}

/// Every bit of a small bundle: paths, chunks, chaining values, note.
#[test]
fn every_flipped_bit_of_a_bundle_is_refused() {
    let drafts: Vec<Draft> = (0..40)
        .map(|i| quote(OPENING + (i / 8) * 86_400 * SECOND + i, "O:X", 100 + i, 105 + i))
        .collect();
    let journal = memory(&drafts, &[3]);
    let good = events_bundle(&journal, &[20]);
    good.check(&key().public()).expect("true");
    let mut flips = 0;
    let mut check = |edit: &dyn Fn(&mut Bundle) -> bool| {
        let mut bad = good.clone();
        if !edit(&mut bad) {
            return false;
        }
        refused(&bad);
        flips += 1;
        true
    };
    let mut bit = 0;
    while check(&|bad| {
        let page = &mut pages_of(bad)[0];
        let bytes = page.slice.runs.iter_mut().flat_map(|run| run.bytes.iter_mut());
        let bytes = bytes.chain(page.slice.tree.iter_mut().flatten());
        let bytes = bytes.chain(page.path.iter_mut().flat_map(|hash| hash.0.iter_mut()));
        let mut bytes = bytes.chain(page.address.0.iter_mut());
        bytes.nth(bit / 8).map(|byte| *byte ^= 1 << (bit % 8)).is_some()
    }) {
        bit += 1;
    }
    for bit in 0..good.checkpoint.len() * 8 {
        check(&|bad| {
            let mut note = std::mem::take(&mut bad.checkpoint).into_bytes();
            note[bit / 8] ^= 1 << (bit % 8);
            bad.checkpoint = String::from_utf8_lossy(&note).into_owned();
            true
        });
    }
    assert!(flips > 6_000, "{flips}");
}

#[test]
fn two_checkpoints_are_one_history() {
    let drafts = session(80, 30_000, 4);
    let journal = memory(&drafts, &[1_000]);
    let log = journal.prover();
    let size = log.size();
    assert!(size > 8);
    for old in 0..=size {
        let path = log.consistency(old, size).expect("a path");
        let claim = Claim::Consistency { old: note(&journal, old), path };
        let good = Bundle { checkpoint: note(&journal, size), claim };
        let proven = good.check(&key().public()).expect("true");
        assert_eq!(proven.old.map(|old| old.size), Some(old));
        let mut bad = good;
        if let Claim::Consistency { path, .. } = &mut bad.claim {
            path.push(TreeHash::empty());
        }
        assert_eq!(refused(&bad), ProofError::Inconsistent { old, new: size });
    }
    let mut changed = drafts;
    changed[100] = beat(changed[100].recv.expect("a time").0);
    let other = memory(&changed, &[1_000]);
    let claim = Claim::Consistency {
        old: note(&other, 5),
        path: log.consistency(5, size).expect("a path"),
    };
    let bad = Bundle { checkpoint: note(&journal, size), claim };
    assert_eq!(refused(&bad), ProofError::Inconsistent { old: 5, new: size });
    assert!(matches!(log.consistency(5, size + 1), Err(ProveError::NoSize { .. })));
    assert!(matches!(log.root(size + 1), Err(ProveError::NoSize { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Two machines that took the same events have the same root.
    #[test]
    fn roots_do_not_depend_on_batches(
        seed in any::<u64>(),
        n in 1usize..9_000,
        one in proptest::collection::vec(1usize..3_000, 1..5),
        other in proptest::collection::vec(1usize..3_000, 1..5),
    ) {
        let drafts = session(seed, n, 3);
        let (a, b) = (memory(&drafts, &one), memory(&drafts, &other));
        let (a, b) = (a.prover(), b.prover());
        prop_assert_eq!(a.size(), b.size());
        for size in 0..=a.size() {
            prop_assert_eq!(a.root(size).expect("a root"), b.root(size).expect("a root"));
        }
    }
}

#[test]
fn events_behind_the_last_page_say_when_they_will_be_proven() {
    let journal = memory(&session(81, 6_000, 1), &[500]);
    let head = journal.head().seq;
    let log = journal.prover();
    let at = |seq| log.events(&BTreeSet::from([seq]), log.size()).expect_err("no proof");
    let error = at(head);
    assert!(
        matches!(error, ProveError::NotSealed { seq, first: Seq(4_097), more }
            if seq == head && more == 4_096 - (head.0 - 4_096)),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("more events") && text.contains("next trading day"), "{text}");
    assert!(matches!(at(head.next()), ProveError::Beyond { .. }));
    assert!(matches!(at(Seq(0)), ProveError::Beyond { .. }));
    assert!(matches!(log.range(Seq(1), head, 1), Err(ProveError::NotSealed { .. })));
    assert!(matches!(log.range(Seq(7), Seq(6), 1), Err(ProveError::NoRange { .. })));
}

#[test]
fn an_instrument_has_one_defining_event() {
    let journal = memory(&session(82, 9_000, 1), &[500]);
    let log = journal.prover();
    let all = events(&journal);
    for seq in (1..8_192u64).step_by(333) {
        let instrument = all[seq as usize - 1].instrument;
        let Some(found) = log.definition(instrument).expect("reads") else { continue };
        assert!(found.0 <= seq);
        let bundle = events_bundle(&journal, &[found.0]);
        let proven = bundle.check(&key().public()).expect("true");
        assert_eq!(proven.events[0].event.instrument, instrument);
        assert_eq!(proven.events[0].event.body.kind().name(), "instrument_defined");
    }
}

// The notary.

pub fn open(dir: &Path) -> Journal {
    Journal::open(dir, &utc()).expect("opens")
}

pub fn sign(dir: &Path) -> Result<String, NotaryError> {
    let journal = open(dir);
    let mut notary = Notary::open(dir, None)?;
    notary.checkpoint(&journal.prover()).map(|(_, note)| note)
}

pub fn add(dir: &Path, seed: u64, n: usize) {
    let journal = open(dir);
    let recv = journal.head().recv.0.max(OPENING);
    let quotes: Vec<_> =
        (0..n as i64).map(|i| quote(recv + i, "O:X", 100 + i + seed as i64, 900)).collect();
    append(&journal, &quotes, &[1_000]);
}

#[test]
fn a_notary_signs_growing_history_and_keeps_what_it_signed() {
    let dir = folder();
    add(dir.path(), 0, 5_000);
    let first = sign(dir.path()).expect("signs");
    let key = notary::public_key(dir.path()).expect("reads").expect("a key");
    assert!(key.name().starts_with("orrery.local/"), "{key}");
    let mode = |name: &str| {
        let meta = fs::metadata(dir.path().join("proof").join(name)).expect("is there");
        meta.permissions().mode() & 0o777
    };
    assert_eq!(mode("key"), 0o600);
    assert_eq!(sign(dir.path()).expect("signs"), first, "the same log, the same note");
    add(dir.path(), 0, 5_000);
    let second = sign(dir.path()).expect("signs");
    assert_ne!(second, first);
    let record = fs::read_to_string(dir.path().join("proof/signed")).expect("reads");
    assert_eq!(record, format!("{first}\n{second}\n"));
    let notary = Notary::open(dir.path(), Some(key.name())).expect("opens");
    assert_eq!(notary.signed().iter().map(|c| c.size).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(notary.earlier(1).expect("signed"), first);
    let unknown = notary.earlier(7).expect_err("never").to_string();
    assert!(unknown.contains("1, 2"), "{unknown}");
    let other = Notary::open(dir.path(), Some("other.example/log")).err().expect("refused");
    assert!(matches!(other, NotaryError::OtherOrigin { .. }), "{other:?}");
}

#[test]
fn another_history_is_never_signed() {
    let (dir, other) = (folder(), folder());
    add(dir.path(), 0, 9_000);
    sign(dir.path()).expect("signs");
    let proof = dir.path().join("proof");
    let kept = fs::read(proof.join("signed")).expect("reads");
    for (seed, n, rewritten) in [(1, 20_000, true), (0, 5_000, false)] {
        let dir = folder();
        add(dir.path(), seed, n);
        fs::create_dir(dir.path().join("proof")).expect("a folder");
        for name in ["key", "signed"] {
            fs::copy(proof.join(name), dir.path().join("proof").join(name)).expect("copies");
        }
        let refused = sign(dir.path()).expect_err("another history");
        match refused {
            NotaryError::Rewritten { size: 2 } => assert!(rewritten),
            NotaryError::Shrunk { signed: 2, size: 1 } => assert!(!rewritten),
            e => panic!("{e:?}"),
        }
        assert_eq!(fs::read(dir.path().join("proof/signed")).expect("reads"), kept);
    }
    // The same history, taken by another machine, is signed to the same root.
    add(other.path(), 0, 9_000);
    fs::create_dir(other.path().join("proof")).expect("a folder");
    for name in ["key", "signed"] {
        fs::copy(proof.join(name), other.path().join("proof").join(name)).expect("copies");
    }
    assert_eq!(sign(other.path()).expect("signs"), sign(dir.path()).expect("signs"));
}

#[test]
fn a_record_cut_short_by_a_crash_is_completed_and_damage_is_not() {
    let dir = folder();
    add(dir.path(), 0, 5_000);
    sign(dir.path()).expect("signs");
    add(dir.path(), 0, 5_000);
    let second = sign(dir.path()).expect("signs");
    let path = dir.path().join("proof/signed");
    let whole = fs::read(&path).expect("reads");
    let begin = whole.len() - second.len() - 1;
    let journal = open(dir.path());
    let again = || {
        let mut notary = Notary::open(dir.path(), None)?;
        notary.checkpoint(&journal.prover()).map(|(_, note)| note)
    };
    for cut in begin..whole.len() {
        fs::write(&path, &whole[..cut]).expect("writes");
        assert_eq!(again().expect("completed"), second, "cut at {cut}");
        assert_eq!(fs::read(&path).expect("reads"), whole, "cut at {cut}");
    }
    let mut refused = 0;
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).expect("writes");
        let mut notary = Notary::open(dir.path(), None).ok();
        let mut twice = || {
            let Some(notary) = &mut notary else { return again() };
            notary.checkpoint(&journal.prover()).map(|(_, note)| note)
        };
        twice().expect_err("a changed record");
        let error = twice().expect_err("and stays one");
        assert!(
            matches!(error, NotaryError::RecordDamaged { .. } | NotaryError::Shrunk { .. }),
            "byte {at}: {error:?}"
        );
        assert_eq!(fs::read(&path).expect("reads"), bad, "evidence stays, byte {at}");
        refused += 1;
    }
    assert_eq!(refused, whole.len());
}

#[test]
fn a_key_without_its_record_and_a_record_without_its_key_are_refused() {
    let dir = folder();
    add(dir.path(), 0, 5_000);
    sign(dir.path()).expect("signs");
    let [key, record] = ["key", "signed"].map(|name| dir.path().join("proof").join(name));
    let aside = dir.path().join("aside");
    fs::rename(&record, &aside).expect("moves");
    assert!(matches!(sign(dir.path()), Err(NotaryError::RecordMissing { .. })));
    fs::rename(&aside, &record).expect("moves");
    fs::rename(&key, &aside).expect("moves");
    assert!(matches!(sign(dir.path()), Err(NotaryError::KeyMissing { .. })));
    assert!(!key.exists(), "no new key for an old log");
    fs::rename(&aside, &key).expect("moves");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("changes");
    assert!(matches!(sign(dir.path()), Err(NotaryError::KeyExposed { mode: 0o644, .. })));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("changes");
    sign(dir.path()).expect("signs again");
    let mut text = fs::read(&key).expect("reads");
    text[30] ^= 1;
    fs::write(&key, text).expect("writes");
    assert!(matches!(sign(dir.path()), Err(NotaryError::KeyDamaged { .. })));
    // A crash between the record and the key leaves an empty record.
    let fresh = folder();
    add(fresh.path(), 0, 10);
    fs::create_dir(fresh.path().join("proof")).expect("a folder");
    fs::write(fresh.path().join("proof/signed"), b"").expect("writes");
    let empty = sign(fresh.path()).expect("an empty log can be signed");
    assert!(empty.contains("\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), "{empty}");
}
