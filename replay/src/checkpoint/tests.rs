use orrery_journal::store::Pair;

use super::state::Marks;
use super::*;

fn seqs(derived: &Derived) -> Vec<u64> {
    derived.checkpoints().expect("memory").iter().map(|r| r.seq.0).collect()
}

fn put(derived: &Derived, seq: u64, purpose: Purpose) {
    let bytes = format!("state {seq}").into_bytes();
    derived.put_checkpoint(Seq(seq), bytes, purpose).expect("memory");
}

fn stored(derived: &Derived) -> Vec<Pair> {
    derived.store.scan(CHECKPOINT_BYTES, &[], &[], false, usize::MAX).expect("memory")
}

fn change(derived: &Derived, edit: impl FnOnce(&mut Batch)) {
    let mut batch = Batch::default();
    edit(&mut batch);
    derived.store.commit(batch, Durability::Os).expect("memory");
}

/// Another process over the same store.
fn reopened(derived: &Derived) -> Derived {
    Derived { store: derived.store.clone(), known: std::sync::Arc::default() }
}

/// Parts of many pieces; of them `gex` depends on the seq, and of `tape` the
/// front is dropped as time goes on.
fn large(seq: u64) -> State {
    let noise = |seed: u64, n: usize| -> Vec<u8> {
        let mut x = seed;
        let byte = |_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (x >> 56) as u8
        };
        (0..n).map(byte).collect()
    };
    let (mut bytes, mut marks) = (Vec::new(), Marks::default());
    marks.part(0, "topology");
    bytes.extend(noise(1, 200_000));
    marks.part(bytes.len(), "gex");
    bytes.extend(noise(100 + seq, 100_000));
    marks.part(bytes.len(), "tape");
    bytes.extend(noise(2, 400_000).split_off(seq as usize * 10));
    State::new(bytes, marks)
}

fn keep(derived: &Derived, seq: u64, spacing: u64) -> Written {
    let (state, purpose) = (large(seq), Purpose::Passing);
    let draft = Draft { seq: Seq(seq), state, purpose, work: seq, spacing };
    derived.keep_checkpoint(&draft).expect("memory")
}

#[test]
fn the_nearest_one_before_is_found() {
    let derived = Derived::in_memory();
    for seq in [10, 20, 30] {
        put(&derived, seq, Purpose::Passing);
    }
    for (seq, expected) in [(9, None), (10, Some(10)), (29, Some(20)), (99, Some(30))] {
        let found = derived.checkpoint_at_or_before(Seq(seq)).expect("memory");
        assert_eq!(found.map(|c| c.seq.0), expected);
    }
    assert_eq!(derived.checkpoints_skipped(), 0);
}

#[test]
fn the_newest_the_opening_ones_and_one_for_each_spacing_stay() {
    let derived = Derived::in_memory();
    let later = 10 * SPACING;
    put(&derived, SPACING, Purpose::Passing);
    put(&derived, later, Purpose::Passing);
    put(&derived, 5, Purpose::Opening);
    for seq in 10..30 {
        put(&derived, later + seq, Purpose::Passing);
    }
    put(&derived, later + 15, Purpose::Opening);
    put(&derived, 5, Purpose::Passing);
    let mut expected = vec![5, SPACING, later, later + 15];
    expected.extend((22..30).map(|n| later + n));
    assert_eq!(seqs(&derived), expected);
    assert_eq!(stored(&derived).len(), 2 * expected.len(), "a manifest and a piece each");
}

#[test]
fn what_did_not_change_is_not_written_again() {
    let derived = Derived::in_memory();
    let first = keep(&derived, 1, 1);
    assert_eq!((first.new_pieces, first.new_bytes), (first.pieces, first.bytes));
    let second = keep(&derived, 2, 1);
    // All of gex, the front of the tape, nothing else.
    assert!(second.new_bytes < 100_000 + 100_000, "{second:?}");
    assert!(second.new_bytes >= 100_000, "{second:?}");
    assert_eq!(keep(&derived, 2, 1).new_bytes, 0, "the same again");
    for seq in [1, 2] {
        let found = derived.checkpoint_at_or_before(Seq(seq)).expect("memory").expect("whole");
        assert_eq!(found.bytes, large(seq).bytes);
        assert_eq!(found.address, Address::of(&found.bytes));
    }
}

