//! Watching artifacts: a client that is killed goes on where it was, and one
//! that is too slow is told so and delays nobody.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use orrery_proto::v1;
use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
use orrery_proto::v1::watch_artifacts_response::Event;
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::live::Live;
use crate::served::{Served, artifact};
use crate::support::Orrery;

/// Runs a real client process until it has printed so many lines, kills it
/// (SIGKILL), and gives the whole lines that it had printed by then.
fn killed(orrery: &Orrery, args: &[&str], lines: usize) -> Vec<Value> {
    let mut watch = vec!["artifacts", "watch", "--symbol", "SPX", "--family", "heatmap", "--json"];
    watch.extend(args);
    let mut child = orrery.command(&watch).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut told = Vec::new();
    let mut line = String::new();
    while out.read_line(&mut line).expect("text") > 0 {
        if told.len() + 1 == lines {
            child.kill().expect("SIGKILL");
        }
        // What was printed before the end counts; half a line was never told.
        if let Some(whole) = line.strip_suffix('\n') {
            told.push(serde_json::from_str(whole).expect("JSON"));
        }
        line.clear();
    }
    assert!(!child.wait().expect("an end").success(), "it was killed");
    told
}

#[test]
fn a_client_that_is_killed_resumes_without_loss_or_repeat() {
    let orrery = Orrery::new();
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "6"]);
    live.wait_for("/api/models/heatmap/I:SPX", "tiles");
    let mut told = killed(&orrery, &["--after", "0"], 2);
    for round in 0..5 {
        let last = told.last().expect("a line")["version"].as_u64().expect("a version");
        // Versions come out while nobody watches.
        std::thread::sleep(Duration::from_millis(300));
        let after = last.to_string();
        let more = killed(&orrery, &["--after", &after], 1 + round);
        assert!(!more.is_empty());
        told.extend(more);
    }
    let versions: Vec<u64> = told.iter().filter_map(|t| t["version"].as_u64()).collect();
    assert_eq!(versions, (1..=told.len() as u64).collect::<Vec<_>>(), "each once, in order");
    for pair in told.windows(2) {
        assert_eq!(pair[1]["previous"], pair[0]["header"], "each follows the one before");
        assert_eq!(pair[1]["skipped"], 0);
    }
    // A version of the future is another journal's.
    let ahead = ["artifacts", "watch", "--symbol", "SPX", "--family", "heatmap"];
    let ended = orrery.run(&[&ahead[..], &["--after", "1000000"]].concat()).expect(2);
    assert!(ended.stderr.contains("another journal"), "{}", ended.stderr);
    assert_eq!(live.terminate(), 0);
}

#[test]
fn a_slow_watcher_is_told_that_it_lags_and_delays_nobody() {
    const VERSIONS: u64 = 400;
    let served = Served::start();
    let filler = "x".repeat(100_000);
    let publish = |version| {
        let body = json!({ "version": version, "filler": filler });
        served.backend.publish(artifact("SPX", "heatmap", version, &body));
    };
    publish(1);
    served.runtime.block_on(async {
        let channel = Channel::from_shared(served.url("")).expect("an address");
        let mut client = ArtifactServiceClient::new(channel.connect().await.expect("a connection"));
        // A connection of its own, so that it holds up only itself.
        let other = Channel::from_shared(served.url("")).expect("an address");
        let mut slow_client =
            ArtifactServiceClient::new(other.connect().await.expect("a connection"));
        let watch = |header_only, newest_only| v1::WatchArtifactsRequest {
            header_only,
            newest_only,
            ..Default::default()
        };
        let mut fast =
            client.watch_artifacts(watch(true, false)).await.expect("a stream").into_inner();
        let slow = slow_client.watch_artifacts(watch(false, false)).await;
        let mut slow = slow.expect("a stream").into_inner();
        let lazy = slow_client.watch_artifacts(watch(false, true)).await;
        let mut lazy = lazy.expect("a stream").into_inner();
        let told = |message: Option<v1::WatchArtifactsResponse>| {
            let Some(Event::Artifact(told)) = message.expect("no end").event else {
                return None;
            };
            let version = told.artifact.expect("an artifact").header.expect("a header").version;
            Some((version, told.skipped, told.behind))
        };
        // The fast one hears of each version as it comes, while two do not read.
        let start = Instant::now();
        let (mut heard, mut slowest) = (0, Duration::ZERO);
        for version in 1..=VERSIONS {
            if version > 1 {
                publish(version);
            }
            let asked = Instant::now();
            while heard < version {
                if let Some((version, skipped, _)) = told(fast.message().await.expect("no error")) {
                    assert_eq!((version, skipped), (heard + 1, 0));
                    heard = version;
                }
            }
            slowest = slowest.max(asked.elapsed());
        }
        assert!(slowest < Duration::from_secs(2), "{slowest:?} of {:?}", start.elapsed());
        // The slow one misses nothing, and hears how far it lags.
        let (mut last, mut most) = (0, 0);
        while last < VERSIONS {
            if let Some((version, skipped, behind)) = told(slow.message().await.expect("no error"))
            {
                assert_eq!((version, skipped), (last + 1, 0));
                assert!(behind <= VERSIONS - version);
                (last, most) = (version, most.max(behind));
            }
        }
        assert!(most > VERSIONS / 4, "told at most {most} behind");
        // The one that wants the newest hears how many it missed.
        let (mut last, mut missed, mut heard) = (0, 0, 0);
        while last < VERSIONS {
            if let Some((version, skipped, _)) = told(lazy.message().await.expect("no error")) {
                assert_eq!(version, last + skipped + 1);
                (last, missed, heard) = (version, missed + skipped, heard + 1);
            }
        }
        assert!(missed > 0 && missed + heard == VERSIONS, "{missed} missed, {heard} heard");
    });
}
