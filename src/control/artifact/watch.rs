//! One watcher: catches up from the store, then follows the shelf.
//!
//! It reads at its own pace, so a slow watcher delays nobody and needs no
//! buffer: what it has not seen yet is still in the store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use orrery_proto::v1;
use orrery_proto::v1::watch_artifacts_response::Event;
use orrery_replay::artifact::{Artifact, Header};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::super::calls::Calls;
use super::super::status::{invalid, refusal};
use super::super::{Which, convert};
use crate::shelf::{Shelf, ShelfKey};

/// Selectors of one watcher.
const SELECTORS_MAX: usize = 64;

/// Headers that are read from the store at a time.
const CATCH_UP: usize = 64;

/// The longest that a watcher waits for the store.
const STORE_PATIENCE: Duration = Duration::from_secs(30);

/// What a watcher asked for.
pub struct Watched {
    /// Empty matches everything.
    selectors: Vec<(String, String)>,
    /// Last version that the client has.
    after: BTreeMap<ShelfKey, u64>,
    header_only: bool,
    newest_only: bool,
    heartbeat: Duration,
}

impl Watched {
    pub fn of(asked: &v1::WatchArtifactsRequest) -> Result<Watched, Status> {
        if asked.selectors.len() > SELECTORS_MAX {
            return Err(invalid("selectors", &format!("{SELECTORS_MAX} at most")));
        }
        let mut after = BTreeMap::new();
        let mut selectors = Vec::new();
        for selector in &asked.selectors {
            for (field, text) in [("symbol", &selector.symbol), ("family", &selector.family)] {
                if !text.is_empty() {
                    convert::name(field, text)?;
                }
            }
            if let Some(version) = selector.after_version {
                if selector.symbol.is_empty() || selector.family.is_empty() {
                    return Err(invalid("after_version", "needs symbol and family"));
                }
                let key = (selector.symbol.as_str().into(), selector.family.as_str().into());
                if after.insert(key, version).is_some_and(|other| other != version) {
                    return Err(invalid("selectors", "name one artifact with two versions"));
                }
            }
            selectors.push((selector.symbol.clone(), selector.family.clone()));
        }
        Ok(Watched {
            selectors,
            after,
            header_only: asked.header_only,
            newest_only: asked.newest_only,
            heartbeat: heartbeat(asked.heartbeat)?,
        })
    }

    /// Refuses to resume after versions that do not exist.
    pub async fn check(
        &self,
        calls: &Calls,
        shelf: &Shelf,
        patience: Duration,
    ) -> Result<(), Status> {
        for (key, &after) in &self.after {
            let (symbol, family) = key.clone();
            let on_shelf = shelf.latest(&symbol, &family).map_or(0, |a| a.header.version);
            if on_shelf >= after {
                continue;
            }
            let stored = calls
                .ask(patience, move |b| b.header(&symbol, &family, Which::Latest))
                .await?
                .map_or(0, |header| header.version);
            if stored.max(on_shelf) < after {
                return Err(refusal(
                    Code::OutOfRange,
                    "VERSION_AHEAD",
                    &format!(
                        "{}/{} has no version {after}, the newest is {}: is this another journal?",
                        key.0,
                        key.1,
                        stored.max(on_shelf)
                    ),
                ));
            }
        }
        Ok(())
    }

    fn wants(&self, header: &Header) -> bool {
        let matches = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
        self.selectors.is_empty()
            || self
                .selectors
                .iter()
                .any(|(s, f)| matches(s, &header.symbol) && matches(f, &header.family))
    }
}

fn heartbeat(asked: Option<prost_types::Duration>) -> Result<Duration, Status> {
    let Some(asked) = asked else { return Ok(Duration::from_secs(15)) };
    Duration::try_from(asked)
        .ok()
        .filter(|d| (Duration::from_secs(1)..=Duration::from_secs(300)).contains(d))
        .ok_or_else(|| invalid("heartbeat", "lies between 1 s and 300 s"))
}

/// Why a watcher ends.
enum End {
    /// The client went away.
    Gone,
    /// Something that the client is told.
    Told(Status),
}

/// A watcher at work.
pub struct Watch {
    pub watched: Watched,
    pub calls: Calls,
    pub shelf: Arc<Shelf>,
    pub shutdown: CancellationToken,
    pub out: mpsc::Sender<Result<v1::WatchArtifactsResponse, Status>>,
}

