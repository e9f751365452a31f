//! Floods against a live server, a moment each; `cargo bench --bench sse --
//! floods` goes on for a minute.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::live::Live;
use crate::support::Orrery;
use crate::support::flood::{ALL, resident};

/// How long each flood lasts.
const LASTS: Duration = Duration::from_millis(1500);
/// What a flood may cost.
const BYTES_MAX: u64 = 128 << 20;

#[test]
fn floods_change_nothing_for_what_comes_in_and_cost_little() {
    let orrery = Orrery::new();
    let mut command = orrery.command(&["serve", "--feed", "simulate", "--listen", "127.0.0.1:0"]);
    // Development builds have h2 assert what a connection that breaks off does not
    // keep; to print where would take more memory than all floods together.
    command.env("RUST_BACKTRACE", "0").stderr(Stdio::null());
    let live = Live::of(command);
    live.wait_for("/api/models/spot", "I:SPX");
    let address = live.url.trim_start_matches("http://").parse().expect("an address");
    let before = resident(live.pid());
    assert!(before > 0, "the process is there");
    for flood in ALL {
        let (from, since) = (events(&live), Instant::now());
        let poured = std::thread::scope(|scope| {
            let until = Instant::now() + LASTS;
            let pouring = [(); 2].map(|()| scope.spawn(move || flood.pour(address, until)));
            pouring.map(|thread| thread.join().expect("it ends"))
        });
        let (took, came) = (since.elapsed().as_secs_f64(), events(&live) - from);
        let requests: u64 = poured.iter().map(|p| p.requests + p.connections).sum();
        assert!(requests > 100, "{flood:?} poured {requests}");
        // A beat each quarter of a second at the least, and batches beside them.
        assert!(came > took * 4.0, "{flood:?}: {came} events in {took} s");
        let grown = resident(live.pid()).saturating_sub(before);
        println!(
            "{flood:?}: {requests} in {took:.1} s; {came:.0} events came in, {grown} bytes more"
        );
        assert!(grown < BYTES_MAX, "{flood:?}: {grown} bytes more");
    }
    let (status, metrics) = live.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("orrery_gateway_connections"), "{metrics}");
    assert_eq!(live.terminate(), 0, "it ends as if nothing had been");
    orrery.run(&["verify"]).expect(0);
}

fn events(live: &Live) -> f64 {
    let (_, metrics) = live.get("/metrics");
    let line = metrics.lines().find_map(|l| l.strip_prefix("orrery_journal_seq "));
    line.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no head: {metrics}"))
}
