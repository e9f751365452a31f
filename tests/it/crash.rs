//! `kill -9` during an import: what was acknowledged is there, the journal is
//! whole, and repeating the import comes to the same end.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::Orrery;

const KILLS: usize = 50;

/// Splitmix: kills at other moments in every place, at the same ones in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// A capture that the test makes: quotes of a few contracts over an hour.
fn capture(lines: usize) -> String {
    let mut random = Random(7);
    let mut out = String::new();
    for n in 0..lines {
        let strike = 6_500 + 5 * random.below(40);
        let bid = 1.0 + random.below(900) as f64 / 100.0;
        let t = 1_773_671_400_000u64 + n as u64 * 20;
        let _ = writeln!(
            out,
            "{{\"ev\":\"Q\",\"sym\":\"O:SPXW260316C{:08}\",\"bx\":302,\"ax\":302,\"bp\":{bid},\"ap\":{},\"bs\":{},\"as\":{},\"t\":{t},\"q\":{n}}}",
            strike * 1000,
            bid + 0.25,
            1 + random.below(50),
            1 + random.below(50),
        );
    }
    out
}

/// Imports until the moment comes; returns the last acknowledged seq and
/// whether the import came to its end before.
fn import_and_kill(orrery: &Orrery, file: &Path, after: Option<Duration>) -> (u64, bool) {
    let mut child = orrery
        .command(&["import", "--batch", "200", "--acks", file.to_str().expect("UTF-8")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let reader = std::thread::spawn(move || {
        let mut last = 0;
        for line in stdout.lines().map_while(Result::ok) {
            if let Some(seq) = line.strip_prefix("acknowledged ").and_then(|s| s.parse().ok()) {
                last = seq;
            }
        }
        last
    });
    if let Some(after) = after {
        std::thread::sleep(after);
        child.kill().expect("a child to kill");
    }
    let output = child.wait_with_output().expect("an end");
    let acknowledged = reader.join().expect("the reader ends");
    if after.is_none() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    (acknowledged, output.status.success())
}

fn days(orrery: &Orrery) -> Value {
    orrery.run(&["days", "--json"]).expect(0).json()
}

#[test]
fn fifty_kills_lose_nothing_acknowledged() {
    let text = capture(60_000);
    let reference = Orrery::new();
    let file = reference.file("ticks.ndjson", &text);
    import_and_kill(&reference, &file, None);
    let whole = days(&reference);

    let mut random = Random(42);
    let mut kills = 0;
    let mut rounds = 0;
    while kills < KILLS {
        rounds += 1;
        assert!(rounds <= 20 * KILLS, "the import ends before it can be killed");
        let orrery = Orrery::new();
        let file = orrery.file("ticks.ndjson", &text);
        let mut held = 0u64;
        loop {
            let after = Duration::from_micros(20_000 + random.below(250_000));
            let (acknowledged, ended) = import_and_kill(&orrery, &file, Some(after));
            if ended {
                break;
            }
            kills += 1;
            if !orrery.data().join("journal").exists() {
                assert_eq!(acknowledged, 0, "acknowledged without a journal");
                continue;
            }
            let verified = orrery.run(&["verify", "--json"]).expect(0).json();
            let events = verified["events"].as_u64().expect("a count");
            assert!(events >= acknowledged, "{acknowledged} acknowledged, {events} found");
            assert!(events >= held, "an event that was there is gone");
            held = events;
            if kills >= KILLS {
                break;
            }
        }
        import_and_kill(&orrery, &file, None);
        assert_eq!(days(&orrery), whole, "the repeated import comes to the same end");
    }
}
