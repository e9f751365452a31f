//! Three masters: keys of a symbol lie together, symbols do not wait for each
//! other, slots may move; names that cannot lie together are refused at start.

mod inspected;

use orrery::projector::link::BusUrl;
use orrery::projector::registry::{KeySet, slots};

use super::*;
use crate::support::Orrery;
use crate::support::redis::free_port;

const SYMBOLS: [&str; 6] = ["SPX", "NDX", "RUT", "GOOG", "TSLA", "BTC"];

struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    async fn start() -> Cluster {
        let nodes: Vec<_> = (0..3)
            .map(|_| {
                let bus = free_port().to_string();
                RedisServer::start_with(&[
                    "--cluster-enabled",
                    "yes",
                    "--cluster-port",
                    &bus,
                    "--cluster-node-timeout",
                    "1000",
                    "--cluster-require-full-coverage",
                    "no",
                ])
            })
            .collect();
        let share = slots::SLOTS / 3 + 1;
        for (at, node) in nodes.iter().enumerate() {
            let first = at as u16 * share;
            let last = (first + share - 1).min(slots::SLOTS - 1);
            let (first, last) = (first.to_string(), last.to_string());
            node.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            node.run::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        let cluster = Cluster { nodes };
        for node in &cluster.nodes[1..] {
            let (port, bus) = (node.port().to_string(), Cluster::bus_port(node));
            cluster.nodes[0].run::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        eventually("the cluster is one", || cluster.nodes.iter().all(Cluster::is_whole)).await;
        cluster
    }

    /// The port on which nodes talk to each other.
    fn bus_port(node: &RedisServer) -> String {
        node.run::<(String, String)>(&["CONFIG", "GET", "cluster-port"]).1
    }

    fn is_whole(node: &RedisServer) -> bool {
        let info: String = node.run(&["CLUSTER", "INFO"]);
        info.contains("cluster_state:ok") && info.contains("cluster_slots_assigned:16384")
    }

    /// Which node has the keys of a symbol.
    fn holder(&self, symbol: &str) -> usize {
        usize::from(slots::slot_of_symbol(symbol) / (slots::SLOTS / 3 + 1))
    }

    fn url(&self) -> BusUrl {
        let hosts: Vec<_> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        BusUrl::parse(&format!("redis+cluster://{}", hosts.join(","))).expect("an address")
    }

    fn config(&self, sets: &[KeySet]) -> PublisherConfig {
        PublisherConfig {
            system: self.url(),
            market: self.url(),
            lineage: "journal-a".into(),
            takeover: false,
            prefix: None,
            sets: KeySets::of(sets.iter().copied()),
        }
    }
}

fn of_symbol(symbol: &str, version: u64) -> Vec<Artifact> {
    let of = |artifact: Artifact| {
        let header = Header { symbol: symbol.into(), ..artifact.header };
        Artifact { header, ..artifact }
    };
    all(version).into_iter().map(of).collect()
}

/// The version of a symbol's gamma exposure on a node.
fn version(node: &RedisServer, symbol: &str) -> Option<u64> {
    let key = format!("orrery:{{{symbol}}}:artifact:gex");
    let text: redis::RedisResult<Option<String>> =
        redis::cmd("GET").arg(key).query(&mut node.try_connect()?);
    let document: Value = serde_json::from_str(&text.ok()??).expect("JSON");
    document["header"]["version"].as_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_masters_hold_their_symbols_and_do_not_wait_for_each_other() {
    let mut cluster = Cluster::start().await;
    let shelf = Arc::new(Shelf::default());
    let place = |version: u64| {
        for symbol in SYMBOLS {
            shelf.place_all(of_symbol(symbol, version));
        }
    };
    place(1);
    // Events are heard on any node.
    let heard = reader::hear(cluster.nodes[2].port(), "orrery:{SPX}:events");
    let publisher = Publisher::new(shelf.clone(), cluster.config(&[KeySet::Orrery]));
    let running = Running::of(publisher.expect("tagged names fit"));
    let everywhere = |cluster: &Cluster, wanted: u64, without: Option<usize>| {
        let all = SYMBOLS.iter().map(|symbol| (cluster.holder(symbol), symbol));
        let mut rest = all.filter(|(node, _)| Some(*node) != without);
        rest.all(|(node, symbol)| version(&cluster.nodes[node], symbol) == Some(wanted))
    };
    eventually("all symbols are stored", || everywhere(&cluster, 1, None)).await;
    assert_eq!(heard.next().await["symbol"], "SPX");
    let holders: std::collections::BTreeSet<usize> =
        SYMBOLS.iter().map(|symbol| cluster.holder(symbol)).collect();
    assert!(holders.len() > 1, "the symbols lie on one node");
    for node in &cluster.nodes {
        for key in node.run::<Vec<String>>(&["KEYS", "*"]) {
            assert!(RegisteredKey::parse(&key).is_some(), "{key} is a stranger");
        }
    }

    let down = cluster.holder("SPX");
    cluster.nodes[down].kill();
    place(2);
    let begun = Instant::now();
    eventually("the others go on", || everywhere(&cluster, 2, Some(down))).await;
    assert!(begun.elapsed() < Duration::from_secs(4), "took {:?}", begun.elapsed());
    // Empty, but with its place in the cluster.
    cluster.nodes[down].restart();
    let begun = Instant::now();
    eventually("it is whole again", || everywhere(&cluster, 2, None)).await;
    println!("back after {:?}", begun.elapsed());

    // The slot of a symbol moves to another node, with its keys.
    let (from, to) = (cluster.holder("SPX"), (cluster.holder("SPX") + 1) % 3);
    let slot = slots::slot_of_symbol("SPX").to_string();
    let id = |node: usize| cluster.nodes[node].run::<String>(&["CLUSTER", "MYID"]);
    let (source, target) = (id(from), id(to));
    cluster.nodes[to].run::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
    cluster.nodes[from].run::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]);
    let port = cluster.nodes[to].port().to_string();
    loop {
        let keys: Vec<String> =
            cluster.nodes[from].run(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
        if keys.is_empty() {
            break;
        }
        for key in keys {
            let moved = ["MIGRATE", "127.0.0.1", &port, &key, "0", "2000", "REPLACE"];
            cluster.nodes[from].run::<String>(&moved);
        }
    }
    for node in [to, from] {
        cluster.nodes[node].run::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]);
    }
    place(3);
    eventually("the publisher has followed the slot", || {
        version(&cluster.nodes[to], "SPX") == Some(3)
    })
    .await;
    running.stop().await;
}

#[test]
fn names_that_a_cluster_keeps_apart_are_refused_at_start() {
    let config = PublisherConfig {
        system: BusUrl::parse("redis+cluster://127.0.0.1:1").expect("an address"),
        market: BusUrl::parse("redis+cluster://127.0.0.1:1").expect("an address"),
        lineage: Box::default(),
        takeover: false,
        prefix: None,
        sets: KeySets::default(),
    };
    let refused = Publisher::new(Arc::default(), config).err().expect("refused");
    assert_eq!(refused.set, KeySet::Marketswarm);
    let orrery = Orrery::new();
    let ended =
        orrery.run(&["serve", "--feed", "simulate", "--redis", "redis+cluster://127.0.0.1:1"]);
    assert_ne!(ended.code, 0);
    assert!(ended.stderr.contains("--redis-sets orrery"), "{}", ended.stderr);
    assert!(!orrery.data().exists(), "nothing was begun");
}
