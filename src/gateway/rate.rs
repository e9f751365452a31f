//! How often one client may do what is written down for ever.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Clients that are remembered. When there are more, those that have been quiet
/// the longest are forgotten, which can only give them more.
const CLIENTS_MAX: usize = 4096;

const MINUTE_MS: i64 = 60_000;

/// A bucket for each client: full at first, filled again evenly.
#[derive(Debug)]
pub struct Rate {
    per_minute: u32,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Tokens times [`MINUTE_MS`].
    level: i64,
    at_ms: i64,
}

impl Rate {
    /// So many in a minute, and as many at once.
    pub const fn new(per_minute: u32) -> Rate {
        Rate { per_minute, buckets: Mutex::new(BTreeMap::new()) }
    }

    /// Takes one for a client, or says after how many seconds there will be one.
    pub fn take(&self, client: &str, now_ms: i64) -> Result<(), u32> {
        let full = i64::from(self.per_minute) * MINUTE_MS;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CLIENTS_MAX && !buckets.contains_key(client) {
            let quietest =
                buckets.iter().min_by_key(|(_, b)| b.at_ms).map(|(name, _)| name.clone());
            quietest.and_then(|name| buckets.remove(&name));
        }
        let fresh = Bucket { level: full, at_ms: now_ms };
        let bucket = buckets.entry(client.to_owned()).or_insert(fresh);
        // A clock that was put back fills nothing.
        let passed = now_ms.saturating_sub(bucket.at_ms).max(0);
        let filled = passed.saturating_mul(i64::from(self.per_minute));
        *bucket = Bucket { level: bucket.level.saturating_add(filled).min(full), at_ms: now_ms };
        if bucket.level >= MINUTE_MS {
            bucket.level -= MINUTE_MS;
            return Ok(());
        }
        let missing = MINUTE_MS - bucket.level;
        let seconds = missing / i64::from(self.per_minute.max(1)) / 1000 + 1;
        Err(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_share_and_costs_no_other() {
        let rate = Rate::new(2);
        assert_eq!([rate.take("a", 0), rate.take("a", 0)], [Ok(()), Ok(())]);
        assert_eq!(rate.take("a", 0), Err(31), "one comes back each half minute");
        assert_eq!(rate.take("b", 0), Ok(()));
        assert_eq!(rate.take("a", 29_000), Err(2));
        assert_eq!(rate.take("a", 30_000), Ok(()));
        assert_eq!(rate.take("a", 20_000), Err(31), "a clock that was put back fills nothing");
    }

    #[test]
    fn a_crowd_of_clients_is_forgotten_from_the_quietest_on() {
        let rate = Rate::new(1);
        for n in 0..CLIENTS_MAX as i64 + 10 {
            assert_eq!(rate.take(&format!("client {n}"), n), Ok(()));
        }
        let buckets = rate.buckets.lock().expect("not poisoned");
        assert_eq!(buckets.len(), CLIENTS_MAX);
        assert!(!buckets.contains_key("client 0") && buckets.contains_key("client 100"));
    }
}
