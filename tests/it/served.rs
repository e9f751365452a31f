//! A real listener on a free port over documents in memory, and samples to
//! put on its shelf.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use orrery::control::admin::{Administration, ServerStatus};
use orrery::control::annotations::{Annotating, Annotation, WantedAnnotations};
use orrery::control::append::{Appending, Pending, Record, Refusal};
use orrery::control::certificate::{self, Certifying, Rotated, Sealed, Verified};
use orrery::control::events::{EventFilter, EventRange, Found, ReadDone, Start, Tailed};
use orrery::control::journal::Operations;
use orrery::control::lookup::{Lookup, Placed, WhichEvent, WhichPage};
use orrery::control::point::{CellPart, Point, Points, Said, When};
use orrery::control::profiles::{Definitions, Order, Profiles, Reported, Standing};
use orrery::control::proving::{Given, SignedCheckpoint, Wanted, WantedCertificate};
use orrery::control::session::feed::Watcher;
use orrery::control::session::{BranchOrder, Command, SessionOrder, SessionView, Sessions};
use orrery::control::{
    self, AsOf, Backend, BackendError, CorrectedRead, Epochs, Explained, LevelShare, Plane,
    ReplayDifference, ReplayOrder, ReplayProgress, ReplaySummary, Which,
};
use orrery::gateway::{self, At, Door, House, HouseError, LIMITS, Limits, Parts};
use orrery::market::book::{Book, Contract, ContractState, Spot, SpotSource, Topology};
use orrery::market::epoch::{EpochRecord, Moment};
use orrery::projector::documents::Documents;
use orrery::shelf::Shelf;
use orrery_journal::event::OptionRight;
use orrery_journal::units::{Address, InstrumentId, Price, RecvTime, Seq, TradingDay};
use orrery_journal::{Copied, CopyProgress, DaySummary, Head, SealedPage, Stat};
use orrery_replay::artifact::{Artifact, Header};
use orrery_replay::fold::EpochId;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

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
        let backend = Arc::new(Fake { shelf: Arc::clone(&shelf), ..Fake::default() });
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

/// Artifacts by symbol, family and version.
type Kept = BTreeMap<(Box<str>, Box<str>, u64), Artifact>;

/// A backend over what tests put into it.
#[derive(Default)]
pub struct Fake {
    shelf: Arc<Shelf>,
    kept: Mutex<Kept>,
    /// A replay of this backend waits until it is cancelled.
    pub replay_waits: AtomicBool,
    /// A replay of this backend ends with a difference.
    pub replay_differs: AtomicBool,
    /// What was annotated over HTTP.
    pub brought: Mutex<Vec<gateway::Annotation>>,
}

impl House for Fake {
    fn artifact(
        &self,
        symbol: &str,
        family: &str,
        at: At,
    ) -> Result<Option<(Header, Bytes)>, HouseError> {
        let which = match at {
            At::Version(version) => Which::Version(version),
            At::Seq(seq) => Which::AsOf(AsOf::Seq(seq)),
            At::Time(time) => Which::AsOf(AsOf::Time(time)),
        };
        let told = |e: BackendError| HouseError::Invalid(e.to_string());
        let Some(header) = self.header(symbol, family, which).map_err(told)? else {
            return Ok(None);
        };
        let body = self.body(&header).map_err(told)?;
        Ok(Some((header, body)))
    }

    fn annotate(&self, annotation: &gateway::Annotation) -> Result<Seq, HouseError> {
        known(&annotation.symbol).map_err(|e| HouseError::Unknown(e.to_string()))?;
        let mut brought = self.brought.lock().expect("not poisoned");
        brought.push(annotation.clone());
        Ok(Seq(1000 + brought.len() as u64))
    }
}

impl Fake {
    pub fn keep(&self, artifact: Artifact) {
        let header = &artifact.header;
        let key = (header.symbol.clone(), header.family.clone(), header.version);
        self.kept.lock().expect("not poisoned").insert(key, artifact);
    }

    /// Keeps a version and puts it on the shelf, as the house does.
    pub fn publish(&self, artifact: Artifact) {
        self.keep(artifact.clone());
        self.shelf.place(artifact);
    }

    fn moment(&self, as_of: AsOf) -> Result<Moment, BackendError> {
        let seq = match as_of {
            AsOf::Head => 1000,
            AsOf::Seq(Seq(seq)) if seq <= 1000 => seq,
            AsOf::Time(RecvTime(t)) if t >= T0 => 1000.min((t - T0) as u64 / 1_000_000_000),
            other => {
                return Err(BackendError::OutOfRange {
                    asked: format!("{other:?}"),
                    has: "seq 1 to 1000".into(),
                });
            }
        };
        Ok(Moment { seq: Seq(seq), at: RecvTime(T0 + seq as i64 * 1_000_000_000) })
    }
}

