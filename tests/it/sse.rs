//! Event streams, read from the bare socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use orrery::gateway::{LIMITS, Limits};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::served::{Served, artifact, samples};

/// One event as a browser would see it.
#[derive(Clone, PartialEq, Debug, Default)]
struct Event {
    id: Option<String>,
    name: String,
    data: Value,
}

/// A client that reads chunked HTTP/1.1 from its own socket.
struct Client {
    reader: BufReader<TcpStream>,
    head: String,
    /// What was decoded and not taken yet.
    text: String,
    comments: usize,
    retry: Option<u64>,
}

impl Client {
    fn open(served: &Served, path: &str, last_event_id: Option<&str>) -> Client {
        let socket = TcpStream::connect(served.address).expect("a connection");
        Client::on(socket, path, last_event_id)
    }

    /// With so little room for what it does not read that it stalls at once.
    fn narrow(served: &Served, path: &str) -> Client {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(&served.address.into()).expect("a connection");
        Client::on(socket.into(), path, None)
    }

    fn on(mut socket: TcpStream, path: &str, last_event_id: Option<&str>) -> Client {
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let last = last_event_id.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n{last}\r\n"
        )
        .expect("a request");
        let mut reader = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).expect("a head") > 0, "closed after {head}");
        }
        Client { reader, head: head.to_lowercase(), text: String::new(), comments: 0, retry: None }
    }

    /// Reads one more chunk; false at the end of the stream.
    fn read_chunk(&mut self) -> bool {
        let mut size = String::new();
        if self.reader.read_line(&mut size).unwrap_or(0) == 0 {
            return false;
        }
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        let mut chunk = vec![0; size + 2];
        self.reader.read_exact(&mut chunk).expect("a chunk");
        self.text.push_str(std::str::from_utf8(&chunk[..size]).expect("UTF-8"));
        size > 0
    }

    /// The next event; `None` at the end of the stream.
    fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let mut event = Event::default();
                let mut data = String::new();
                for line in block.lines() {
                    match line.split_once(": ").unwrap_or((line, "")) {
                        ("event", name) => event.name = name.into(),
                        ("data", more) => data.push_str(more),
                        ("id:", "") => event.id = Some(String::new()),
                        ("id", id) => event.id = Some(id.into()),
                        ("retry", ms) => self.retry = ms.parse().ok(),
                        ("", _) => self.comments += 1,
                        other => panic!("what is {other:?}?"),
                    }
                }
                // An event that was let go in its middle; nobody listens to it.
                if !event.name.is_empty() && event.name != "dropped" {
                    event.data = serde_json::from_str(&data).expect("JSON");
                    return Some(event);
                }
            }
            if !self.read_chunk() {
                return None;
            }
        }
    }

    /// Events up to and including the first of a name.
    fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().expect("the stream goes on");
            let found = event.name == name;
            events.push(event);
            if found {
                return events;
            }
        }
    }
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[test]
fn dealer_gravity_says_its_state_first_then_connected_then_every_version() {
    let served = Served::start();
    served.place_samples(1, 6540.0);
    let mut client = Client::open(&served, "/sse/dealer-gravity", None);
    assert!(client.head.starts_with("http/1.1 200"), "{}", client.head);
    for header in
        ["text/event-stream", "no-cache", "x-accel-buffering: no", "access-control-allow-origin: *"]
    {
        assert!(client.head.contains(header), "{header} in {}", client.head);
    }
    let events = client.until("connected");
    assert_eq!(names(&events), ["dealer_gravity_artifact_updated", "connected"]);
    assert_eq!(events[0].id.as_deref(), Some("v1"));
    assert_eq!(events[0].data["type"], "dealer_gravity_artifact_updated");
    assert_eq!(events[0].data["symbol"], "SPX");
    assert_eq!(events[0].data["artifact_version"], "v1");
    assert_eq!(events[1].data["channel"], "dealer-gravity");
    assert!(events[1].data["ts"].is_i64());
    assert_eq!(client.retry, Some(2000));
    served.place_samples(2, 6541.0);
    let told = client.next().expect("an update");
    assert_eq!(
        (told.name.as_str(), told.id.as_deref()),
        ("dealer_gravity_artifact_updated", Some("v2"))
    );
    assert_eq!(told.data["artifact_version"], "v2");
    // Whoever fetches on the event finds that version or a newer one.
    let (_, fetched) = served.get("/api/dealer-gravity/artifact");
    assert_eq!(fetched["data"]["meta"]["artifact_version"], "v2");
}