impl Watch {
    pub async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        let out = self.out.clone();
        let end = tokio::select! {
            end = self.follow() => end,
            () = shutdown.cancelled() => {
                End::Told(refusal(Code::Unavailable, "SHUTDOWN", "the server is stopping; resume elsewhere or later"))
            }
            () = out.closed() => End::Gone,
        };
        if let End::Told(status) = end {
            // A client that does not read any more must not hold up the end.
            let _ = tokio::time::timeout(Duration::from_millis(200), out.send(Err(status))).await;
        }
    }

    async fn follow(&mut self) -> End {
        let mut changes = self.shelf.changes();
        let mut beats = 0;
        loop {
            // Marked as seen before the shelf is read: a change that comes
            // while we read wakes us again.
            changes.borrow_and_update();
            if let Err(end) = self.send_news().await {
                return end;
            }
            loop {
                match tokio::time::timeout(self.watched.heartbeat, changes.changed()).await {
                    Ok(Ok(())) => break,
                    Ok(Err(_)) => {
                        return End::Told(Status::unavailable("nothing more will be published"));
                    }
                    Err(_) => {
                        beats += 1;
                        let beat = Event::Heartbeat(v1::Heartbeat { number: beats });
                        if let Err(end) = self.send(beat).await {
                            return end;
                        }
                    }
                }
            }
        }
    }

    /// Sends what is on the shelf and was not sent yet, with what lies between.
    async fn send_news(&mut self) -> Result<(), End> {
        for newest in self.shelf.all() {
            if !self.watched.wants(&newest.header) {
                continue;
            }
            let key = (newest.header.symbol.clone(), newest.header.family.clone());
            let version = newest.header.version;
            let sent = self.watched.after.get(&key).copied();
            match sent {
                Some(sent) if sent >= version => continue,
                Some(sent) if !self.watched.newest_only => {
                    let last = self.send_between(&key, sent, version).await?;
                    self.send_artifact(&newest, version.saturating_sub(last + 1)).await?;
                }
                Some(sent) => self.send_artifact(&newest, version - sent - 1).await?,
                None => self.send_artifact(&newest, 0).await?,
            }
            self.watched.after.insert(key, version);
        }
        Ok(())
    }

    /// Sends the versions between two, as far as the store has them; returns
    /// the last one that was sent.
    async fn send_between(&self, key: &ShelfKey, after: u64, before: u64) -> Result<u64, End> {
        let mut last = after;
        while last + 1 < before {
            let (symbol, family) = key.clone();
            let from = last + 1;
            let limit = CATCH_UP.min(usize::try_from(before - from).unwrap_or(CATCH_UP));
            let headers = self
                .calls
                .ask(STORE_PATIENCE, move |b| b.headers(&symbol, &family, from, limit))
                .await
                .map_err(End::Told)?;
            let known = last;
            for header in headers {
                if header.version <= last || header.version >= before {
                    continue;
                }
                let body = if self.watched.header_only {
                    Bytes::new()
                } else {
                    let wanted = header.clone();
                    self.calls
                        .ask(STORE_PATIENCE, move |b| b.body(&wanted))
                        .await
                        .map_err(End::Told)?
                };
                let skipped = header.version - last - 1;
                last = header.version;
                self.send_artifact(&Artifact { header, body }, skipped).await?;
            }
            if last == known {
                break;
            }
        }
        Ok(last)
    }

    async fn send_artifact(&self, artifact: &Artifact, skipped: u64) -> Result<(), End> {
        let body = if self.watched.header_only { Bytes::new() } else { artifact.body.clone() };
        let Header { symbol, family, version, .. } = &artifact.header;
        // Looked up once there is room, so that it says how slow the client is.
        let room = self.out.reserve().await.map_err(|_| End::Gone)?;
        let newest = self.shelf.latest(symbol, family).map_or(0, |a| a.header.version);
        room.send(Ok(v1::WatchArtifactsResponse {
            event: Some(Event::Artifact(v1::WatchedArtifact {
                artifact: Some(v1::Artifact {
                    header: Some(convert::header(&artifact.header)),
                    body,
                }),
                skipped,
                behind: newest.saturating_sub(*version),
            })),
        }));
        Ok(())
    }

    async fn send(&self, event: Event) -> Result<(), End> {
        self.out
            .send(Ok(v1::WatchArtifactsResponse { event: Some(event) }))
            .await
            .map_err(|_| End::Gone)
    }
}
