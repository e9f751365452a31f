//! The literal design: Redis is the state. Each tick is HSET of its contract and
//! SADD to the dirty ones; a loop takes the dirty ones, reads their hashes,
//! computes, stores and announces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::figures::{Figures, covered};
use crate::pace::{Pace, tick, ticker};
use crate::server::Redis;

const DIRTY: &str = "epoch:1:heatmap:dirty_contracts";
const MODEL: &str = "mmaker:heatmap:model";

pub struct Literal {
    pub visible: Figures,
    pub versions: f64,
    pub redis_cpu: f64,
}

/// `durable`: Redis syncs its log before it answers, so that a tick is as safe as
/// with us; otherwise nothing is written to disk.
pub fn run(rate: u64, time: Duration, durable: bool) -> Literal {
    let redis = Redis::start(durable);
    let pace = Pace::new(rate, time);
    let reached = |payload: &[u8]| std::str::from_utf8(payload).ok()?.parse().ok();
    let listening = redis.listen(MODEL, reached, pace.ticks);
    let stop = Arc::new(AtomicBool::new(false));
    let looping = {
        let (mut connection, stop) = (redis.client().get_connection().unwrap(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut state = BTreeMap::new();
            while !stop.load(Ordering::Acquire) {
                step(&mut connection, &mut state);
            }
            step(&mut connection, &mut state);
        })
    };
    let names: Vec<String> = (0..crate::CONTRACTS).map(ticker).collect();
    let mut connection = redis.client().get_connection().unwrap();
    pace.run(|due| {
        let mut pipeline = redis::pipe();
        for n in due {
            let (contract, price) = tick(n);
            let name = &names[contract];
            let key = format!("epoch:1:heatmap:contract:{name}");
            pipeline.cmd("HSET").arg(key).arg("last_price").arg(price);
            pipeline.arg("last_trade_ts").arg(n + 1).arg("flow").arg(1).ignore();
            pipeline.cmd("SADD").arg(DIRTY).arg(name).ignore();
        }
        pipeline.query::<()>(&mut connection).unwrap();
    });
    stop.store(true, Ordering::Release);
    looping.join().unwrap();
    let seen = listening.join().unwrap();
    let due: Vec<(u64, Instant)> = (0..pace.ticks).map(|n| (n + 1, pace.due(n))).collect();
    Literal {
        visible: covered(&due, &seen),
        versions: seen.len() as f64 / time.as_secs_f64(),
        redis_cpu: redis.cpu(),
    }
}

/// Takes what is dirty, reads it, computes, stores, announces how far it came.
fn step(connection: &mut redis::Connection, state: &mut BTreeMap<String, i64>) {
    let mut flip = redis::pipe();
    flip.atomic().cmd("SMEMBERS").arg(DIRTY).cmd("DEL").arg(DIRTY).ignore();
    let (dirty,): (Vec<String>,) = flip.query(connection).unwrap();
    if dirty.is_empty() {
        // No cadence: it looks again at once, but leaves room for the others.
        std::thread::sleep(Duration::from_micros(200));
        return;
    }
    let mut pull = redis::pipe();
    for name in &dirty {
        let key = format!("epoch:1:heatmap:contract:{name}");
        pull.cmd("HMGET").arg(key).arg("last_price").arg("last_trade_ts");
    }
    let hashes: Vec<(i64, u64)> = pull.query(connection).unwrap();
    let reached = hashes.iter().map(|(_, n)| *n).max().unwrap_or(0);
    for (name, (price, _)) in dirty.into_iter().zip(hashes) {
        state.insert(name, price);
    }
    let sum: i64 = state.values().sum();
    let model = format!("{{\"symbol\":\"I:SPX\",\"value\":{reached},\"sum\":{sum}}}");
    let mut publish = redis::pipe();
    publish.cmd("SET").arg(MODEL).arg(model).ignore();
    publish.cmd("PUBLISH").arg(MODEL).arg(reached.to_string()).ignore();
    publish.query::<()>(connection).unwrap();
}
