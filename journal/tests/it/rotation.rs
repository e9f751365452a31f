//! The log's key gives way to another one, and certificates outlive both.

use std::fs;
use std::path::Path;

use orrery_journal::proof::certificates::{self, CertificateId};
use orrery_journal::proof::checkpoint::Checkpoint;
use orrery_journal::proof::handover::{self, Handover};
use orrery_journal::proof::keys;
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::proof::notary::{Notary, NotaryError};
use orrery_journal::proof::note;
use orrery_journal::units::TradingDay;

use crate::proof::{add, open, sign};

fn notary(dir: &Path) -> Notary {
    Notary::open(dir, None).expect("opens")
}

/// A log of two pages with a signed checkpoint over one and over both.
fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for _ in 0..2 {
        add(dir.path(), 0, 4_500);
        sign(dir.path()).expect("signs");
    }
    dir
}

#[test]
fn a_new_key_goes_on_with_the_log_and_is_named_by_the_former_one() {
    let dir = log();
    let journal = open(dir.path());
    let former = notary(dir.path()).public();
    let before = notary(dir.path()).checkpoint(&journal.prover()).expect("signs").1;
    let record = fs::read(dir.path().join("proof/signed")).expect("reads");
    let mut first = notary(dir.path());
    let handover = first.rotate(&journal.prover()).expect("rotates");
    let next = notary(dir.path()).public();
    assert_eq!(first.public(), next, "the notary at hand goes on, too");
    assert_eq!(next.name(), former.name());
    assert_ne!(next, former);
    // Both have signed it; it is a checkpoint to others.
    let read = Handover::read(handover.as_bytes()).expect("a handover");
    assert_eq!((&read.by, &read.next), (&former, &next));
    for key in [&former, &next] {
        let seen = Checkpoint::read(handover.as_bytes(), key).expect("signed by both");
        assert_eq!(seen, Checkpoint::read(before.as_bytes(), &former).expect("signed"));
    }
    // What the former key signed is still part of the record, and still holds.
    assert_eq!(fs::read(dir.path().join("proof/signed")).expect("reads"), record);
    let mut again = notary(dir.path());
    assert_eq!(again.signed().iter().map(|c| c.size).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(again.former(), std::slice::from_ref(&former));
    let (_, now) = again.checkpoint(&journal.prover()).expect("signs");
    Checkpoint::read(now.as_bytes(), &next).expect("by the new key");
    Checkpoint::read(now.as_bytes(), &former).expect_err("not by the former one");
    drop(journal);
    add(dir.path(), 0, 4_500);
    let later = sign(dir.path()).expect("the log goes on");
    assert_eq!(Checkpoint::read(later.as_bytes(), &next).expect("by the new key").size, 3);
    // And once more: whoever trusts the first key finds the last one.
    let journal = open(dir.path());
    notary(dir.path()).rotate(&journal.prover()).expect("rotates");
    let last = notary(dir.path()).public();
    let file = keys::handovers(dir.path()).expect("reads");
    let follow = |key| handover::follow(file.as_bytes(), key);
    assert_eq!(follow(&former).expect("follows"), [former.clone(), next.clone(), last.clone()]);
    assert_eq!(follow(&next).expect("follows"), [next.clone(), last.clone()]);
    assert_eq!(follow(&last).expect("follows"), std::slice::from_ref(&last));
    let stranger = note::SecretKey::from_seed(former.name(), [3; 32]).expect("a key").public();
    follow(&stranger).expect_err("has no part in it");
    // A handover without the signature of the key that it comes from is none.
    let (text, rest) = handover.rsplit_once("\n\n").expect("a note");
    let only_next = format!("{text}\n\n{}\n", rest.lines().nth(1).expect("two signatures"));
    Handover::read(only_next.as_bytes()).expect_err("not signed by the former key");
    let changed = file.replace("\n3\n", "\n2\n");
    assert_ne!(changed, file);
    handover::follow(changed.as_bytes(), &former).expect_err("changed");
}

#[test]
fn a_rotation_that_a_crash_broke_off_is_ended_or_undone() {
    let dir = log();
    let proof = dir.path().join("proof");
    let [key, next, list] = ["key", "key.next", "handovers"].map(|name| proof.join(name));
    let former = fs::read(&key).expect("reads");
    let journal = open(dir.path());
    let before = notary(dir.path()).public();
    notary(dir.path()).rotate(&journal.prover()).expect("rotates");
    let after = notary(dir.path()).public();
    let (new, all) = (fs::read(&key).expect("reads"), fs::read(&list).expect("reads"));
    // Before the handover was on disk the next key never counted.
    fs::rename(&key, &next).expect("moves");
    write_key(&key, &former);
    fs::remove_file(&list).expect("removes");
    assert_eq!(notary(dir.path()).public(), before);
    assert!(!next.exists());
    // After it the former one does not.
    write_key(&next, &new);
    fs::write(&list, &all).expect("writes");
    assert_eq!(notary(dir.path()).public(), after);
    assert!(!next.exists());
    assert_eq!(fs::read(&key).expect("reads"), new);
    // Without the next key there is no way on, and nothing is made up.
    write_key(&key, &former);
    let refused = Notary::open(dir.path(), None).err().expect("refused");
    assert!(matches!(refused, NotaryError::NextKeyMissing { .. }), "{refused:?}");
    write_key(&key, &new);
    for at in (0..all.len()).step_by(7) {
        let mut bad = all.clone();
        bad[at] ^= 1;
        fs::write(&list, &bad).expect("writes");
        let refused = Notary::open(dir.path(), None).err().expect("refused");
        assert!(matches!(refused, NotaryError::HandoversDamaged { .. }), "byte {at}: {refused:?}");
    }
}

fn write_key(path: &Path, text: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("writes");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("changes");
}

#[test]
fn a_log_that_has_signed_nothing_can_be_named_again() {
    let dir = tempfile::tempdir().expect("a folder");
    add(dir.path(), 0, 10);
    assert!(notary(dir.path()).public().name().starts_with("orrery.local/"));
    let named = Notary::open(dir.path(), Some("test.example/log")).expect("nothing is signed yet");
    assert_eq!(named.public().name(), "test.example/log");
    assert_eq!(notary(dir.path()).public(), named.public());
    sign(dir.path()).expect("signs");
    let refused = Notary::open(dir.path(), Some("other.example/log")).err().expect("refused");
    assert!(matches!(refused, NotaryError::OtherOrigin { .. }), "{refused:?}");
}

#[test]
fn a_certificate_is_written_once_and_outlives_its_key() {
    let dir = log();
    let journal = open(dir.path());
    let log = journal.prover();
    let id = |number| CertificateId { day: TradingDay(20_528), number };
    let text = "a certificate\nof test.example/log\n";
    let former = notary(dir.path()).public();
    let note = notary(dir.path()).certify(&log, id(1), text).expect("signs");
    assert_eq!(notary(dir.path()).certify(&log, id(1), text).expect("the same"), note);
    assert_eq!(certificates::read(dir.path(), id(1)).expect("reads"), Some(note.clone()));
    let refused = notary(dir.path()).certify(&log, id(1), "another\n").expect_err("kept");
    assert!(matches!(refused, NotaryError::Certified { .. }), "{refused:?}");
    notary(dir.path()).certify(&log, id(2), "another\n").expect("under another number");
    // What else lies there is no certificate.
    fs::write(dir.path().join("proof/days/2026-03-16.3.new"), "half").expect("writes");
    fs::write(dir.path().join("proof/days/2026-03-16.03"), "half").expect("writes");
    assert_eq!(certificates::list(dir.path()).expect("lists"), [id(1), id(2)]);
    // A new key leaves it as it is, and signs it as well when it is given away.
    notary(dir.path()).rotate(&log).expect("rotates");
    let now = notary(dir.path());
    assert_eq!(now.signed_text(&note).expect("signed by the former key"), text);
    let (size, root) = (1, log.root(1).expect("a root"));
    let renewed = now.renew(&log, &note, size, root).expect("countersigned");
    for key in [&former, &now.public()] {
        assert_eq!(note::parse(renewed.as_bytes()).expect("a note").signed_by(key), Ok(text));
    }
    assert_eq!(now.renew(&log, &renewed, size, root).expect("as it is"), renewed);
    assert_eq!(notary(dir.path()).certify(&log, id(1), text).expect("kept"), note);
    // Not what stands on another history, and not what a stranger signed.
    let refused = now.renew(&log, &note, 1, TreeHash([7; 32])).expect_err("another root");
    assert!(matches!(refused, NotaryError::Rewritten { size: 1 }), "{refused:?}");
    now.renew(&log, &note, 9, root).expect_err("beyond the log");
    let stranger = note::SecretKey::from_seed(former.name(), [3; 32]).expect("a key");
    now.renew(&log, &stranger.sign(text), size, root).expect_err("a stranger's");
    fs::write(dir.path().join("proof/days").join(id(1).to_string()), stranger.sign(text))
        .expect("writes");
    let refused = notary(dir.path()).certify(&log, id(1), text).expect_err("damaged");
    assert!(matches!(refused, NotaryError::CertificateDamaged { .. }), "{refused:?}");
}
