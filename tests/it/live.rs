//! The live process: `serve --feed simulate` until SIGTERM, then the same day
//! again from the journal.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use orrery_journal::units::Address;
use orrery_proto::v1;
use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
use serde_json::Value;

use crate::support::Orrery;
use crate::support::redis::RedisServer;

/// A running `orrery serve`, and where it listens.
pub struct Live {
    child: Child,
    pub url: String,
}

impl Live {
    pub fn start(orrery: &Orrery, args: &[&str]) -> Live {
        let mut all = vec!["serve", "--listen", "127.0.0.1:0"];
        all.extend(args);
        Live::of(orrery.command(&all))
    }

    /// Of a command that serves.
    pub fn of(mut command: Command) -> Live {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let url = loop {
            let line = lines.next().expect("an address before the end").expect("text");
            if let Some(at) = line.find("http://").or_else(|| line.find("https://")) {
                break line[at..].split_whitespace().next().expect("a word").to_owned();
            }
        };
        // Keep the pipe read, so that the child never blocks on it.
        std::thread::spawn(move || lines.for_each(drop));
        Live { child, url: url.trim_end_matches('/').to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut response = agent.get(format!("{}{path}", self.url)).call().expect("an answer");
        let status = response.status().as_u16();
        (status, response.body_mut().read_to_string().expect("text"))
    }

    /// Asks until the answer is there and holds `what`.
    pub fn wait_for(&self, path: &str, what: &str) {
        let start = Instant::now();
        loop {
            let (status, body) = self.get(path);
            if status == 200 && body.contains(what) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{path} stays {status}: {body}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub fn terminate(mut self) -> i32 {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(sent.success());
        self.child.wait().expect("an end").code().unwrap_or(-1)
    }
}

/// A test that fails leaves no server behind.
impl Drop for Live {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A version of an artifact of SPX over gRPC.
fn artifact(url: &str, family: &str, version: u64) -> (v1::ArtifactHeader, Value) {
    let asked = v1::GetArtifactRequest {
        symbol: "SPX".into(),
        family: family.into(),
        which: Some(v1::get_artifact_request::Which::Version(version)),
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.expect("a runtime").block_on(async {
        let client = ArtifactServiceClient::connect(url.to_owned()).await;
        client.expect("a connection").get_artifact(asked).await.expect("an artifact").into_inner()
    });
    let artifact = answer.artifact.expect("an artifact");
    let header = artifact.header.expect("a header");
    assert_eq!(Address::of(&artifact.body).to_string(), header.content);
    (header, serde_json::from_slice(&artifact.body).expect("JSON"))
}

/// The contracts behind the call wall of SPX over gRPC, as the command line prints
/// them, and the event on which the answer stands.
fn explained(url: &str) -> (u64, Value) {
    let asked = v1::ExplainLevelRequest {
        symbol: "SPX".into(),
        level: "call_wall".into(),
        profile: "all-short-oi".into(),
        as_of: None,
        max_contracts: 10_000,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let told = runtime.expect("a runtime").block_on(async {
        let client = ArtifactServiceClient::connect(url.to_owned()).await;
        client.expect("a connection").explain_level(asked).await.expect("an answer").into_inner()
    });
    let contract = |c: &v1::LevelShare| {
        let date = c.expiration.as_ref().expect("a date");
        serde_json::json!({"ticker": c.ticker,
            "expiry": format!("{:04}-{:02}-{:02}", date.year, date.month, date.day),
            "strike": c.strike, "value": c.value, "share": c.share})
    };
    let contracts: Vec<Value> = told.contracts.iter().map(contract).collect();
    let whole = serde_json::json!({"profile": told.profile, "level": told.level,
        "value": told.value, "contracts": contracts});
    (told.moment.expect("a moment").seq, whole)
}

#[test]
fn a_live_session_serves_drains_and_replays_identically() {
    let (orrery, redis) = (Orrery::new(), RedisServer::start());
    let url = format!("redis://127.0.0.1:{}", redis.port());
    let live = Live::start(&orrery, &["--feed", "simulate", "--seed", "5", "--redis", &url]);
    live.wait_for("/api/models/spot", "I:SPX");
    live.wait_for("/api/models/gex/I:SPX", "expirations");
    live.wait_for("/api/models/heatmap/I:SPX", "tiles");
    live.wait_for("/api/dealer-gravity/artifact", "volume_nodes");
    live.wait_for("/api/dealer-gravity/context", "gamma_alignment");
    let (status, metrics) = live.get("/metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains("orrery_journal_seq"), "{metrics}");
    assert_eq!(live.get("/healthz").0, 200);
    // The flow of trades, over HTTP, gRPC and Redis.
    live.wait_for("/api/v1/artifacts/SPX/flow", "delta_notional");
    let (status, http) = live.get("/api/v1/artifacts/SPX/flow");
    assert_eq!(status, 200);
    let http: Value = serde_json::from_str(&http).expect("JSON");
    let version = http["data"]["header"]["version"].as_u64().expect("a version");
    let (flow, grpc) = artifact(&live.url, "flow", version);
    assert_eq!(flow.profile, "flow/lee-ready@1");
    assert_eq!(flow.content, http["data"]["header"]["content"].as_str().expect("a hash"));
    assert_eq!(http["data"]["body"], grpc);
    assert!(grpc["flow"]["total"]["trades"].as_u64() > Some(0), "{grpc:#}");
    let delivered = || -> Option<Value> {
        let text: Option<String> = redis.run(&["GET", "orrery:{SPX}:artifact:flow"]);
        Some(serde_json::from_str(&text?).expect("JSON"))
    };
    let start = Instant::now();
    let held = loop {
        match delivered().filter(|held| held["header"]["version"].as_u64() >= Some(version)) {
            Some(held) => break held,
            None => assert!(start.elapsed() < Duration::from_secs(60), "no flow in Redis"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(held["header"]["profile"], "flow/lee-ready@1");
    let held_version = held["header"]["version"].as_u64().expect("a version");
    assert_eq!(held["body"], artifact(&live.url, "flow", held_version).1, "one body, two ways");
    let (seq, explained) = explained(&live.url);
    let (status, page) = live.get("/");
    assert!(status == 200 && page.contains("<canvas"), "{page}");
    assert_eq!(live.terminate(), 0, "SIGTERM drains and ends well");

    orrery.run(&["verify"]).expect(0);
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    for day in days.as_array().expect("a list") {
        let name = day["day"].as_str().expect("a date");
        let report = orrery.run(&["replay", name, "--json"]).expect(0).json();
        assert_eq!(report["identical"], true, "live equals replay: {report:#}");
        assert!(report["artifacts"].as_u64() > Some(4), "{report:#}");
    }
    // What gRPC said of a level is what the command line says of that moment.
    let at = format!("seq:{seq}");
    let told = ["explain", "call_wall", "SPX", "--profile", "all-short-oi", "--at", &at, "--json"];
    let told = orrery.run(&told).expect(0).json();
    assert_eq!(told, explained, "at {at}");
    assert!(told["contracts"].as_array().is_some_and(|c| !c.is_empty()), "{told:#}");
    // And once more without anything derived from the live run.
    let recorded = orrery.headers("SPX", "gex");
    std::fs::remove_dir_all(orrery.data().join("derived")).expect("derived data");
    assert_eq!(orrery.headers("SPX", "gex"), recorded, "rebuilt from the journal alone");
}

#[test]
fn a_second_process_on_the_same_data_is_refused_by_name() {
    let orrery = Orrery::new();
    let live = Live::start(&orrery, &["--feed", "simulate"]);
    let ended = orrery.run(&["days"]).expect(2);
    assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&live.child.id().to_string()),
        "names the holder: {}",
        ended.stderr
    );
    assert_eq!(live.terminate(), 0);
}

#[test]
fn an_address_in_use_is_said_before_anything_is_journaled() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let orrery = Orrery::new();
    let ended = orrery.run(&["serve", "--feed", "simulate", "--listen", &address]).expect(2);
    assert!(
        ended.stderr.contains(&address) && ended.stderr.contains("--listen"),
        "{}",
        ended.stderr
    );
    let days = orrery.run(&["days", "--json"]).expect(0).json();
    assert_eq!(days.as_array().map(Vec::len), Some(0), "{days:#}");
}
