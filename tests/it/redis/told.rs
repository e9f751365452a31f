//! An outage as an operator sees it: one line when it begins, one when it ends,
//! and a counter for its kind.

use std::fs::File;

use super::*;
use crate::live::Live;
use crate::support::Orrery;

#[test]
fn an_outage_is_logged_when_it_begins_and_when_it_ends() {
    let (orrery, mut server) = (Orrery::new(), RedisServer::start());
    let url = format!("redis://127.0.0.1:{}", server.port());
    let path = orrery.file("log", "");
    let mut command = orrery.command(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--feed",
        "simulate",
        "--redis",
        &url,
    ]);
    command.stderr(File::create(&path).expect("a file"));
    let live = Live::of(command);
    live.wait_for("/api/models/spot", "I:SPX");
    server.kill();
    live.wait_for("/metrics", "orrery_projector_breaker_market 2");
    std::thread::sleep(Duration::from_millis(1_500));
    server.restart();
    live.wait_for("/metrics", "orrery_projector_breaker_market 0");
    server.run::<()>(&["FLUSHALL"]);
    live.wait_for("/api/models/spot", "I:SPX");
    std::thread::sleep(Duration::from_millis(1_500));
    let (_, metrics) = live.get("/metrics");
    let number = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().parse::<u64>().expect("a number")
    };
    assert!(number("orrery_projector_fault_unreachable ") > 1, "it was tried again");
    assert_eq!(number("orrery_projector_fault_read_only "), 0);
    assert!(number("orrery_projector_lost ") > 0);
    assert_eq!(live.terminate(), 0);
    let log = std::fs::read_to_string(path).expect("the log");
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines("Redis is away"), 1, "{log}");
    assert_eq!(lines("Redis is back"), 1, "{log}");
    assert!(lines("fault=") == 1 && lines("unreachable") == 1, "{log}");
    assert!((1..=2).contains(&lines("Redis has lost what it held")), "{log}");
}
