//! Sessions of a running server: beside a live feed, from the command line, and
//! into a real Redis.

use std::collections::BTreeMap;

use orrery::projector::registry::RegisteredKey;
use orrery_journal::units::Address;

use crate::live::Live;
use crate::support::Orrery;
use crate::support::redis::RedisServer;

/// A minute of a simulated session, closed.
fn recorded() -> Orrery {
    let orrery = Orrery::new();
    orrery.run(&["demo", "--exit", "--minutes", "1"]).expect(0);
    orrery
}

#[test]
fn the_command_line_plays_the_same_with_and_without_a_server() {
    let orrery = recorded();
    let range =
        ["--from", "1000", "--to", "5000", "--speed", "max", "--family", "gex,spot,context"];
    let mut args = vec!["play"];
    args.extend(range);
    let alone = orrery.run(&args).expect(0);
    assert!(alone.stdout.lines().count() > 20, "{alone:#?}");
    let again = orrery
        .run(&[
            "play",
            "--from",
            "1000",
            "--to",
            "5000",
            "--speed",
            "60",
            "--gap-cap",
            "1s",
            "--family",
            "gex,spot,context",
            "--limit",
            "15",
        ])
        .expect(0);
    let first: Vec<&str> = alone.stdout.lines().take(15).collect();
    assert_eq!(again.stdout.lines().collect::<Vec<_>>(), first, "a paced clock changes no line");

    // A server that journals a live feed meanwhile.
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "3"]);
    let mut args = vec!["session", "create"];
    args.extend(range);
    args.push("--play");
    let created = orrery.run(&args).expect(0);
    assert!(created.stdout.contains("session-1"), "{created:#?}");
    let watched = orrery
        .run(&["session", "watch", "session-1", "--after", "0", "--hold", "--until-still"])
        .expect(0);
    assert_eq!(watched.stdout, alone.stdout, "{}", watched.stderr);
    assert!(watched.stderr.contains("ended at event 5000"), "{}", watched.stderr);

    let refused = orrery.run(&["session", "seek", "session-1", "artifact:gex"]).expect(2);
    assert!(refused.stderr.contains("no gex artifact comes"), "{}", refused.stderr);
    let listed = orrery.run(&["session", "list", "--json"]).expect(0).json();
    assert_eq!((&listed["session"], &listed["seq"]), (&"session-1".into(), &5000.into()));
    assert_eq!(live.terminate(), 0);
}

/// Every key with the hash of what it holds.
fn dump(server: &RedisServer) -> BTreeMap<String, Address> {
    let keys: Vec<String> = server.run(&["KEYS", "*"]);
    let held = |key: &String| Address::of(&server.run::<Vec<u8>>(&["DUMP", key]));
    keys.into_iter().map(|key| (key.clone(), held(&key))).collect()
}

#[test]
fn what_a_session_publishes_stands_apart_and_goes_with_it() {
    let orrery = recorded();
    let listed = orrery.run(&["artifacts", "list", "--json"]).expect(0).json();
    let families = listed.as_array().map_or(0, Vec::len);
    let redis = RedisServer::start();
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let live = Live::start(&orrery, &["--redis", &url]);
    crate::sessions::eventually("the live keys", || {
        let keys: Vec<String> = redis.run(&["KEYS", "orrery:*:artifact:*:meta"]);
        // The pass that stores the last of them is over.
        let idle = live.get("/metrics").1.lines().any(|l| l == "orrery_projector_waiting 0");
        (keys.len() >= families && idle).then_some(())
    });
    let before = dump(&redis);
    let keys = || {
        let all: Vec<String> = redis.run(&["KEYS", "replay:*"]);
        all
    };
    // Unless it is asked to, a session publishes nothing.
    orrery.run(&["session", "create", "--to", "4000", "--speed", "max", "--play"]).expect(0);
    orrery
        .run(&["session", "watch", "session-1", "--after", "0", "--hold", "--until-still"])
        .expect(0);
    assert_eq!(dump(&redis), before);

    let create = ["session", "create", "--to", "4000", "--speed", "max", "--play", "--publish"];
    orrery.run(&create).expect(0);
    orrery
        .run(&["session", "watch", "session-2", "--after", "0", "--hold", "--until-still"])
        .expect(0);
    let wanted = "replay:session-2:massive:heatmap:model:I:SPX:latest";
    crate::sessions::eventually("the session's keys", || {
        keys().contains(&wanted.into()).then_some(())
    });
    for key in keys() {
        assert!(key.starts_with("replay:session-2:"), "{key}");
        assert!(RegisteredKey::parse(&key).is_some(), "{key} is registered");
        let ttl: i64 = redis.run(&["TTL", &key]);
        assert!(ttl > 0, "{key} lives for ever");
    }
    let now: BTreeMap<_, _> =
        dump(&redis).into_iter().filter(|(key, _)| !key.starts_with("replay:")).collect();
    assert_eq!(now, before, "no live key was touched");
    // What it holds is what the session said last, and its event names its keys.
    let text: String = redis.run(&["GET", "replay:session-2:orrery:{SPX}:artifact:gex"]);
    let held: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let (header, live_header) = (&held["header"], {
        let text: String = redis.run(&["GET", "orrery:{SPX}:artifact:gex"]);
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")["header"].clone()
    });
    assert!(header["seq_last"].as_u64() <= Some(4000), "{header}");
    assert!(header["version"].as_u64() < live_header["version"].as_u64(), "{live_header}");

    // Back to the opening: nothing of what lies ahead may stay.
    orrery.run(&["session", "seek", "session-2", "opening"]).expect(0);
    crate::sessions::eventually("an empty prefix", || keys().is_empty().then_some(()));
    orrery.run(&["session", "play", "session-2"]).expect(0);
    crate::sessions::eventually("the keys again", || keys().contains(&wanted.into()).then_some(()));
    orrery.run(&["session", "close", "session-2"]).expect(0);
    crate::sessions::eventually("an empty prefix", || keys().is_empty().then_some(()));
    assert_eq!(live.terminate(), 0);
    let after: BTreeMap<_, _> = dump(&redis);
    assert_eq!(after, before);
}