#[test]
fn a_client_that_comes_back_is_not_sent_what_it_has() {
    let served = Served::start();
    served.place_samples(3, 6540.0);
    let mut client = Client::open(&served, "/sse/dealer-gravity", Some("v3"));
    assert_eq!(names(&client.until("connected")), ["connected"]);
    let mut client = Client::open(&served, "/sse/dealer-gravity", Some("v2"));
    assert_eq!(names(&client.until("connected")), ["dealer_gravity_artifact_updated", "connected"]);
    let mut client = Client::open(&served, "/sse/dealer-gravity?last_event_id=v3", None);
    assert_eq!(names(&client.until("connected")), ["connected"]);
    // An id of ours that is ahead of us (another journal) holds nothing.
    let mut client = Client::open(&served, "/sse/dealer-gravity", Some("v9"));
    assert_eq!(names(&client.until("connected")), ["dealer_gravity_artifact_updated", "connected"]);
}

#[test]
fn the_combined_stream_carries_everything_and_resumes_by_its_own_id() {
    let served = Served::start();
    served.place_samples(1, 6540.0);
    let mut client = Client::open(&served, "/sse/all", None);
    let events = client.until("connected");
    assert_eq!(names(&events), ["spot", "gex", "heatmap", "connected"], "no gravity at connect");
    assert_eq!(events[0].data["I:SPX"]["value"], 6540.0);
    assert_eq!(events[1].data["symbol"], "I:SPX");
    assert_eq!(events[2].data["symbol"], "I:SPX");
    served.place_samples(2, 6541.5);
    let mut seen = Vec::new();
    let mut id = None;
    while !["spot", "gex", "heatmap_diff", "dealer_gravity_artifact_updated", "artifact"]
        .iter()
        .all(|wanted| seen.iter().any(|e: &Event| e.name == *wanted))
    {
        let event = client.next().expect("the stream goes on");
        id = event.id.clone().or(id);
        seen.push(event);
    }
    let diff = seen.iter().find(|e| e.name == "heatmap_diff").expect("a difference");
    assert_eq!(diff.data["version"], 2);
    assert!(diff.data["changed"]["single:0:0:6540"].is_object());
    assert_eq!(seen.iter().filter(|e| e.name == "gex").count(), 1, "two sides, one event");
    let id = id.expect("ids");
    for document in ["gex/I:SPX=2", "gravity/SPX=2", "heatmap/I:SPX=2", "spot/I:SPX=2"] {
        assert!(id.contains(document), "{document} in {id}");
    }
    let mut again = Client::open(&served, "/sse/all", Some(&id));
    assert_eq!(names(&again.until("connected")), ["connected"], "nothing is new");
    served.place_samples(3, 6542.5);
    let mut late = Client::open(&served, "/sse/all", Some(&id));
    assert_eq!(
        names(&late.until("connected")),
        ["spot", "gex", "heatmap", "dealer_gravity_artifact_updated", "connected"],
        "it also learns of the gravity that it missed"
    );
}

#[test]
fn streams_of_one_document_show_nothing_else() {
    let served = Served::start();
    served.place_samples(1, 6540.0);
    for (path, first, channel) in [
        ("/sse/gex/i:spx", "gex", "gex"),
        ("/sse/heatmap/I:SPX", "heatmap", "heatmap"),
        ("/sse/spot", "spot", "spot"),
    ] {
        let mut client = Client::open(&served, path, None);
        let events = client.until("connected");
        assert_eq!(names(&events), [first, "connected"]);
        assert_eq!(events[0].id.as_deref(), Some("v1"));
        assert_eq!(events[1].data["channel"], channel);
    }
    let mut nobody = Client::open(&served, "/sse/heatmap/I:NOPE", None);
    let events = nobody.until("connected");
    assert_eq!(names(&events), ["connected"]);
    assert_eq!(events[0].data["symbol"], "I:NOPE");
}

