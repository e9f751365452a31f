//! What is due, lost, uncertain and over, without a server.

use bytes::Bytes;
use orrery_journal::units::{RecvTime, Seq};

use super::super::call::HeldVersion;
use super::*;
use crate::projector::registry::Name;

fn artifact(family: &str, version: u64) -> Arc<Artifact> {
    let body = Bytes::from(format!("{{\"tiles\":{{\"t{version}\":1}}}}"));
    let header = Header {
        symbol: "SPX".into(),
        family: family.into(),
        version,
        epoch: Some(Address::of(b"epoch")),
        profile: "test/one@1".into(),
        configuration: Address::default(),
        seq_first: Seq(1),
        seq_last: Seq(version),
        created_at: RecvTime(0),
        content: Address::of(&body),
        body_len: body.len() as u64,
        previous: Address::default(),
    };
    Arc::new(Artifact { header, body })
}

fn deliver(ledger: &mut Ledger, artifact: &Arc<Artifact>, generation: u64) -> ShelfKey {
    let key = key_of(&artifact.header);
    let meta = Name::ArtifactMeta.key_of(&key.0, &key.1).expect("a key");
    let latest = Name::HeatmapLatest.key(&key.0).expect("a key");
    let hash = Address::of(b"12345");
    let documents = vec![Document { bus: Bus::Market, key: latest, len: 5, hash }];
    let (artifact, paired) = (artifact.clone(), ledger.paired(&key));
    let delivered = Delivered { artifact, paired, stamp_us: 0, meta, documents };
    ledger.delivered(key.clone(), delivered, generation);
    key
}

#[test]
fn a_context_is_due_again_when_the_gravity_beside_it_changes() {
    let mut ledger = Ledger::default();
    let (context, first) = (artifact("context", 1), artifact("gravity", 1));
    assert_eq!(ledger.due(vec![context.clone(), first.clone()]).len(), 2);
    deliver(&mut ledger, &first, 1);
    deliver(&mut ledger, &context, 1);
    assert!(ledger.due(vec![context.clone(), first]).is_empty());
    assert_eq!(ledger.due(vec![context, artifact("gravity", 2)]).len(), 2);
}

#[test]
fn what_is_set_aside_waits_for_another_version() {
    let mut ledger = Ledger::default();
    let (bad, key) = (artifact("gravity", 3), ("SPX".into(), "gravity".into()));
    assert_eq!(ledger.due(vec![bad.clone()]).len(), 1);
    assert!(ledger.set_aside(&key, 3, 0, true), "the first time is news");
    assert!(!ledger.set_aside(&key, 3, 0, true));
    ledger.reconsider();
    assert!(ledger.due(vec![bad]).is_empty());
    let context = ("SPX".into(), "context".into());
    assert_eq!(ledger.paired(&context), 0, "no context names what cannot be delivered");
    assert_eq!(ledger.due(vec![artifact("gravity", 4)]).len(), 1);
}

#[test]
fn a_loss_is_told_from_somebody_else_being_ahead() {
    let mut ledger = Ledger::default();
    let ours = artifact("heatmap", 5);
    deliver(&mut ledger, &ours, 1);
    let entries = ledger.on_bus("SPX", Bus::Market, true);
    let content: Box<str> = ours.header.content.to_string().into();
    let held = |version, lineage: &str| {
        let (lineage, content) = (lineage.into(), content.clone());
        vec![Some(HeldVersion { version, paired: 0, lineage, content })]
    };
    let lost = |held: &[Option<HeldVersion>], len| ledger.lost(&entries, held, &[len], "j").len();
    assert_eq!(lost(&held(5, "j"), 5), 0, "as delivered");
    assert_eq!(lost(&held(6, "j"), 5), 0, "somebody is ahead");
    assert_eq!(lost(&held(5, "j"), 4), 1, "another length");
    assert_eq!(lost(&held(4, "j"), 5), 1, "older");
    assert_eq!(lost(&held(9, "other"), 5), 1, "another journal");
    assert_eq!(lost(&[None], -1), 1, "gone");
}

#[test]
fn tiles_are_certain_only_on_the_connection_that_acknowledged_them() {
    let mut ledger = Ledger::default();
    let first = artifact("heatmap", 1);
    let key = deliver(&mut ledger, &first, 1);
    assert!(ledger.tiles(&key, 1).is_some() && ledger.tiles(&key, 2).is_none());
    ledger.doubt(&key, &artifact("heatmap", 2));
    assert!(ledger.tiles(&key, 1).is_none() && ledger.needs_ghosts(&key, 2));
    ledger.learn_ghosts(&key, Some(b"{\"tiles\":{\"t9\":1}}"), 2);
    let ghosts: Vec<_> = ledger.ghosts(&key).expect("doubt").iter().cloned().collect();
    assert_eq!(ghosts, ["t1", "t2", "t9"]);
    deliver(&mut ledger, &artifact("heatmap", 3), 2);
    assert!(ledger.ghosts(&key).is_some_and(BTreeSet::is_empty));
}

#[test]
fn what_only_the_epoch_before_published_is_over() {
    let mut ledger = Ledger::default();
    let of = |family: &str, version, epoch: &[u8]| {
        let mut artifact = (*artifact(family, version)).clone();
        artifact.header.epoch = Some(Address::of(epoch));
        Arc::new(artifact)
    };
    let old = [of("gex", 1, b"old"), of("heatmap", 2, b"old"), of("epoch", 3, b"old")];
    assert!(ledger.over(&old).is_empty());
    assert_eq!(ledger.due(old.to_vec()).len(), 3);
    let heatmap = deliver(&mut ledger, &old[1], 1);
    // The new epoch has gamma exposure and nothing else to say.
    let new = [of("gex", 5, b"new"), of("heatmap", 2, b"old"), of("epoch", 6, b"new")];
    let over = ledger.over(&new);
    assert_eq!(over.iter().map(|a| &*a.header.family).collect::<Vec<_>>(), ["heatmap"]);
    let due = ledger.due(new.to_vec());
    assert!(due.iter().all(|a| a.header.epoch == new[0].header.epoch) && due.len() == 2);
    assert!(ledger.on_bus("SPX", Bus::Market, true).is_empty(), "its loss is no loss");
    assert_eq!(ledger.over(&new).len(), 1, "not told yet");
    ledger.retired(heatmap, 2);
    assert!(ledger.over(&new).is_empty());
    // It speaks again.
    let again = [of("heatmap", 7, b"new"), of("epoch", 6, b"new")];
    assert!(ledger.over(&again).is_empty());
    assert_eq!(ledger.due(again.to_vec()).len(), 2);
}
