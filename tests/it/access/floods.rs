//! Floods against a live server, a moment each; `cargo bench --bench sse --
//! floods` goes on for a minute.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::live::Live;
use crate::support::Orrery;
use crate::support::flood::{ALL, resident};

/// How long each flood lasts.
const LASTS: Duration = Duration::from_millis(1500);
/// Connections that each of two floods holds open: together more than may be.
const HELD: usize = 300;
/// What a flood may cost.
const BYTES_MAX: u64 = 128 << 20;

#[test]
fn floods_change_nothing_for_what_comes_in_and_cost_little() {
    let orrery = Orrery::new();
    let mut command = orrery.command(&["serve", "--feed", "simulate", "--listen", "127.0.0.1:0"]);
    command.args(["--connections-per-client", "400"]);
    // Development builds have h2 assert what a connection that breaks off does not
    // keep; to print where would take more memory than all floods together.
    let log = orrery.file("log", "");
    let told = std::fs::File::create(&log).expect("a file");
    command.env("RUST_BACKTRACE", "0").stderr(Stdio::from(told));
    let live = Live::of(command);
    live.wait_for("/api/models/spot", "I:SPX");
    let address = live.url.trim_start_matches("http://").parse().expect("an address");
    let before = resident(live.pid());
    assert!(before > 0, "the process is there");
    for flood in ALL {
        let (from, since) = (events(&live), Instant::now());
        let poured = std::thread::scope(|scope| {
            let until = Instant::now() + LASTS;
            let pouring = [(); 2].map(|()| scope.spawn(move || flood.pour(address, until, HELD)));
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
    let told = std::fs::read_to_string(&log).expect("a log");
    let warned = told.lines().filter(|line| line.contains(" WARN ")).count();
    assert!((1..100).contains(&warned), "said once, and counted: {warned} lines");
    let (status, metrics) = live.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("orrery_gateway_connections"), "{metrics}");
    assert_eq!(live.terminate(), 0, "it ends as if nothing had been");
    orrery.run(&["verify"]).expect(0);
}

/// Last durable event. The door may be full for a moment after a flood.
fn events(live: &Live) -> f64 {
    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
    let since = Instant::now();
    loop {
        let answer = agent.get(format!("{}/metrics", live.url)).call();
        let text = answer.ok().and_then(|mut a| a.body_mut().read_to_string().ok());
        let text = text.unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("orrery_journal_seq "));
        if let Some(head) = line.and_then(|n| n.parse().ok()) {
            return head;
        }
        assert!(since.elapsed() < Duration::from_secs(10), "no head: {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