#[test]
fn pieces_go_with_the_last_checkpoint_that_uses_them() {
    let (mut derived, mut gone) = (Derived::in_memory(), 0);
    for seq in 1..=60 {
        // Another process now and then: what is used is found out again.
        if seq % 7 == 0 {
            derived = reopened(&derived);
        }
        gone += keep(&derived, seq, 1_000).gone;
    }
    assert_eq!(seqs(&derived).len(), CHECKPOINTS_KEPT);
    assert_eq!(gone, 60 - CHECKPOINTS_KEPT as u64);
    for seq in seqs(&derived) {
        let found = derived.checkpoint_at_or_before(Seq(seq)).expect("memory").expect("whole");
        assert_eq!((found.seq, found.bytes), (Seq(seq), large(seq).bytes));
    }
    let mut used: Vec<Address> = Vec::new();
    for record in derived.checkpoints().expect("memory") {
        used.extend(record.manifest);
        let manifest = derived.manifest_of(&record).expect("whole");
        used.extend(manifest.pieces.iter().map(|piece| piece.address));
    }
    used.sort();
    used.dedup();
    let kept: Vec<_> = stored(&derived).into_iter().map(|(key, _)| key.to_vec()).collect();
    assert_eq!(kept, used.iter().map(|a| a.0.to_vec()).collect::<Vec<_>>());
}

#[test]
fn a_damaged_one_is_skipped_and_the_part_is_named() {
    let derived = Derived::in_memory();
    for seq in [1, 2, 3, 4] {
        keep(&derived, seq, 1);
    }
    let of = |seq: u64| {
        let record = derived.record_at_or_before(Seq(seq)).expect("memory").expect("there");
        (record, derived.manifest_of(&record).expect("whole"))
    };
    let own = |seq: u64| {
        let (record, manifest) = of(seq);
        let at = manifest.parts.iter().find(|part| part.name == "gex").expect("a part").at;
        let piece = manifest.placed().find(|(place, _)| *place == at).expect("a piece").1;
        (record, piece.address)
    };
    let ((four, flipped), (three, missing), (two, _)) = (own(4), own(3), own(2));
    let mut bytes = derived.store.get(CHECKPOINT_BYTES, &flipped.0).expect("memory").expect("kept");
    bytes = bytes.iter().enumerate().map(|(n, b)| if n == 77 { b ^ 8 } else { *b }).collect();
    change(&derived, |batch| {
        batch.put(CHECKPOINT_BYTES, flipped.0.to_vec(), bytes);
        batch.delete(CHECKPOINT_BYTES, missing.0.to_vec());
        batch.put(CHECKPOINTS, Seq(2).to_key().to_vec(), b"short".to_vec());
    });
    let why = derived.checkpoint(&four).expect_err("a flipped bit").to_string();
    assert!(why.contains("part `gex` (bytes 200000..") && why.ends_with("is damaged"), "{why}");
    let why = derived.checkpoint(&three).expect_err("a missing piece").to_string();
    assert!(why.contains("part `gex`") && why.ends_with("is missing"), "{why}");
    assert!(derived.checkpoint(&two).is_ok(), "only its record is damaged");
    let found = derived.checkpoint_at_or_before(Seq::MAX).expect("memory");
    assert_eq!(found.map(|c| c.seq.0), Some(1));
    assert_eq!(derived.checkpoints_skipped(), 3);
    let report = crate::audit::audit(&derived).expect("memory");
    assert_eq!(report.checkpoints, 1);
    let told = report.findings.join("\n");
    for line in [
        "the record of the checkpoint at event 2 is damaged",
        "the checkpoint at event 3: part `gex`",
        "the checkpoint at event 4: part `gex`",
    ] {
        assert!(told.contains(line), "{told}");
    }
    assert_eq!(report.findings.len(), 3, "{told}");
    // The same state again mends the pieces, for every checkpoint that has them.
    let again = |seq: u64| {
        let (state, purpose) = (large(seq), Purpose::Passing);
        Draft { seq: Seq(10 + seq), state, purpose, work: 10 + seq, spacing: 1 }
    };
    let mended = derived.keep_checkpoint(&again(4)).expect("memory");
    assert_eq!((mended.new_pieces, mended.pieces > 20), (1, true), "{mended:?}");
    assert!(derived.checkpoint(&four).is_ok());
    assert!(derived.checkpoint(&three).is_err());
    // In the next process what only the damaged record used is nobody's.
    let next = reopened(&derived);
    assert!(next.checkpoint(&three).is_err());
    next.keep_checkpoint(&again(3)).expect("memory");
    assert!(next.checkpoint(&three).is_ok());
    assert_eq!(seqs(&next), [1, 3, 4, 13, 14]);
    let kept = stored(&next);
    let used = next.checkpoint_usage().expect("memory");
    // Equal states have one manifest: that of 3 is that of 13.
    assert_eq!(kept.len() as u64, used.pieces + used.checkpoints - 2);
    assert_eq!(crate::audit::audit(&next).expect("memory").findings, Vec::<String>::new());
}