fn known(symbol: &str) -> Result<(), BackendError> {
    if symbol == "SPX" {
        Ok(())
    } else {
        Err(BackendError::Unknown { what: "symbol", name: symbol.into() })
    }
}

/// Two expirations, strikes 6500 to 6600 by 5, calls and puts.
pub fn topology() -> Topology {
    let today = TradingDay::parse("2026-08-19").expect("a date");
    let mut contracts = Vec::new();
    for expiry in [today, TradingDay(today.0 + 1)] {
        for step in 0..21 {
            for right in [OptionRight::Call, OptionRight::Put] {
                let strike = 6500 + step * 5;
                let side = if right == OptionRight::Call { 'C' } else { 'P' };
                contracts.push(Contract {
                    instrument: InstrumentId(contracts.len() as u32 + 1),
                    ticker: format!("O:SPXW{}{side}{strike}", expiry.0).into(),
                    root: "SPXW".into(),
                    expiry,
                    settles_on: expiry,
                    settles_at: RecvTime(T0 + 6 * 3_600_000_000_000),
                    strike: Price(strike * Price::SCALE),
                    right,
                    style: None,
                    multiplier: 100.0,
                });
            }
        }
    }
    let slots = contracts.iter().enumerate().map(|(slot, c)| (c.instrument, slot)).collect();
    Topology {
        id: Address::of(b"topology"),
        symbol: "SPX".into(),
        contracts,
        expiries: vec![today, TradingDay(today.0 + 1)],
        widths: vec![Price(20 * Price::SCALE), Price(100 * Price::SCALE)],
        slots,
    }
}

/// A keeper of no sessions; `tests/it/sessions.rs` has a real one.
struct NoSessions;

impl NoSessions {
    fn none<T>() -> Result<T, BackendError> {
        Err(BackendError::Unavailable("no sessions here".into()))
    }
}

impl Sessions for NoSessions {
    fn create(&self, _: &SessionOrder) -> Result<SessionView, BackendError> {
        NoSessions::none()
    }

    fn branch(&self, _: &str, _: &BranchOrder) -> Result<SessionView, BackendError> {
        NoSessions::none()
    }

    fn get(&self, _: &str) -> Result<SessionView, BackendError> {
        NoSessions::none()
    }

    fn list(&self) -> Vec<SessionView> {
        Vec::new()
    }

    fn command(&self, _: &str, _: Command) -> Result<(SessionView, u32), BackendError> {
        NoSessions::none()
    }

    fn watch(&self, _: &str, _: Option<u64>, _: bool) -> Result<Watcher, BackendError> {
        NoSessions::none()
    }

    fn close(&self, _: &str) -> Result<SessionView, BackendError> {
        NoSessions::none()
    }
}

