//! A thousand event streams of which fifty are not read: what the others wait,
//! beside a run without those, and what one that is not read costs.
//!
//! `cargo bench --bench sse` prints the ratio of the 99th percentiles from
//! publishing to receipt, and bytes for each stalled client. Server and clients
//! are processes of their own. `-- floods` pours floods over a live server for a
//! minute and prints what came in meanwhile; `-- --short` is for a look.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../tests/it/support/flood.rs"]
mod flood;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use orrery::gateway::{Door, NoHouse, Parts};
use orrery::projector::documents::Documents;
use orrery::shelf::Shelf;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_replay::artifact::{Artifact, Header};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;

const READERS: usize = 950;
const STALLED: usize = 50;
/// Enough of them to see a client in the size of the process.
const STALLED_FOR_MEMORY: usize = 500;
const GOAL_RATIO: f64 = 1.10;
const GOAL_BYTES: u64 = 64 * 1024;
/// Between two publications: what is asked is how long a client waits, and not how
/// many events two cores can send.
const EVERY: Duration = Duration::from_millis(500);
/// Tiles of the heatmap: 170 KB, as of a chain of a hundred contracts.
const TILES: usize = 1_000;
/// Connections that each of two floods holds open.
const FLOOD_HELD: usize = 1_500;
const CHILD: &str = "--server";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let has = |word: &str| args.iter().any(|arg| arg == word);
    if has(CHILD) {
        return server();
    }
    // `cargo test --benches` only wants to see that it runs.
    let short = has("--short") || !has("--bench");
    if has("floods") {
        return floods(if short { 2 } else { 12 });
    }
    let (rounds, seconds) = if short { (1, 3) } else { (5, 8) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!(
        "{READERS} readers of /sse/all, an event each {} ms, load {}",
        EVERY.as_millis(),
        load()
    );
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Turn and turn about: the machine is not the same twice.
        let a = runtime.block_on(run(0, seconds));
        let b = runtime.block_on(run(STALLED, seconds));
        println!(
            "round {}: p50/p99 {:.2}/{:.2} ms without stalled clients, {:.2}/{:.2} ms beside {STALLED}",
            round + 1,
            a.0,
            a.1,
            b.0,
            b.1
        );
        quiet.push(a.1);
        beside.push(b.1);
    }
    let (quiet, beside) = (median(&mut quiet), median(&mut beside));
    println!(
        "p99, median: {quiet:.2} and {beside:.2} ms, ratio {:.3} (goal {GOAL_RATIO})",
        beside / quiet
    );
    let each = runtime.block_on(cost(seconds));
    println!(
        "{each} bytes for each of {STALLED_FOR_MEMORY} stalled clients (goal {GOAL_BYTES}), load {}",
        load()
    );
}

/// Percentiles 50 and 99 of the readers' latencies, ms.
async fn run(stalled: usize, seconds: u64) -> (f64, f64) {
    let server = Server::start();
    let mut held = Vec::new();
    for _ in 0..stalled {
        held.push(stall(server.address).await);
    }
    let until = Instant::now() + Duration::from_secs(seconds + 2);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(read(server.address, until));
    }
    let mut latencies = Vec::new();
    while let Some(read) = readers.join_next().await {
        latencies.extend(read.unwrap());
    }
    drop(held);
    latencies.sort_by(f64::total_cmp);
    let at = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize];
    assert!(latencies.len() > READERS * seconds as usize / 2, "{} receipts", latencies.len());
    (at(0.5), at(0.99))
}

/// Bytes of the server for each client that reads nothing.
async fn cost(seconds: u64) -> u64 {
    let server = Server::start();
    // What serving takes at all is taken before.
    let warm = Instant::now() + Duration::from_secs(2);
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..STALLED_FOR_MEMORY {
        readers.spawn(read(server.address, warm));
    }
    while readers.join_next().await.is_some() {}
    let before = flood::resident(server.child.id());
    let mut held = Vec::new();
    for _ in 0..STALLED_FOR_MEMORY {
        held.push(stall(server.address).await);
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let grown = flood::resident(server.child.id()).saturating_sub(before);
    drop(held);
    grown / STALLED_FOR_MEMORY as u64
}

/// A client that asks and never reads.
async fn stall(at: SocketAddr) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(at).await.unwrap();
    ask(&mut socket).await;
    socket
}

