//! What a session tells, for any number of watchers.
//!
//! One ring per session, bounded in messages and bytes whatever the watchers do;
//! each watcher has a place in it and nothing else. One that is slower than the
//! ring learns how much it missed. Only whoever asked for it is waited for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orrery_replay::artifact::Artifact;
use orrery_replay::session::Moment;
use tokio::sync::watch;

use super::SessionView;

/// Messages that a session holds for its watchers.
pub const MESSAGES_MAX: usize = 4_096;
/// Bytes of bodies that it holds; the newest message is held whatever its size.
pub const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Something that is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// An artifact, and the moment at which it came out.
    Artifact(Artifact, Moment),
    /// The session was moved.
    State(SessionView),
}

/// What was told, and when in the session's order.
#[derive(Debug)]
pub struct Message {
    /// From 1, without gaps.
    pub number: u64,
    /// What.
    pub told: Told,
}

impl Message {
    fn bytes(&self) -> usize {
        match &self.told {
            Told::Artifact(artifact, _) => artifact.body.len(),
            Told::State(_) => 0,
        }
    }
}

struct Ring {
    held: VecDeque<Arc<Message>>,
    bytes: usize,
    last: u64,
    closed: bool,
    /// Last message taken, of watchers that are waited for.
    waited_for: BTreeMap<u64, u64>,
    watchers: u32,
    opened: u64,
}

/// The ring of one session.
pub struct Feed {
    ring: Mutex<Ring>,
    /// Counts changes; its value means nothing.
    changes: watch::Sender<u64>,
}

impl Default for Feed {
    fn default() -> Feed {
        let ring = Ring {
            held: VecDeque::new(),
            bytes: 0,
            last: 0,
            closed: false,
            waited_for: BTreeMap::new(),
            watchers: 0,
            opened: 0,
        };
        Feed { ring: Mutex::new(ring), changes: watch::Sender::new(0) }
    }
}

impl Feed {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells all watchers.
    pub fn tell(&self, all: impl IntoIterator<Item = Told>) {
        {
            let mut ring = self.ring();
            for told in all {
                ring.last += 1;
                let message = Arc::new(Message { number: ring.last, told });
                ring.bytes += message.bytes();
                ring.held.push_back(message);
                while ring.held.len() > MESSAGES_MAX
                    || (ring.bytes > BYTES_MAX && ring.held.len() > 1)
                {
                    let gone = ring.held.pop_front();
                    ring.bytes -= gone.map_or(0, |m| m.bytes());
                }
            }
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Nothing more will be told.
    pub fn close(&self) {
        self.ring().closed = true;
        self.changes.send_modify(|n| *n += 1);
    }

    /// Whether everybody who is waited for has taken half of what is held.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let ring = self.ring();
        let Some(behind) = ring.waited_for.values().min() else { return true };
        let unread = ring.held.iter().rev().take_while(|m| m.number > *behind);
        let (count, bytes) = unread.fold((0, 0), |(n, b), m| (n + 1, b + m.bytes()));
        count < MESSAGES_MAX / 2 && bytes < BYTES_MAX / 2
    }

    /// How many watch.
    #[must_use]
    pub fn watchers(&self) -> u32 {
        self.ring().watchers
    }

    /// Number of the last message.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.ring().last
    }

    /// A watcher of what comes after a number, or from now on. `None`: nothing
    /// has that number yet.
    #[must_use]
    pub fn watch(self: &Arc<Feed>, after: Option<u64>, hold: bool) -> Option<Watcher> {
        let changes = self.changes.subscribe();
        let mut ring = self.ring();
        let taken = after.unwrap_or(ring.last);
        if taken > ring.last {
            return None;
        }
        ring.watchers += 1;
        ring.opened += 1;
        let id = ring.opened;
        if hold {
            ring.waited_for.insert(id, taken);
        }
        drop(ring);
        Some(Watcher { feed: Arc::clone(self), id, taken, changes })
    }
}

/// What a watcher finds.
#[derive(Debug)]
pub enum Taken {
    /// The next messages.
    Messages(Vec<Arc<Message>>),
    /// So many are gone; the next ones follow.
    Lagged(u64),
    /// None for now.
    Nothing,
    /// None any more.
    End,
}

/// A place in a ring.
pub struct Watcher {
    feed: Arc<Feed>,
    id: u64,
    /// Number of the last message that was taken.
    taken: u64,
    changes: watch::Receiver<u64>,
}