impl Operations for Fake {
    fn stat(&self) -> Result<Stat, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn backup(
        &self,
        _: &std::path::Path,
        _: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn compact(&self) -> Result<(u64, u64), BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn read(
        &self,
        _: &EventRange,
        _: &mut dyn FnMut(&[Found]) -> ControlFlow<()>,
    ) -> Result<ReadDone, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn tail(
        &self,
        _: &EventFilter,
        _: Start,
        _: Duration,
        _: &mut dyn FnMut() -> ControlFlow<()>,
        _: &mut dyn FnMut(Tailed<'_>) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn prove(&self, _: &Wanted, _: Option<&str>) -> Result<Given, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn checkpoint(&self, _: Option<&str>) -> Result<SignedCheckpoint, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn key(&self, _: Option<&str>) -> Result<String, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }
}

impl Certifying for Fake {
    fn seal(
        &self,
        _: TradingDay,
        _: bool,
        _: Option<&str>,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Sealed, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn certificates(&self) -> Result<Vec<certificate::Kept>, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn certificate(&self, _: WantedCertificate) -> Result<certificate::Kept, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn verify(
        &self,
        _: WantedCertificate,
        _: bool,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Verified, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn rotate(&self) -> Result<Rotated, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }
}

impl Points for Fake {
    fn header_at(&self, point: &Point) -> Result<Header, BackendError> {
        let which = match point.when {
            When::Version(version) => Which::Version(version),
            When::At(as_of) => Which::AsOf(as_of),
            When::Close(_) => Which::Latest,
        };
        let which = if which == Which::AsOf(AsOf::Head) { Which::Latest } else { which };
        let found = self.header(&point.symbol, &point.family, which)?;
        found.ok_or_else(|| BackendError::Unknown { what: "artifact", name: point.to_string() })
    }

    fn said(&self, point: &Point) -> Result<Said, BackendError> {
        let header = self.header_at(point)?;
        let body = self.body(&header)?;
        let moment = Moment { seq: header.seq_last, at: header.created_at };
        Ok(Said { header, body, moment })
    }

    /// One contract is behind every strike, and adds the version's number.
    fn behind(&self, said: &Said, paths: &[&str]) -> Result<Vec<Vec<CellPart>>, BackendError> {
        let part = CellPart {
            ticker: "O:SPXW260819C06540000".into(),
            expiry: "2026-08-19".to_owned(),
            strike: 6540.0,
            value: Some(said.header.version as f64),
        };
        let parts = |path: &&str| match path.starts_with("/by_strike/") {
            true => vec![part.clone()],
            false => Vec::new(),
        };
        Ok(paths.iter().map(parts).collect())
    }

    fn inputs(&self, _: &Header) -> Result<Vec<Header>, BackendError> {
        Ok(Vec::new())
    }
}

impl Profiles for Fake {
    fn standing(&self, as_of: AsOf) -> Result<Standing, BackendError> {
        Ok(Standing {
            moment: self.moment(as_of)?,
            in_force: Definitions::default(),
            shadows: Vec::new(),
        })
    }

    fn order(&self, _: &Order) -> Result<Seq, BackendError> {
        Err(BackendError::Precondition("nothing changes here".to_owned()))
    }

    fn report(&self, day: TradingDay, _: &str) -> Result<Vec<Reported>, BackendError> {
        Err(BackendError::Unknown { what: "day", name: day.to_string() })
    }
}

impl Backend for Fake {
    fn epochs(&self, symbol: &str, as_of: AsOf) -> Result<Epochs, BackendError> {
        known(symbol)?;
        let moment = self.moment(as_of)?;
        let at = |seq: u64| Moment { seq: Seq(seq), at: RecvTime(T0 + seq as i64 * 1_000_000_000) };
        let record = |id: &[u8], born, promoted: Option<u64>, retired: Option<u64>| EpochRecord {
            id: Address::of(id),
            born: at(born),
            promoted: promoted.map(at),
            retired: retired.map(at),
            contracts: 84,
            strikes: 21,
            strike_range: Some((Price(6500 * Price::SCALE), Price(6600 * Price::SCALE))),
            expiries: topology().expiries,
            roots: vec!["SPXW".into()],
            widths: topology().widths,
            chains: 1,
            dormancies: 0,
            dormant: false,
        };
        let seq = moment.seq.0;
        let mut epochs =
            vec![record(b"old", 1, (seq >= 5).then_some(5), (seq >= 105).then_some(105))];
        if seq >= 100 {
            epochs.push(record(b"topology", 100, (seq >= 105).then_some(105), None));
        }
        Ok(Epochs { moment, epochs })
    }

    fn plane(
        &self,
        symbol: &str,
        epoch: Option<EpochId>,
        as_of: AsOf,
    ) -> Result<Plane, BackendError> {
        known(symbol)?;
        if let Some(id) = epoch.filter(|id| *id != Address::of(b"topology")) {
            return Err(BackendError::Unknown { what: "epoch", name: id.to_string() });
        }
        let topology = Arc::new(topology());
        let states = topology
            .contracts
            .iter()
            .map(|c| ContractState { bid: Some(c.strike.to_f64() / 1000.0), ..Default::default() })
            .collect();
        let moment = self.moment(as_of)?;
        Ok(Plane {
            moment,
            day: TradingDay::parse("2026-08-19").expect("a date"),
            book: Book { topology, states },
            spot: Some(Spot { value: 6540.25, at: moment.at, source: SpotSource::Index }),
        })
    }

    fn explain(
        &self,
        symbol: &str,
        level: &str,
        profile: Option<&str>,
        as_of: AsOf,
    ) -> Result<Explained, BackendError> {
        known(symbol)?;
        if level == "nothing" {
            return Err(BackendError::Unknown { what: "level", name: level.to_owned() });
        }
        let share = |n: u32| LevelShare {
            ticker: format!("O:SPXW260819C0{}000", 6540 + n).into(),
            expiry: TradingDay::parse("2026-08-19").expect("a date"),
            strike: f64::from(6540 + n),
            value: f64::from(100 - n),
            share: 1.0 / f64::from(n + 2),
        };
        Ok(Explained {
            moment: self.moment(as_of)?,
            profile: format!("gex/{}@1", profile.unwrap_or("naive-oi")),
            level: (level != "flip").then_some(6540.0),
            value: 297.0,
            contracts: (0..3).map(share).collect(),
        })
    }

    fn families(&self) -> Result<Vec<(Box<str>, Box<str>)>, BackendError> {
        let kept = self.kept.lock().expect("not poisoned");
        let mut families: Vec<_> = kept.keys().map(|(s, f, _)| (s.clone(), f.clone())).collect();
        families.dedup();
        Ok(families)
    }

    fn header(
        &self,
        symbol: &str,
        family: &str,
        which: Which,
    ) -> Result<Option<Header>, BackendError> {
        let seq = match which {
            Which::AsOf(as_of) => self.moment(as_of)?.seq,
            _ => Seq::MAX,
        };
        let kept = self.kept.lock().expect("not poisoned");
        Ok(kept
            .values()
            .map(|artifact| &artifact.header)
            .filter(|h| &*h.symbol == symbol && &*h.family == family && h.seq_last <= seq)
            .filter(|h| !matches!(which, Which::Version(v) if v != h.version))
            .max_by_key(|h| h.version)
            .cloned())
    }

    fn corrected(&self, _: &str, _: &str, _: AsOf) -> Result<Option<CorrectedRead>, BackendError> {
        Err(BackendError::Unavailable("no journal here".into()))
    }

    fn headers(
        &self,
        symbol: &str,
        family: &str,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Header>, BackendError> {
        let kept = self.kept.lock().expect("not poisoned");
        Ok(kept
            .values()
            .map(|artifact| &artifact.header)
            .filter(|h| &*h.symbol == symbol && &*h.family == family && h.version >= from_version)
            .take(limit)
            .cloned()
            .collect())
    }

    fn body(&self, header: &Header) -> Result<Bytes, BackendError> {
        let key = (header.symbol.clone(), header.family.clone(), header.version);
        let kept = self.kept.lock().expect("not poisoned");
        kept.get(&key)
            .map(|artifact| artifact.body.clone())
            .ok_or_else(|| BackendError::Damaged("the body is gone".into()))
    }

    fn check_day(&self, day: TradingDay) -> Result<(), BackendError> {
        if day.to_string() == "2026-08-19" {
            Ok(())
        } else {
            Err(BackendError::Unknown { what: "day", name: day.to_string() })
        }
    }

    fn replay(
        &self,
        order: ReplayOrder,
        progress: &mut dyn FnMut(ReplayProgress),
        cancel: &AtomicBool,
    ) -> Result<ReplaySummary, BackendError> {
        self.check_day(order.day)?;
        let mut reached = ReplayProgress { events: 0, events_total: 1000, artifacts: 0 };
        let mut cancelled = false;
        while reached.events < 1000 {
            if cancel.load(Ordering::Relaxed) {
                cancelled = true;
                break;
            }
            if self.replay_waits.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            } else {
                reached.events += 100;
                reached.artifacts += 7;
            }
            progress(reached);
        }
        let differs = self.replay_differs.load(Ordering::Relaxed);
        Ok(ReplaySummary {
            progress: reached,
            elapsed: Duration::from_millis(400),
            cancelled,
            difference: differs.then(|| ReplayDifference {
                symbol: "SPX".into(),
                family: "gex".into(),
                version: 3,
                seq: Seq(30),
                field: "/levels/net".into(),
                recorded: "5.25".into(),
                replayed: "5.26".into(),
            }),
        })
    }
}

/// What this backend leaves to the real one; `tests/it/journaling.rs` has it.
fn elsewhere<T>() -> Result<T, BackendError> {
    Err(BackendError::Unavailable("not in this backend".into()))
}

impl Lookup for Fake {
    fn days(&self) -> Result<Vec<(DaySummary, Option<u32>)>, BackendError> {
        elsewhere()
    }

    fn event(&self, _: WhichEvent) -> Result<Placed, BackendError> {
        elsewhere()
    }

    fn page(&self, _: WhichPage) -> Result<SealedPage, BackendError> {
        elsewhere()
    }

    fn blob(&self, _: Address) -> Result<Bytes, BackendError> {
        elsewhere()
    }

    fn source(&self, _: u16) -> String {
        String::new()
    }
}

impl Appending for Fake {
    fn judge(&self, _: &Record) -> Result<(), Refusal> {
        Ok(())
    }

    fn append(&self, _: &str, _: Vec<Record>) -> Result<Pending, BackendError> {
        elsewhere()
    }
}

impl Annotating for Fake {
    fn annotations(
        &self,
        _: &WantedAnnotations,
    ) -> Result<(Moment, Vec<Annotation>), BackendError> {
        elsewhere()
    }
}

impl Administration for Fake {
    fn status(&self) -> Result<ServerStatus, BackendError> {
        elsewhere()
    }

    fn take_checkpoint(&self, _: Duration) -> Result<Head, BackendError> {
        elsewhere()
    }

    fn close_day(&self, _: TradingDay) -> Result<(), BackendError> {
        elsewhere()
    }
}
