//! A reader that fetches on each event, while Redis is killed, emptied, halted,
//! filled up and made read-only.

use super::reader::Reader;
use super::*;

/// Places versions a little faster than they can be delivered.
async fn place(shelf: &Shelf, versions: std::ops::RangeInclusive<u64>) {
    for version in versions {
        shelf.place_all(all(version));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Everything is at this version, within two seconds.
async fn current(system: &RedisServer, market: &RedisServer, version: u64) {
    let begun = Instant::now();
    let expected = format!("v{version}");
    eventually("the newest version is there", || {
        gravity_version(system).as_deref() == Some(&*expected)
            && read(market, HEATMAP).is_some_and(|heatmap| heatmap["version"] == version)
    })
    .await;
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
}

async fn same_tiles(reader: &Reader, market: &RedisServer, version: u64) {
    eventually("the reader is at the newest heatmap", || reader.tiles().0 == version).await;
    let latest = read(market, HEATMAP).expect("a heatmap");
    assert_eq!(Value::Object(reader.tiles().1), latest["tiles"], "initial state and differences");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_every_event_has_its_artifact() {
    let server = RedisServer::start();
    run(vec![server]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_every_event_has_its_artifact() {
    run(vec![RedisServer::start(), RedisServer::start()]).await;
}

async fn run(mut servers: Vec<RedisServer>) {
    let (first, last) = (0, servers.len() - 1);
    let shelf = Arc::new(Shelf::default());
    let running = Running::start(&shelf, &servers[first], &servers[last]);
    place(&shelf, 1..=1).await;
    running.settled().await;
    let reader = Reader::start(servers[first].port(), servers[last].port());
    eventually("the reader has state", || reader.tiles().0 > 0).await;

    place(&shelf, 2..=250).await;
    current(&servers[first], &servers[last], 250).await;
    same_tiles(&reader, &servers[last], 250).await;
    assert!(reader.events() > 20, "only {} events", reader.events());
    assert!(reader.diffs() > 20, "only {} differences", reader.diffs());

    let mut version = 250;
    for fault in 0..servers.len() * 3 {
        let which = fault % servers.len();
        let stepped = version + 1..=version + 30;
        reader.fault();
        match fault / servers.len() {
            0 => {
                servers[which].kill();
                place(&shelf, stepped).await;
                reader.fault();
                servers[which].restart();
            }
            1 => {
                place(&shelf, stepped).await;
                reader.fault();
                servers[which].run::<()>(&["FLUSHALL"]);
            }
            _ => {
                servers[which].signal("STOP");
                place(&shelf, stepped).await;
                tokio::time::sleep(Duration::from_secs(2)).await;
                servers[which].signal("CONT");
            }
        }
        version += 30;
        reader.fault();
        current(&servers[first], &servers[last], version).await;
    }
    // Beyond what a fault excuses: strict again.
    tokio::time::sleep(Duration::from_millis(4600)).await;
    place(&shelf, version + 1..=version + 50).await;
    version += 50;
    current(&servers[first], &servers[last], version).await;
    same_tiles(&reader, &servers[last], version).await;
    assert!(running.stats.reconnects.get() > 0);
    running.stop().await;
    reader.finish();
}

/// A publisher that stores and announces apart must be caught.
#[tokio::test(flavor = "multi_thread")]
async fn the_reader_catches_a_publisher_that_announces_first() {
    let server = RedisServer::start();
    let reader = Reader::start(server.port(), server.port());
    eventually("the reader listens", || {
        server.run::<(String, u64)>(&["PUBSUB", "NUMSUB", "dealer_gravity_updated"]).1 == 1
    })
    .await;
    let event = r#"{"artifact_version":"v1"}"#;
    server.run::<()>(&["PUBLISH", "dealer_gravity_updated", event]);
    eventually("it heard", || reader.events() == 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(reader.violations(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_hears_no_event_of_what_it_did_not_store() {
    let server = RedisServer::start();
    refusing(
        &server,
        &server,
        &["CONFIG", "SET", "maxmemory", "1"],
        &["CONFIG", "SET", "maxmemory", "0"],
    )
    .await;
    let (system, market) = (RedisServer::start(), RedisServer::start());
    refusing(
        &system,
        &market,
        &["CONFIG", "SET", "maxmemory", "1"],
        &["CONFIG", "SET", "maxmemory", "0"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_server_hears_no_event_of_what_it_did_not_store() {
    let server = RedisServer::start();
    refusing(&server, &server, &["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"]).await;
}

/// The system bus refuses writes for a while.
async fn refusing(system: &RedisServer, market: &RedisServer, refuse: &[&str], accept: &[&str]) {
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(all(1));
    let running = Running::start(&shelf, system, market);
    running.settled().await;
    let heard = super::reader::hear(market.port(), "dealer_gravity_updated");
    system.run::<()>(refuse);
    // What must not be done: stored and told apart, only the telling succeeds.
    let mut connection = market.connect();
    let stored: redis::RedisResult<()> =
        redis::cmd("SET").arg("control").arg("x").query(&mut system.connect());
    assert!(stored.is_err(), "the server was to refuse");
    let control = r#"{"artifact_version":"control"}"#;
    let told: i64 = redis::cmd("PUBLISH")
        .arg("dealer_gravity_updated")
        .arg(control)
        .query(&mut connection)
        .expect("told although nothing was stored");
    assert_eq!(told, 1);
    assert_eq!(heard.next().await["artifact_version"], "control");

    for version in 2..=20 {
        shelf.place_all(all(version));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(heard.is_silent(), "an event without its artifact");
    assert_eq!(gravity_version(system).as_deref(), Some("v1"));
    assert!(running.stats.failed.get() > 0 && running.stats.waiting.get() > 0);
    system.run::<()>(accept);
    let begun = Instant::now();
    assert_eq!(heard.next().await["artifact_version"], "v20");
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    assert_eq!(gravity_version(system).as_deref(), Some("v20"));
    running.stop().await;
}
