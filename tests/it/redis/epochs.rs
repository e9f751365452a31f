//! The gate of epochs in Redis: a promotion shows everything at once, and what
//! only the epoch before published is left 300 seconds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

const CALLS: &str = "massive:gex:model:I:SPX:calls";
const ACTIVE: &str = "massive:epoch:active";

fn id(epoch: u64) -> Address {
    Address::of(&epoch.to_be_bytes())
}

/// An artifact of an epoch.
fn of(artifact: Artifact, epoch: u64) -> Artifact {
    let header = Header { epoch: Some(id(epoch)), ..artifact.header };
    Artifact { header, ..artifact }
}

/// Everything that speaks in an epoch.
fn speaking(version: u64, epoch: u64) -> Vec<Artifact> {
    let all = [gravity(version), context(version), spot(version), gex(version)];
    all.into_iter().chain([super::epoch(version)]).map(|a| of(a, epoch)).collect()
}

/// Looks at several families in one step, again and again.
struct Watcher {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<Vec<String>>,
}

fn watch(server: &RedisServer) -> Watcher {
    let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted) = (stop.clone(), looks.clone());
    let mut connection = server.connect();
    let thread = std::thread::spawn(move || {
        let mut mixed = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            let look: (Option<String>, Option<String>, Option<String>, Option<String>) =
                redis::pipe()
                    .atomic()
                    .get(ACTIVE)
                    .get(CALLS)
                    .get("massive:gex:model:I:SPX:puts")
                    .get(ARTIFACT)
                    .query(&mut connection)
                    .expect("the server answers");
            let epoch = |text: Option<String>, meta: bool| {
                let document: Value = serde_json::from_str(&text?).expect("JSON");
                let of = if meta { &document["meta"]["epoch"] } else { &document["epoch"] };
                of.as_str().map(str::to_owned)
            };
            let seen = [look.0, epoch(look.1, false), epoch(look.2, false), epoch(look.3, true)];
            if seen.windows(2).any(|pair| pair[0] != pair[1]) {
                mixed.push(format!("{seen:?}"));
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
        mixed
    });
    Watcher { stop, looks, thread }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_shows_all_families_at_once() {
    let server = RedisServer::start();
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(speaking(1, 1));
    let running = Running::start(&shelf, &server, &server);
    running.settled().await;
    let watcher = watch(&server);
    for epoch in 2..=60 {
        shelf.place_all(speaking(epoch, epoch));
        eventually("the promotion is out", || {
            server.run::<Option<String>>(&["GET", ACTIVE]) == Some(id(epoch).to_string())
        })
        .await;
    }
    watcher.stop.store(true, Ordering::Relaxed);
    let mixed = watcher.thread.join().expect("the watcher ends");
    assert!(watcher.looks.load(Ordering::Relaxed) > 100);
    assert!(mixed.is_empty(), "{} mixtures, the first: {}", mixed.len(), mixed[0]);
    let line: Vec<String> = server.run(&["LRANGE", "epoch:timeline:I:SPX", "0", "1"]);
    assert!(line[0].contains(&id(60).to_string()) && line[1].contains(&id(59).to_string()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_epoch_before_published_is_left_300_seconds() {
    let (system, market) = (RedisServer::start(), RedisServer::start());
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(speaking(1, 1));
    shelf.place(of(heatmap(1), 1));
    let running = Running::start(&shelf, &system, &market);
    running.settled().await;
    let own = [
        HEATMAP,
        "massive:heatmap:replay:I:SPX",
        "orrery:{SPX}:artifact:heatmap",
        "orrery:{SPX}:artifact:heatmap:meta",
    ];
    let ttl = |server: &RedisServer, key: &str| server.run::<i64>(&["TTL", key]);
    assert!(own.iter().all(|key| !(0..=300).contains(&ttl(&market, key))));
    // The next epoch has everything but a heatmap.
    shelf.place_all(speaking(2, 2));
    let meta = |epoch: u64| format!("epoch:meta:{}", id(epoch));
    eventually("what is over goes", || {
        own.iter().all(|key| (1..=300).contains(&ttl(&market, key)))
            && (1..=300).contains(&ttl(&market, &meta(1)))
    })
    .await;
    assert!(ttl(&market, &meta(2)) > 23_000, "the active one stays");
    assert_eq!(market.run::<String>(&["HGET", "epoch:active", "I:SPX"]), id(2).to_string());
    for (server, key) in [(&system, ARTIFACT), (&market, CALLS), (&market, ACTIVE)] {
        assert!(!(0..=300).contains(&ttl(server, key)), "{key} speaks in both");
    }
    assert_eq!(running.stats.retired.get(), 1);

    // Two looks later it still goes; gone is not lost; a restart does not bring it back.
    tokio::time::sleep(Duration::from_millis(2_200)).await;
    assert!(own.iter().all(|key| (1..=300).contains(&ttl(&market, key))));
    market.run::<()>(&["DEL", HEATMAP]);
    running.stop().await;
    let running = Running::start(&shelf, &system, &market);
    eventually("it has been told again", || running.stats.retired.get() == 1).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(read(&market, HEATMAP), None);

    // It speaks again.
    shelf.place(of(heatmap(3), 2));
    eventually("the heatmap is back", || read(&market, HEATMAP).is_some()).await;
    assert!(ttl(&market, HEATMAP) > 259_000);
    assert_eq!(ttl(&market, own[3]), -1, "what tells its versions apart stays again");
    running.stop().await;
}
