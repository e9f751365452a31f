//! How long GET, SET and PUBLISH take, as measured from here.
//!
//! The probe is a registered key of a replay session that nobody plays: it
//! expires, no client reads it, and nobody subscribes to its channel.

use serde::Serialize;
use tokio::time::Instant;

use super::InspectError;
use super::bus::Server;
use super::namespace::PROBE_SESSION;
use crate::projector::registry::{Name, Prefix, RegisteredKey};

/// Bytes that are set and read: about what a view's document has.
const PROBE_BYTES: usize = 1024;
/// The probe's lifetime, should it not be deleted.
const PROBE_TTL_SECONDS: u32 = 10;
/// Symbols that are tried until one lies on the node that is measured.
const PROBES_MAX: u32 = 1_000;

/// Round trips of one command, microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub samples: u64,
    /// Half of them were at most this long.
    pub p50_us: u64,
    /// 95 of 100.
    pub p95_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// The three commands that delivery is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Latencies {
    /// A document of 1 KiB is read.
    pub get: Latency,
    /// A document of 1 KiB is stored.
    pub set: Latency,
    /// A message of 1 KiB is published.
    pub publish: Latency,
}

impl Latency {
    fn of(mut micros: Vec<u64>) -> Latency {
        micros.sort_unstable();
        // The smallest value that at least this share does not exceed.
        let at = |percent: usize| {
            let rank = (micros.len() * percent).div_ceil(100).max(1);
            micros.get(rank - 1).copied().unwrap_or(0)
        };
        Latency {
            samples: micros.len() as u64,
            p50_us: at(50),
            p95_us: at(95),
            p99_us: at(99),
            max_us: micros.last().copied().unwrap_or(0),
        }
    }
}

/// Key and channel of the probe; of the first symbol whose key is held.
fn probe(holds: impl Fn(&str) -> bool) -> Option<(RegisteredKey, RegisteredKey)> {
    let prefix = Prefix::of_session(PROBE_SESSION)?;
    (0..PROBES_MAX).find_map(|n| {
        let symbol = format!("PROBE{n}");
        let key = Name::Artifact.key_of(&symbol, "probe").ok()?.under(&prefix);
        let channel = Name::Events.key_of(&symbol, "probe").ok()?.under(&prefix);
        holds(key.as_str()).then_some((key, channel))
    })
}

/// One after another, so that no command waits for the one before.
pub(super) async fn measure(
    server: &mut Server,
    samples: u32,
) -> Result<Option<Latencies>, InspectError> {
    let found = probe(|key| server.holds(key)).filter(|_| samples > 0);
    let Some((key, channel)) = found else { return Ok(None) };
    let value = vec![b'x'; PROBE_BYTES];
    let mut set = redis::cmd("SET");
    set.arg(key.as_str()).arg(&value).arg("EX").arg(PROBE_TTL_SECONDS);
    let mut get = redis::cmd("GET");
    get.arg(key.as_str());
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(channel.as_str()).arg(&value);
    let mut times = [const { Vec::new() }; 3];
    // The first of each pays for what is cold.
    for round in 0..=samples {
        for (cmd, times) in [&set, &get, &publish].into_iter().zip(&mut times) {
            let begun = Instant::now();
            server.ask::<redis::Value>(cmd).await?;
            if round > 0 {
                times.push(begun.elapsed().as_micros() as u64);
            }
        }
    }
    server.ask::<redis::Value>(redis::cmd("UNLINK").arg(key.as_str())).await?;
    let [set, get, publish] = times.map(Latency::of);
    Ok(Some(Latencies { get, set, publish }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let latency = Latency::of((1..=200).rev().collect());
        assert_eq!((latency.p50_us, latency.p95_us, latency.p99_us), (100, 190, 198));
        assert_eq!((latency.max_us, latency.samples), (200, 200));
        assert_eq!(Latency::of(vec![7]).p99_us, 7);
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }

    #[test]
    fn the_probe_is_registered_and_out_of_every_readers_way() {
        let (key, channel) = probe(|_| true).expect("a probe");
        for name in [key.as_str(), channel.as_str()] {
            assert!(name.starts_with("replay:"), "{name}");
            assert!(RegisteredKey::parse(name).is_some(), "{name}");
        }
        assert!(key.ttl_seconds() > 0);
    }
}
