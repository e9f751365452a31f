//! How long from a durable tick until a subscriber of Redis and a client of SSE
//! have what follows from it, at 1,000, 10,000 and 50,000 ticks a second; beside
//! the literal design (a hash and a set member for each tick, a loop over what is
//! dirty), and beside the disk's own fdatasync, in one run.
//!
//! `cargo bench --bench delivery` prints p50, p99 and p999 and the ratios;
//! `--seconds N` (10), `--rate N`. Both sides compute the same small document over
//! 2,000 contracts: the last prices' sum. Ours is the product from the journal to
//! the listener: append, sync, fold, artifact kept, rendered, stored and announced
//! in Redis, read by the gateway, sent. Its fold has a cadence of 1 ms, which is in
//! the figures; the literal loop has none. The literal design keeps no tick: its
//! Redis writes nothing to disk, which favours it.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod figures;
mod literal;
mod ours;
mod pace;
mod server;

use std::time::Duration;

use figures::Figures;

/// Contracts that ticks are about.
pub const CONTRACTS: usize = 2_000;

/// Goals of p50, as a multiple of fdatasync's, and of p99 at 50,000 ticks/s.
const GOAL_P50: f64 = 3.0;
const GOAL_P99_MS: f64 = 10.0;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.get(at + 1)?.parse::<u64>().ok()
    };
    let smoke = args.iter().any(|a| a == "--test");
    let seconds = Duration::from_secs(number("--seconds").unwrap_or(if smoke { 1 } else { 10 }));
    let rates = match (number("--rate"), smoke) {
        (Some(rate), _) => vec![rate],
        (None, true) => vec![1_000],
        (None, false) => vec![1_000, 10_000, 50_000],
    };
    println!("milliseconds; {} s at each rate, {CONTRACTS} contracts", seconds.as_secs());
    println!("{:<44} {:>9} {:>9} {:>9} {:>9}", "", "p50", "p99", "p999", "max");
    for rate in rates {
        let disk = figures::disk(Duration::from_secs(if smoke { 1 } else { 3 }));
        let ours = ours::run(rate, seconds);
        let literal = literal::run(rate, seconds, false);
        let safe = literal::run(rate, seconds, true);
        println!("{rate} ticks/s");
        let row = |what: &str, figures: &Figures| {
            let [p50, p99, p999, max] = figures.row();
            println!("  {what:<42} {p50:>9.3} {p99:>9.3} {p999:>9.3} {max:>9.3}");
        };
        row("fdatasync of 4 KiB", &disk);
        row("ours: received to durable", &ours.durable);
        row("ours: durable to visible in Redis", &ours.redis_after);
        row("ours: durable to received over SSE", &ours.sse_after);
        row("ours: received to visible in Redis", &ours.redis);
        row("ours: received to received over SSE", &ours.sse);
        row("literal in memory: received to visible", &literal.visible);
        row("literal, synced: received to visible", &safe.visible);
        println!(
            "  versions a second: ours {:.0}, literal {:.0}, synced {:.0}; CPU of Redis: ours {:.2} \
             s, literal {:.2} s, synced {:.2} s",
            ours.versions,
            literal.versions,
            safe.versions,
            ours.redis_cpu,
            literal.redis_cpu,
            safe.redis_cpu
        );
        let mine = ours.redis.row();
        for (what, theirs) in [("in memory", &literal), ("synced", &safe)] {
            let [p50, p99, p999, _] = theirs.visible.row();
            println!(
                "  literal {what} / ours, received to visible: p50 {:.2}, p99 {:.2}, p999 {:.2}; CPU \
                 of Redis {:.1}",
                p50 / mine[0],
                p99 / mine[1],
                p999 / mine[2],
                theirs.redis_cpu / ours.redis_cpu
            );
        }
        println!(
            "  ours / fdatasync, received to visible: p50 {:.2} (goal {GOAL_P50}); p99 {:.2} ms{}",
            mine[0] / disk.row()[0],
            mine[1],
            if rate == 50_000 { format!(" (goal {GOAL_P99_MS})") } else { String::new() }
        );
    }
}
