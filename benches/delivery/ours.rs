//! The product, from the journal to the listener, with a fold of the bench's own.

mod plane;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use orrery::clock;
use orrery::gateway;
use orrery::projector::documents::Documents;
use orrery::projector::inspect::Buses;
use orrery::projector::inspect::repair::{Orders, publishing};
use orrery::projector::link::BusUrl;
use orrery::projector::publisher::Publisher;
use orrery::shelf::Shelf;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef, Quote};
use orrery_journal::units::{Price, SourceId};
use orrery_journal::{Journal, OpenOptions, Ticket};
use orrery_replay::catch_up::CatchUpOptions;
use orrery_replay::derived::Derived;
use orrery_replay::engine::{Engine, Made};
use orrery_replay::follow::Follower;
use tokio_util::sync::CancellationToken;

use crate::figures::{Figures, covered};
use crate::pace::{Pace, tick, ticker};
use crate::server::Redis;

pub struct Ours {
    pub durable: Figures,
    pub redis_after: Figures,
    pub sse_after: Figures,
    pub redis: Figures,
    pub sse: Figures,
    pub versions: f64,
    pub redis_cpu: f64,
}

/// The product without its command line.
struct House {
    redis: Redis,
    journal: Journal,
    source: SourceId,
    writer: orrery_journal::Writer,
    runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
    publishing: tokio::task::JoinHandle<()>,
    folding: (Arc<AtomicBool>, std::thread::JoinHandle<()>),
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl House {
    fn build() -> House {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let redis = Redis::start(false);
        let journal = Journal::open(dir.path(), &OpenOptions::default()).unwrap();
        let writer = journal.writer(clock::now).unwrap();
        let source = writer.define_source(r#"{"feed":"bench"}"#).unwrap();
        let shelf = Arc::new(Shelf::default());
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let url = BusUrl::parse(&redis.url()).unwrap();
        let buses = Buses { system: url.clone(), market: url };
        let config = publishing(&buses, &Orders { lineage: "bench".into(), ..Orders::default() });
        let publisher = Publisher::new(Arc::clone(&shelf), config).unwrap();
        let publishing = runtime.spawn(publisher.run(stop.clone()));
        let (stopped, entered) = (stop.clone(), runtime.enter());
        let documents = Documents::redis(&buses.system, &buses.market).unwrap();
        let address = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let address = listener.local_addr().unwrap();
            let parts = gateway::Parts {
                documents: Arc::new(documents),
                house: Arc::new(gateway::NoHouse),
                now_ms: clock::now_ms,
                metrics: Arc::new(String::new),
                ready: Arc::new(|| Ok(())),
            };
            let door = gateway::Door::default();
            tokio::spawn(gateway::serve(listener, parts, None, door, stopped));
            address
        });
        drop(entered);
        let folding = fold(&journal, dir.path(), &shelf);
        House {
            redis,
            journal,
            source,
            writer,
            runtime,
            stop,
            publishing,
            folding,
            address,
            _dir: dir,
        }
    }

    /// A quote of a tick.
    fn draft(&self, names: &[String], n: u64) -> Draft {
        let (contract, price) = tick(n);
        let bid = Some(Price(price * Price::SCALE / 100));
        Draft {
            recv: None,
            vendor_time: None,
            instrument: InstrumentRef::Ticker(names[contract].as_str().into()),
            source: self.source,
            extension: None,
            body: DraftBody::Quote {
                quote: Quote { bid, ..Quote::default() },
                conditions: Box::default(),
            },
        }
    }
}

/// The thread of the fold, as the product has it.
fn fold(
    journal: &Journal,
    dir: &std::path::Path,
    shelf: &Arc<Shelf>,
) -> (Arc<AtomicBool>, std::thread::JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let derived = Derived::open(dir).unwrap();
    let engine = Engine::new(Arc::new(plane::Bench));
    let options = CatchUpOptions::default();
    let mut follower = Follower::new(journal.clone(), derived, engine, options);
    let (stopping, shelf) = (Arc::clone(&stop), Arc::clone(shelf));
    let thread = std::thread::spawn(move || {
        let mut deliver = |made: &[Made]| {
            shelf.place_all(made.iter().map(|m| m.artifact.clone()));
        };
        while !stopping.load(Ordering::Acquire) {
            follower.step(Duration::from_millis(50), &mut deliver).unwrap();
        }
        follower.finish(&mut deliver).unwrap();
    });
    (stop, thread)
}

