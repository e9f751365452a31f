//! Documents rendered in this process: the embedded default, without a server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use orrery_replay::artifact::Artifact;
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{UPDATES_WAITING, Update, is_told_whole};
use crate::projector::registry::{Bus, Kind};
use crate::projector::render::{self, Held, Write};
use crate::shelf::{Shelf, ShelfKey};

/// Follows a shelf.
pub struct Local {
    inner: Arc<Inner>,
    _stop: DropGuard,
}

struct Inner {
    shelf: Arc<Shelf>,
    state: Mutex<State>,
    updates: broadcast::Sender<Update>,
}

#[derive(Default)]
struct State {
    /// By bus and key.
    documents: BTreeMap<(Bus, String), Bytes>,
    rendered: BTreeMap<ShelfKey, Rendered>,
}

struct Rendered {
    artifact: Arc<Artifact>,
    paired: u64,
    stamp_us: i64,
}

impl Local {
    pub(super) fn follow(shelf: Arc<Shelf>) -> Local {
        let updates = broadcast::Sender::new(UPDATES_WAITING);
        let inner = Arc::new(Inner { shelf, state: Mutex::default(), updates });
        let stop = CancellationToken::new();
        let (task, stopped) = (inner.clone(), stop.clone());
        tokio::spawn(async move {
            let mut changes = task.shelf.changes();
            loop {
                changes.borrow_and_update();
                drop(task.refreshed());
                tokio::select! {
                    () = stopped.cancelled() => return,
                    _ = changes.changed() => {}
                }
            }
        });
        Local { inner, _stop: stop.drop_guard() }
    }

    pub(super) fn get(&self, bus: Bus, key: &str) -> Option<Bytes> {
        self.inner.refreshed().documents.get(&(bus, key.to_owned())).cloned()
    }

    pub(super) fn keys(&self, bus: Bus, prefix: &str) -> Vec<String> {
        let state = self.inner.refreshed();
        let keys = state.documents.keys().filter(|(b, key)| *b == bus && key.starts_with(prefix));
        keys.map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn updates(&self) -> broadcast::Receiver<Update> {
        self.inner.updates.subscribe()
    }
}

impl Inner {
    /// The state, brought up to the shelf: whoever asks sees the newest, even
    /// if the following task has not run yet.
    fn refreshed(&self) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut updates = Vec::new();
        for artifact in self.shelf.all() {
            state.take(artifact, &self.shelf, &mut updates);
        }
        for update in updates {
            // Nobody listening is fine.
            let _ = self.updates.send(update);
        }
        state
    }
}

impl State {
    fn take(&mut self, artifact: Arc<Artifact>, shelf: &Shelf, updates: &mut Vec<Update>) {
        let header = &artifact.header;
        let key = (header.symbol.clone(), header.family.clone());
        let gravity = match &*header.family {
            "context" => shelf.latest(&header.symbol, "gravity").map(|a| a.header.version),
            _ => None,
        };
        let paired = gravity.unwrap_or(0);
        let before = self.rendered.get(&key);
        if before.is_some_and(|b| (b.artifact.header.version, b.paired) >= (header.version, paired))
        {
            return;
        }
        let held = Held {
            last: before.map(|b| (b.artifact.header.version, b.stamp_us)),
            tiles: before.map(|b| &*b.artifact.body),
            gravity,
            ..Held::default()
        };
        let mut stamp_us = 0;
        match render::documents(&artifact, &held) {
            Ok(rendering) => {
                stamp_us = rendering.stamp_us;
                for put in rendering.puts.into_iter().filter(|put| put.write == Write::Replace) {
                    if is_told_whole(&put.key) {
                        let channel = put.key.to_string();
                        updates.push(Update { channel, payload: put.value.clone() });
                    }
                    let place = (put.key.entry().bus, put.key.to_string());
                    self.documents.insert(place, put.value);
                }
                for publish in rendering.publishes {
                    debug_assert_eq!(publish.channel.entry().kind, Kind::Channel);
                    let channel = publish.channel.to_string();
                    updates.push(Update { channel, payload: publish.payload });
                }
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                let (symbol, family) = (&*key.0, &*key.1);
                tracing::warn!(symbol, family, error, "artifact cannot be delivered");
            }
        }
        // Also after an error: it would not become better by trying again.
        self.rendered.insert(key, Rendered { artifact, paired, stamp_us });
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::{Address, RecvTime, Seq};
    use orrery_replay::artifact::Header;
    use serde_json::{Value, json};

    use super::super::Documents;
    use super::*;

    fn artifact(family: &str, version: u64, body: &Value) -> Artifact {
        let body = Bytes::from(body.to_string());
        let header = Header {
            symbol: "SPX".into(),
            family: family.into(),
            version,
            epoch: None,
            profile: "test/one@1".into(),
            configuration: Address::default(),
            seq_first: Seq(1),
            seq_last: Seq(version),
            created_at: RecvTime(1_770_388_200_000_000_000),
            content: Address::of(&body),
            body_len: body.len() as u64,
            previous: Address::default(),
        };
        Artifact { header, body }
    }

    fn spot(version: u64, price: f64) -> Artifact {
        artifact(
            "spot",
            version,
            &json!({"symbol": "I:SPX", "value": price, "at": "", "source": "index"}),
        )
    }

    #[tokio::test]
    async fn what_stands_on_the_shelf_can_be_read_at_once() {
        let shelf = Arc::new(Shelf::default());
        let documents = Documents::local(shelf.clone());
        let key = "massive:model:spot:I:SPX";
        assert_eq!(documents.get(Bus::Market, key).await.expect("local"), None);
        shelf.place(spot(1, 6540.5));
        let document = documents.get(Bus::Market, key).await.expect("local").expect("placed");
        let document: Value = serde_json::from_slice(&document).expect("JSON");
        assert_eq!((&document["value"], &document["version"]), (&json!(6540.5), &json!(1)));
        let keys = documents.keys(Bus::Market, "massive:model:spot:").await.expect("local");
        assert_eq!(keys, [key], "no trail");
        assert_eq!(documents.get(Bus::System, key).await.expect("local"), None, "another bus");
    }

    #[tokio::test]
    async fn updates_carry_documents_differences_and_events() {
        let shelf = Arc::new(Shelf::default());
        let documents = Documents::local(shelf.clone());
        let mut updates = documents.updates();
        let heatmap = |version, tiles: Value| {
            artifact(
                "heatmap",
                version,
                &json!({"symbol": "I:SPX", "dtes_available": [0],
                "dte_tile_counts": {}, "tiles": tiles}),
            )
        };
        shelf.place(heatmap(1, json!({"a": 1, "b": 2})));
        assert!(documents.get(Bus::Market, "x").await.expect("local").is_none());
        shelf.place(heatmap(2, json!({"b": 3})));
        shelf.place(spot(1, 1.5));
        let mut seen = BTreeMap::new();
        while seen.len() < 3 {
            let update = updates.recv().await.expect("an update");
            seen.insert(update.channel, update.payload);
        }
        let diff: Value =
            serde_json::from_slice(&seen["massive:heatmap:diff:I:SPX"]).expect("JSON");
        assert_eq!((&diff["changed"], &diff["removed"]), (&json!({"b": 3}), &json!(["a"])));
        assert!(seen.contains_key("massive:model:spot:I:SPX"));
        assert!(seen.contains_key("orrery:{SPX}:events"));
        assert!(!seen.contains_key("massive:heatmap:model:I:SPX:latest"), "it has a channel");
    }
}