async fn ask(socket: &mut tokio::net::TcpStream) {
    socket.write_all(b"GET /sse/all HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await.unwrap();
}

/// Latencies of the gravity events, ms, from the second second on.
async fn read(at: SocketAddr, until: Instant) -> Vec<f64> {
    let mut socket = tokio::net::TcpStream::connect(at).await.unwrap();
    ask(&mut socket).await;
    let mut lines = tokio::io::BufReader::with_capacity(16 * 1024, socket).lines();
    let (mut latencies, from) = (Vec::new(), now_ns() + 2_000_000_000);
    while let Ok(Ok(Some(line))) = tokio::time::timeout_at(until.into(), lines.next_line()).await {
        let Some((_, rest)) = line.split_once("\"artifact_version\":\"v") else { continue };
        let sent: u64 = rest.split('"').next().unwrap().parse().unwrap();
        if sent > from {
            latencies.push(now_ns().saturating_sub(sent) as f64 / 1e6);
        }
    }
    latencies
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start() -> Server {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(CHILD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Server { child, address: line.trim().parse().unwrap() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A gateway over documents in memory, published until the parent goes away.
fn server() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        let shelf = Arc::new(Shelf::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        let parts = Parts {
            documents: Arc::new(Documents::local(Arc::clone(&shelf))),
            house: Arc::new(NoHouse),
            now_ms: || 0,
            metrics: Arc::new(String::new),
            ready: Arc::new(|| Ok(())),
        };
        let shutdown = CancellationToken::new();
        tokio::spawn(orrery::gateway::serve(listener, parts, None, Door::default(), shutdown));
        let mut tick = tokio::time::interval(EVERY);
        for turn in 0_u64.. {
            tick.tick().await;
            if turn % 4 == 0 {
                shelf.place(heatmap(turn / 4 + 1));
            }
            // The version is the moment, which it is told by.
            shelf.place(gravity(now_ns()));
        }
    });
}

fn gravity(version: u64) -> Artifact {
    let body = json!({"symbol": "SPX", "profile": {"min": 6000.0, "step": 1.0, "bins": vec![7; 500]},
        "raw_bins": [0], "structures": {"volume_nodes": [6540.0], "volume_wells": [],
        "crevasses": [], "market_memory_strength": 0.7}, "structural_lines": [],
        "meta": {"spot": 6540.0, "algorithm": "tv_microbins_30", "normalized_scale": 1000,
        "proxy": null}, "quality": {}});
    artifact("gravity", version, &body)
}

fn heatmap(version: u64) -> Artifact {
    let tiles: serde_json::Map<String, serde_json::Value> = (0..TILES)
        .map(|n| {
            // A part of the tiles changes from one version to the next.
            let debit = if n % 20 == version as usize % 20 { version } else { 0 };
            (
                format!("butterfly:0:20:{}", 5000 + 5 * n),
                json!({"symbol": "I:SPX",
                "strategy": "butterfly", "dte": 0, "strike": 5000 + 5 * n, "width": 20,
                "call": {"debit": debit, "max_profit": 20, "max_loss": 1.25}}),
            )
        })
        .collect();
    artifact(
        "heatmap",
        version,
        &json!({"symbol": "I:SPX", "dtes_available": [0],
        "dte_tile_counts": {"0": TILES}, "tiles": tiles, "quality": {}}),
    )
}

fn artifact(family: &str, version: u64, body: &serde_json::Value) -> Artifact {
    let body = Bytes::from(body.to_string());
    Artifact {
        header: Header {
            symbol: "SPX".into(),
            family: family.into(),
            version,
            epoch: None,
            profile: "bench/one@1".into(),
            configuration: Address::default(),
            seq_first: Seq(1),
            seq_last: Seq(1),
            created_at: RecvTime(1_770_388_200_000_000_000 + version as i64 % 1_000_000_000),
            content: Address::of(&body),
            body_len: body.len() as u64,
            previous: Address::default(),
        },
        body,
    }
}

/// Floods over a live server, one kind after the other.
fn floods(seconds: u64) {
    let data = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_orrery"))
        .arg("--data")
        .arg(data.path().join("data"))
        .args(["serve", "--feed", "simulate", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let at = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let at: SocketAddr = at.parse().unwrap();
    let quiet = (head(at), Instant::now());
    std::thread::sleep(Duration::from_secs(seconds.min(5)));
    let rate = |from: (f64, Instant)| (head(at) - from.0) / from.1.elapsed().as_secs_f64();
    let (before, resident) = (rate(quiet), flood::resident(child.id()));
    println!("before: {before:.0} events/s, {} MiB, load {}", resident >> 20, load());
    for kind in flood::ALL {
        let from = (head(at), Instant::now());
        let until = Instant::now() + Duration::from_secs(seconds);
        let poured = std::thread::scope(|scope| {
            let pouring = [(); 2].map(|()| scope.spawn(move || kind.pour(at, until, FLOOD_HELD)));
            pouring.map(|thread| thread.join().unwrap())
        });
        let during = rate(from);
        let grown = flood::resident(child.id()).saturating_sub(resident);
        let (connections, requests) =
            poured.iter().fold((0, 0), |(c, r), p| (c + p.connections, r + p.requests));
        println!(
            "{kind:?}: {connections} connections, {requests} requests in {seconds} s; {during:.0} \
             events/s ({:.2} of before), {} MiB more",
            during / before,
            grown >> 20
        );
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Last durable event, from the metrics; floods may fill the door for a moment.
fn head(at: SocketAddr) -> f64 {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for _ in 0..200 {
        let answer = agent.get(format!("http://{at}/metrics")).call();
        let text = answer.ok().and_then(|mut a| a.body_mut().read_to_string().ok());
        let line = text.as_deref().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("orrery_journal_seq "))?.parse().ok()
        });
        if let Some(head) = line {
            return head;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no answer from {at}");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What else the machine does.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