#[test]
fn a_quiet_stream_beats_and_is_counted() {
    let served = Served::with(Limits { heartbeat: Duration::from_millis(40), ..LIMITS });
    let mut client = Client::open(&served, "/sse/dealer-gravity", None);
    client.until("connected");
    while client.comments < 3 {
        assert!(client.read_chunk(), "the stream goes on");
        // Comments are no events, so they are counted here.
        client.comments += client.text.matches(": alive\n\n").count();
        client.text.clear();
    }
    assert_eq!(served.get("/api/health").1["clients"]["dealer_gravity"], 1);
    drop(client);
    let since = Instant::now();
    while served.get("/api/health").1["clients"]["dealer_gravity"] != 0 {
        assert!(since.elapsed() < Duration::from_secs(5), "a closed stream is still counted");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_client_that_does_not_read_is_told_to_resync_and_delays_nobody() {
    let stall = Duration::from_secs(60);
    let served = Served::with(Limits { events_behind: 4, stall, ..LIMITS });
    // A document that no socket buffer swallows whole.
    let big = |version: u64| {
        let tiles: serde_json::Map<String, Value> = (0..6000)
            .map(|i| {
                let key = format!("single:0:0:{i}:{version}");
                (key, json!({"strike": i, "call": {"mid": version}, "pad": "x".repeat(100)}))
            })
            .collect();
        artifact(
            "SPX",
            "heatmap",
            version,
            &json!({"symbol": "I:SPX", "dtes_available": [0],
                 "dte_tile_counts": {}, "tiles": tiles, "quality": {}}),
        )
    };
    served.shelf.place(big(1));
    let mut stalled = Client::open(&served, "/sse/heatmap/I:SPX", None);
    let mut brisk = Client::open(&served, "/sse/dealer-gravity", None);
    brisk.until("connected");
    stalled.until("connected");
    for version in 2..60 {
        served.shelf.place(big(version));
        served.shelf.place(samples(version, 6540.0).remove(3));
        let told = brisk.next().expect("the brisk client goes on");
        assert_eq!(told.data["artifact_version"], format!("v{version}"));
    }
    let mut events = stalled.until("resync");
    assert!(events.pop().expect("resync").data["missed"].as_u64() > Some(0));
    let state = stalled.next().expect("the state again");
    assert_eq!(state.name, "heatmap");
    // From here on it is up to date or gets there.
    let mut version = state.data["version"].as_u64().expect("a version");
    while version < 59 {
        version = stalled.next().expect("more").data["version"].as_u64().unwrap_or(version);
    }
}

/// A number of the listener's own.
fn counted(served: &Served, name: &str) -> u64 {
    let (_, metrics) = served.text("/metrics");
    let line = metrics.lines().find_map(|l| l.strip_prefix(&format!("orrery_gateway_{name} ")));
    line.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{name}: {metrics}"))
}

#[test]
fn what_is_held_for_clients_that_stall_is_let_go_and_they_resync_when_they_read_on() {
    let served = Served::with(Limits { stall: Duration::from_millis(800), ..LIMITS });
    let heatmap = |version: u64| {
        let tiles: serde_json::Map<String, Value> = (0..1500)
            .map(|i| (format!("single:0:0:{i}"), json!({"call": {"mid": version}, "strike": i})))
            .collect();
        let body = json!({"symbol": "I:SPX", "dtes_available": [0], "dte_tile_counts": {},
            "tiles": tiles, "quality": {}});
        artifact("SPX", "heatmap", version, &body)
    };
    served.shelf.place(heatmap(1));
    // They stall in the middle of the state.
    let mut stalled: Vec<Client> =
        (0..5).map(|_| Client::narrow(&served, "/sse/heatmap/I:SPX")).collect();
    let mut brisk: Vec<Client> = (0..6)
        .map(|_| {
            let mut client = Client::open(&served, "/sse/heatmap/I:SPX", None);
            assert_eq!(names(&client.until("connected")), ["heatmap", "connected"]);
            client
        })
        .collect();
    let since = Instant::now();
    while counted(&served, "stalls_total") < 5 {
        assert!(since.elapsed() < Duration::from_secs(10), "nobody was let go");
        std::thread::sleep(Duration::from_millis(20));
    }
    for version in 2..=12 {
        served.shelf.place(heatmap(version));
        for client in &mut brisk {
            let told = client.next().expect("the others go on");
            assert_eq!((&*told.name, &told.data["version"]), ("heatmap_diff", &json!(version)));
        }
    }
    for client in &mut stalled {
        // What was begun before is closed as nothing; then all at once.
        let told = client.next().expect("it goes on");
        assert_eq!((&*told.name, &told.data["missed"]), ("resync", &Value::Null));
        let state = client.next().expect("the state");
        assert_eq!((&*state.name, &state.data["version"]), ("heatmap", &json!(12)));
        assert_eq!(state.id.as_deref(), Some("v12"));
        assert_eq!(client.next().expect("it had not been told").name, "connected");
    }
    served.shelf.place(heatmap(13));
    for client in stalled.iter_mut().chain(&mut brisk) {
        assert_eq!(client.next().expect("a change").data["version"], 13);
    }
    assert!(counted(&served, "resyncs_total") >= 5);
}

#[test]
fn a_client_that_never_reads_on_loses_its_stream() {
    let limits = Limits {
        stall: Duration::from_millis(100),
        stall_max: Duration::from_millis(200),
        ..LIMITS
    };
    let served = Served::with(limits);
    let body = json!({"symbol": "I:SPX", "dtes_available": [], "dte_tile_counts": {},
                      "tiles": {"single:0:0:1": {"pad": "x".repeat(1 << 20)}}, "quality": {}});
    served.shelf.place(artifact("SPX", "heatmap", 1, &body));
    let stalled = Client::narrow(&served, "/sse/heatmap/I:SPX");
    let since = Instant::now();
    while counted(&served, "stalls_total") < 1
        || served.get("/api/health").1["clients"]["heatmap"] != 0
    {
        assert!(since.elapsed() < Duration::from_secs(5), "its stream is kept");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(stalled);
}

#[test]
fn too_many_streams_are_refused() {
    let served = Served::with(Limits { event_streams: 1, ..LIMITS });
    let mut first = Client::open(&served, "/sse/all", None);
    first.until("connected");
    let (status, body) = served.get("/sse/all");
    assert_eq!(status, 503, "{body}");
}

#[test]
fn an_open_stream_does_not_hold_up_the_end() {
    let mut served = Served::start();
    served.place_samples(1, 6540.0);
    let mut client = Client::open(&served, "/sse/all", None);
    client.until("connected");
    let mut idle = TcpStream::connect(served.address).expect("an idle connection");
    let since = Instant::now();
    assert!(served.stop(Duration::from_secs(4)), "the server hangs");
    assert!(since.elapsed() < Duration::from_secs(3), "it took {:?}", since.elapsed());
    while client.next().is_some() {}
    let _ = idle.write_all(b"GET /healthz HTTP/1.1\r\n\r\n");
    assert!(TcpStream::connect(served.address).is_err(), "nobody listens any more");
}

#[test]
fn a_client_that_reads_nothing_at_all_is_cut_off_at_the_deadline() {
    let mut served = Served::with(Limits { drain: Duration::from_millis(300), ..LIMITS });
    let body = json!({"symbol": "I:SPX", "dtes_available": [], "dte_tile_counts": {},
                      "tiles": {"single:0:0:1": {"pad": "x".repeat(24 << 20)}}, "quality": {}});
    served.shelf.place(artifact("SPX", "heatmap", 1, &body));
    let stalled = Client::open(&served, "/sse/heatmap/I:SPX", None);
    std::thread::sleep(Duration::from_millis(100));
    assert!(served.stop(Duration::from_secs(5)), "the server hangs");
    drop(stalled);
}

/// A model that is told as it stands: bias, market mode, selector.
fn model(family: &str, version: u64) -> orrery_replay::artifact::Artifact {
    let body = json!({"symbol": "I:SPX", "spot": 6540.0, "score": version, "recommendations": []});
    artifact("SPX", family, version, &body)
}

#[test]
fn bias_mode_and_selector_are_told_under_the_names_that_clients_listen_to() {
    let served = Served::start();
    served.shelf.place(model("bias_lfi", 1));
    served.shelf.place(model("selector", 1));
    let mut bias = Client::open(&served, "/sse/bias_lfi", None);
    let start = bias.until("connected");
    assert_eq!(names(&start), ["bias_lfi", "connected"]);
    assert_eq!(start[0].data["symbol"], "I:SPX");
    assert_eq!(start[1].data["channel"], "bias_lfi");
    let mut selector = Client::open(&served, "/sse/trade_selector/i:spx", None);
    let start = selector.until("connected");
    assert_eq!(names(&start), ["trade_selector", "connected"]);
    assert_eq!(start[1].data["symbol"], "I:SPX");
    let mut all = Client::open(&served, "/sse/all", None);
    assert_eq!(names(&all.until("connected")), ["trade_selector", "bias_lfi", "connected"]);

    served.shelf.place(model("bias_lfi", 2));
    served.shelf.place(model("selector", 2));
    served.shelf.place(model("market_mode", 1));
    let told = bias.next().expect("a change");
    assert_eq!((told.name.as_str(), &told.data["score"]), ("bias_lfi", &json!(2)));
    assert_eq!(told.id.as_deref(), Some("v2"));
    let told = selector.next().expect("a change");
    assert_eq!((told.name.as_str(), &told.data["score"]), ("trade_selector", &json!(2)));
    let mut heard = std::collections::BTreeSet::new();
    while !["bias_lfi", "trade_selector", "market_mode"].iter().all(|n| heard.contains(*n)) {
        heard.insert(all.next().expect("a change").name);
    }
    // Whoever comes back with that version is not told again.
    let mut again = Client::open(&served, "/sse/bias_lfi", Some("v2"));
    assert_eq!(names(&again.until("connected")), ["connected"]);
}

#[test]
fn another_symbols_bias_is_not_told_on_the_one_that_clients_take_for_spx() {
    let served = Served::start();
    let body = json!({"symbol": "I:NDX", "spot": 25000.0});
    served.shelf.place(artifact("NDX", "bias_lfi", 1, &body));
    served.shelf.place(model("bias_lfi", 7));
    let mut bias = Client::open(&served, "/sse/bias_lfi", None);
    let start = bias.until("connected");
    assert_eq!(names(&start), ["bias_lfi", "connected"]);
    assert_eq!(start[0].data["symbol"], "I:SPX");
    assert_eq!(served.get("/api/models/bias_lfi?symbol=I:NDX").1["data"]["spot"], 25000.0);
}