impl Watcher {
    /// Takes up to `most` messages. Never waits.
    pub fn take(&mut self, most: usize) -> Taken {
        // Marked as seen before the ring is read: what is told while we read
        // wakes us again.
        self.changes.borrow_and_update();
        let mut ring = self.feed.ring();
        let first = ring.held.front().map_or(ring.last + 1, |m| m.number);
        if self.taken + 1 < first {
            let missed = first - 1 - self.taken;
            self.taken = first - 1;
            return Taken::Lagged(missed);
        }
        let skip = usize::try_from(self.taken + 1 - first).unwrap_or(usize::MAX);
        let found: Vec<_> = ring.held.iter().skip(skip).take(most).cloned().collect();
        let Some(last) = found.last() else {
            return if ring.closed { Taken::End } else { Taken::Nothing };
        };
        self.taken = last.number;
        let (id, taken) = (self.id, self.taken);
        if let Some(place) = ring.waited_for.get_mut(&id) {
            *place = taken;
        }
        Taken::Messages(found)
    }

    /// What it watches.
    #[must_use]
    pub fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed)
    }

    /// Waits until there may be something to take.
    pub async fn changed(&mut self) {
        // The sender lives in the feed that we hold.
        let _ = self.changes.changed().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut ring = self.feed.ring();
        ring.watchers = ring.watchers.saturating_sub(1);
        let id = self.id;
        ring.waited_for.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use orrery_journal::units::{Address, RecvTime, Seq};
    use orrery_replay::artifact::Header;

    use super::*;

    fn told(version: u64, len: usize) -> Told {
        let header = Header {
            symbol: "SPX".into(),
            family: "gex".into(),
            version,
            epoch: None,
            profile: "gex/naive-oi@1".into(),
            configuration: Address::default(),
            seq_first: Seq(1),
            seq_last: Seq(1),
            created_at: RecvTime(0),
            content: Address::default(),
            body_len: len as u64,
            previous: Address::default(),
        };
        let body = Bytes::from(vec![0; len]);
        Told::Artifact(Artifact { header, body }, Moment { seq: Seq(1), time: RecvTime(0) })
    }

    /// Numbers that a watcher gets until there is nothing more, and how many it
    /// missed.
    fn all(watcher: &mut Watcher, most: usize) -> (Vec<u64>, u64) {
        let (mut numbers, mut missed) = (Vec::new(), 0);
        loop {
            match watcher.take(most) {
                Taken::Messages(found) => numbers.extend(found.iter().map(|m| m.number)),
                Taken::Lagged(n) => missed += n,
                Taken::Nothing | Taken::End => return (numbers, missed),
            }
        }
    }

    #[test]
    fn all_watchers_see_the_same_order_and_a_slow_one_learns_what_it_missed() {
        let feed = Arc::new(Feed::default());
        let (mut quick, mut slow) =
            (feed.watch(None, false).expect("now"), feed.watch(None, false).expect("now"));
        let total = MESSAGES_MAX as u64 + 100;
        let mut seen = Vec::new();
        for version in 1..=total {
            feed.tell([told(version, 10)]);
            seen.extend(all(&mut quick, 7).0);
        }
        assert_eq!(seen, (1..=total).collect::<Vec<_>>());
        let (late, missed) = all(&mut slow, 1_000);
        assert_eq!((missed, late.len()), (100, MESSAGES_MAX));
        assert_eq!(late, seen[100..]);
        assert_eq!(feed.watchers(), 2);
        // Somebody who comes back goes on where it was, as far as that is held.
        assert!(feed.watch(Some(total + 1), false).is_none());
        let mut back = feed.watch(Some(total - 5), false).expect("told");
        assert_eq!(all(&mut back, 2), ((total - 4..=total).collect(), 0));
        feed.close();
        assert!(matches!(back.take(1), Taken::End));
        drop((quick, slow, back));
        assert_eq!(feed.watchers(), 0);
    }

    #[test]
    fn memory_is_bounded_whatever_the_bodies() {
        let feed = Arc::new(Feed::default());
        let mut slow = feed.watch(None, false).expect("now");
        for version in 1..=40 {
            feed.tell([told(version, BYTES_MAX / 10)]);
            assert!(feed.ring().bytes <= BYTES_MAX);
        }
        let (late, missed) = all(&mut slow, 1_000);
        assert_eq!((late.len() as u64 + missed, late.last()), (40, Some(&40)));
        feed.tell([told(41, 2 * BYTES_MAX)]);
        assert_eq!(all(&mut slow, 1), (vec![41], 0), "one that is larger than all is told, too");
    }

    #[test]
    fn only_whoever_asks_for_it_is_waited_for() {
        let feed = Arc::new(Feed::default());
        let idle = feed.watch(None, false).expect("now");
        let mut held = feed.watch(None, true).expect("now");
        let mut count = 0;
        while feed.has_room() {
            count += 1;
            feed.tell([told(count, 1_000)]);
        }
        assert_eq!(count, MESSAGES_MAX as u64 / 2);
        assert_eq!(all(&mut held, 64), ((1..=count).collect(), 0));
        assert!(feed.has_room());
        feed.tell((0..MESSAGES_MAX as u64).map(|n| told(n, 0)));
        assert!(!feed.has_room());
        drop(held);
        assert!(feed.has_room(), "one that went away is not waited for");
        drop(idle);
    }
}