#[test]
fn every_flipped_bit_of_what_is_stored_is_found() {
    let derived = Derived::in_memory();
    put(&derived, 1, Purpose::Opening);
    let marks = Marks::default();
    let state = State::new(vec![7; 300], marks);
    let draft = Draft { seq: Seq(2), state, purpose: Purpose::Passing, work: 2, spacing: 1 };
    derived.keep_checkpoint(&draft).expect("memory");
    for table in [CHECKPOINTS, CHECKPOINT_BYTES] {
        for (key, good) in derived.store.scan(table, &[], &[], false, 99).expect("memory") {
            for bit in 0..good.len() * 8 {
                let mut bad = good.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                change(&derived, |batch| batch.put(table, key.clone(), bad));
                let report = crate::audit::audit(&derived).expect("memory");
                assert_eq!((report.findings.len(), report.checkpoints), (1, 1), "bit {bit}");
            }
            change(&derived, |batch| batch.put(table, key.clone(), good));
        }
    }
}

#[test]
fn checkpoints_of_the_first_format_are_read_and_go_as_ever() {
    let derived = Derived::in_memory();
    for seq in 1..=4u64 {
        let bytes = format!("whole state {seq}").into_bytes();
        let mut record = Address::of(&bytes).0.to_vec();
        record.push(u8::from(seq == 1));
        change(&derived, |batch| {
            batch.put(CHECKPOINT_BYTES, Address::of(&bytes).0.to_vec(), bytes);
            batch.put(CHECKPOINTS, Seq(seq).to_key().to_vec(), record);
        });
    }
    let found = derived.checkpoint_at_or_before(Seq(3)).expect("memory").expect("whole");
    assert_eq!((found.seq, &found.bytes[..]), (Seq(3), &b"whole state 3"[..]));
    assert_eq!(crate::audit::audit(&derived).expect("memory").checkpoints, 4);
    for seq in 5..=12 {
        put(&derived, seq, Purpose::Passing);
    }
    assert_eq!(seqs(&derived), [1, 5, 6, 7, 8, 9, 10, 11, 12], "the opening one stays");
    assert_eq!(stored(&derived).len(), 1 + 2 * 8);
}

#[test]
fn what_a_broken_off_checkpoint_left_is_taken_away() {
    let derived = Derived::in_memory();
    keep(&derived, 1, 1);
    let before = stored(&derived).len();
    let (manifest, cut) = Manifest::of(&large(2));
    let pieces = manifest.pieces.iter().map(|piece| piece.address);
    let encoded = manifest.encode().into();
    derived.put_pieces(&encoded, pieces.zip(cut).collect()).expect("memory");
    assert!(stored(&derived).len() > before);
    let after_a_crash = reopened(&derived);
    put(&after_a_crash, 3, Purpose::Passing);
    assert_eq!(stored(&after_a_crash).len(), before + 2);
    assert!(after_a_crash.store.get(META, META_PENDING).expect("memory").is_none());
}
