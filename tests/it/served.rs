//! A real listener on a free port over documents in memory, and samples to
//! put on its shelf.

mod absent;
mod fake;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use orrery::control;
use orrery::control::session::Sessions;
use orrery::gateway::{self, Door, LIMITS, Limits, Parts};
use orrery::projector::documents::Documents;
use orrery::shelf::Shelf;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_replay::artifact::{Artifact, Header};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use absent::NoSessions;
pub use fake::Fake;

/// 2026-08-19 14:30:00 UTC.
pub const T0: i64 = 1_787_149_800_000_000_000;

pub struct Served {
    pub runtime: Runtime,
    pub address: SocketAddr,
    tls: bool,
    pub shelf: Arc<Shelf>,
    pub backend: Arc<Fake>,
    pub shutdown: CancellationToken,
    ready: Arc<Mutex<Result<(), String>>>,
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Served {
    pub fn start() -> Served {
        Served::with(LIMITS)
    }

    pub fn with(limits: Limits) -> Served {
        Served::over(limits, Arc::new(NoSessions))
    }

    /// Behind a door of its own.
    pub fn behind(door: Door) -> Served {
        Served::start_with(door, Arc::new(NoSessions))
    }

    /// With sessions over a journal of its own.
    pub fn over(limits: Limits, sessions: Arc<dyn Sessions>) -> Served {
        Served::start_with(Door { limits, ..Door::default() }, sessions)
    }

    fn start_with(door: Door, sessions: Arc<dyn Sessions>) -> Served {
        let tls = door.tls.is_some();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let shelf = Arc::new(Shelf::default());
        let backend = Arc::new(Fake::over(&shelf));
        let shutdown = CancellationToken::new();
        let ready = Arc::new(Mutex::new(Ok(())));
        let (address, task) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("its address");
            let (grpc, _health) = services(&backend, sessions, &shelf, &ready, &shutdown).await;
            let is_ready = Arc::clone(&ready);
            let parts = Parts {
                documents: Arc::new(Documents::local(Arc::clone(&shelf))),
                house: backend.clone(),
                now_ms: || T0 / 1_000_000,
                metrics: Arc::new(|| "# EOF\n".into()),
                ready: Arc::new(move || is_ready.lock().expect("not poisoned").clone()),
            };
            let serving = gateway::serve(listener, parts, Some(grpc), door, shutdown.clone());
            let task = tokio::spawn(async move { serving.await.expect("serves to its end") });
            (address, task)
        });
        Served { runtime, address, tls, shelf, backend, shutdown, ready, task: Some(task) }
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub fn agent(&self) -> ureq::Agent {
        ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .into()
    }

    pub fn text(&self, path: &str) -> (u16, String) {
        let mut response = self.agent().get(self.url(path)).call().expect("an answer");
        let text = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), text)
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        let (status, text) = self.text(path);
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{path} answered {status} without JSON ({e}): {text}"));
        (status, json)
    }

    pub fn set_ready(&self, ready: Result<(), String>) {
        *self.ready.lock().expect("not poisoned") = ready;
    }

    pub fn place_samples(&self, version: u64, spot: f64) {
        for sample in samples(version, spot) {
            self.backend.keep(sample.clone());
            self.shelf.place(sample);
        }
    }

    /// Asks the server to stop and waits until it has.
    pub fn stop(&mut self, patience: Duration) -> bool {
        self.shutdown.cancel();
        let Some(task) = self.task.take() else { return true };
        self.runtime.block_on(async { tokio::time::timeout(patience, task).await.is_ok() })
    }
}

async fn services(
    backend: &Arc<Fake>,
    sessions: Arc<dyn Sessions>,
    shelf: &Arc<Shelf>,
    ready: &Arc<Mutex<Result<(), String>>>,
    shutdown: &CancellationToken,
) -> (tonic::service::Routes, tonic_health::server::HealthReporter) {
    let is_ready = Arc::clone(ready);
    let ready: control::Ready = Arc::new(move || is_ready.lock().expect("not poisoned").clone());
    let (shelf, shutdown) = (Arc::clone(shelf), shutdown.clone());
    control::services(backend.clone(), sessions, shelf, None, ready, shutdown)
        .await
        .expect("services")
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub fn artifact(symbol: &str, family: &str, version: u64, body: &Value) -> Artifact {
    let body = Bytes::from(body.to_string());
    let profile = match family {
        "gex" => "gex/naive-oi@1",
        "heatmap" => "heatmap/mid@1",
        "gravity" => "gravity/tv-microbins-30@1",
        _ => "sample@1",
    };
    Artifact {
        header: Header {
            symbol: symbol.into(),
            family: family.into(),
            version,
            epoch: Some(Address::of(b"topology")),
            profile: profile.into(),
            configuration: Address::of(b"configuration"),
            seq_first: Seq(version * 10 - 9),
            seq_last: Seq(version * 10),
            created_at: RecvTime(T0 + version as i64 * 1_000_000_000),
            content: Address::of(&body),
            body_len: body.len() as u64,
            previous: Address::default(),
        },
        body,
    }
}

/// One artifact of each family, as the models would make them.
pub fn samples(version: u64, spot: f64) -> Vec<Artifact> {
    let at = RecvTime(T0 + version as i64 * 1_000_000_000).to_rfc3339();
    let single = json!({"symbol": "I:SPX", "strategy": "single", "dte": 0, "strike": 6540.0,
                        "width": 0, "call": {"mid": spot - 6530.0}, "put": {"mid": 9.5}});
    vec![
        artifact(
            "SPX",
            "spot",
            version,
            &json!({"symbol": "I:SPX", "value": spot, "at": at, "source": "index"}),
        ),
        artifact(
            "SPX",
            "heatmap",
            version,
            &json!({"symbol": "I:SPX", "dtes_available": [0], "dte_tile_counts": {"0": 1},
                    "tiles": {"single:0:0:6540": single}, "quality": {}}),
        ),
        artifact(
            "SPX",
            "gex",
            version,
            &json!({"symbol": "I:SPX", "spot": spot,
                    "expirations": {"2026-08-19": {"calls": {"6540": 12.5}, "puts": {"6540": 7.25}}},
                    "by_strike": [{"strike": 6540.0, "call": 12.5, "put": -7.25, "net": 5.25 + version as f64}],
                    "levels": {"net": 5.25, "call_wall": 6540.0, "put_wall": 6540.0, "peak": 6540.0,
                               "flip": {"nearest": null, "crossings": [], "method": "repricing"}},
                    "quality": {}}),
        ),
        artifact(
            "SPX",
            "gravity",
            version,
            &json!({"symbol": "SPX", "profile": {"min": 6539.0, "step": 1.0, "bins": [100, 1000, 0, 300]},
                    "raw_bins": [0, 1000, 0, 10],
                    "structures": {"volume_nodes": [6540.0], "volume_wells": [[6541.0, 6541.0]],
                                   "crevasses": [], "market_memory_strength": 0.74},
                    "structural_lines": [],
                    "meta": {"spot": spot, "algorithm": "tv_microbins_30", "normalized_scale": 1000,
                             "proxy": null},
                    "quality": {}}),
        ),
        artifact(
            "SPX",
            "context",
            version,
            &json!({"symbol": "SPX", "spot": spot, "nearest_volume_node": 6540.0,
                    "nearest_volume_node_dist": 0.0, "volume_well_proximity": 0.0001,
                    "in_crevasse": false, "market_memory_strength": 0.74,
                    "gamma_alignment": "positive"}),
        ),
    ]
}