/// What `seq` an announcement tells of.
fn announced(payload: &[u8]) -> Option<u64> {
    let event: serde_json::Value = serde_json::from_slice(payload).ok()?;
    event["seq"].as_u64()
}

/// What follows from `seq` as an SSE client receives it: the value of the spot.
fn sse(address: SocketAddr, last: u64) -> std::thread::JoinHandle<Vec<(u64, Instant)>> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /sse/spot HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.next().unwrap().unwrap().contains("200"), "the stream is open");
    std::thread::spawn(move || {
        let mut all = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            let now = Instant::now();
            let Some(at) = line.find("\"value\":") else { continue };
            let digits = line[at + 8..].chars().take_while(char::is_ascii_digit);
            let Ok(reached) = digits.collect::<String>().parse() else { continue };
            all.push((reached, now));
            if reached >= last {
                break;
            }
        }
        all
    })
}

pub fn run(rate: u64, time: Duration) -> Ours {
    let house = House::build();
    let names: Vec<String> = (0..crate::CONTRACTS).map(ticker).collect();
    // Every contract has its name before the time counts.
    let first = (0..crate::CONTRACTS)
        .map(|contract| Draft {
            instrument: InstrumentRef::Ticker(names[contract].as_str().into()),
            ..house.draft(&names, 0)
        })
        .collect();
    let base = house.writer.append(first).unwrap().wait().unwrap().last.0;
    std::thread::sleep(Duration::from_millis(500));
    let pace = Pace::new(rate, time);
    let last = base + pace.ticks;
    let hearing = house.redis.listen("orrery:{SPX}:events", announced, last);
    let reading = sse(house.address, last);
    let before = house.redis.cpu();
    let (sent, tickets) = mpsc::channel::<Ticket>();
    let waiting = std::thread::spawn(move || {
        let mut durable = Vec::new();
        for ticket in tickets {
            let appended = ticket.wait().unwrap();
            let now = Instant::now();
            durable.extend((appended.first.0..=appended.last.0).map(|seq| (seq, now)));
        }
        durable
    });
    pace.run(|due| {
        let drafts = due.map(|n| house.draft(&names, n)).collect();
        sent.send(house.writer.append(drafts).unwrap()).unwrap();
    });
    drop(sent);
    let durable = waiting.join().unwrap();
    assert_eq!(durable.last().map(|(seq, _)| *seq), Some(last), "a tick is one event");
    // Time goes on, so that the last ticks are told of.
    let beat = Draft {
        instrument: InstrumentRef::Ticker(names[0].as_str().into()),
        ..house.draft(&names, 0)
    };
    std::thread::sleep(Duration::from_millis(20));
    house.writer.append(vec![beat]).unwrap().wait().unwrap();
    let (heard, read) = (hearing.join().unwrap(), reading.join().unwrap());
    let redis_cpu = house.redis.cpu() - before;
    let due: Vec<(u64, Instant)> = (0..pace.ticks).map(|n| (base + n + 1, pace.due(n))).collect();
    let figures = Ours {
        durable: covered(&due, &durable),
        redis_after: covered(&durable, &heard),
        sse_after: covered(&durable, &read),
        redis: covered(&due, &heard),
        sse: covered(&due, &read),
        versions: heard.len() as f64 / time.as_secs_f64(),
        redis_cpu,
    };
    house.end();
    figures
}

impl House {
    fn end(self) {
        let (stop, thread) = self.folding;
        stop.store(true, Ordering::Release);
        thread.join().unwrap();
        self.stop.cancel();
        self.runtime.block_on(self.publishing).unwrap();
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        self.writer.close().unwrap();
        drop(self.journal);
    }
}
