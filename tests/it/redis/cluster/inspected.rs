//! A cluster is looked at and mended node by node.

use std::collections::BTreeSet;

use orrery::projector::inspect::audit::audit;
use orrery::projector::inspect::finding::Problem;
use orrery::projector::inspect::health::health;
use orrery::projector::inspect::repair::{Orders, repair};
use orrery::projector::inspect::{Buses, Ours};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_inspected_and_mended_node_by_node() {
    let cluster = Cluster::start().await;
    let shelf = Arc::new(Shelf::default());
    for symbol in SYMBOLS {
        shelf.place_all(of_symbol(symbol, 1));
    }
    let ours = Ours { sets: KeySets::of([KeySet::Orrery]), ..Ours::default() };
    let buses = Buses { system: cluster.url(), market: cluster.url() };
    let orders = Orders { lineage: "journal-a".into(), ours: ours.clone(), ..Orders::default() };
    let repaired = repair(&buses, &shelf, &orders).await.expect("the cluster answers");
    assert!(!repaired.actions.is_empty(), "an empty cluster lacks everything");
    assert_eq!(repaired.left, [], "{repaired:#?}");
    assert!(repaired.republished >= 5 * SYMBOLS.len() as u64, "{}", repaired.republished);

    let clean = audit(&buses, &ours).await.expect("the cluster answers");
    assert_eq!(clean.findings, []);
    assert_eq!(clean.servers.len(), 3, "every master is looked at");
    let registered: u64 = clean.servers.iter().map(|s| s.registered).sum();
    assert!(registered >= 10 * SYMBOLS.len() as u64, "{clean:#?}");

    let holder = cluster.holder("SPX");
    cluster.nodes[holder].run::<()>(&["PERSIST", "orrery:{SPX}:artifact:gex"]);
    cluster.nodes[holder].run::<()>(&["SET", "orrery:{SPX}:ticks", "[1,2]"]);
    let found = audit(&buses, &ours).await.expect("the cluster answers").findings;
    let told: BTreeSet<_> =
        found.iter().map(|f| (f.bus.clone(), f.key.as_str(), f.problem)).collect();
    let bus = format!("system+market#{}", holder + 1);
    let expected = BTreeSet::from([
        (bus.clone(), "orrery:{SPX}:artifact:gex", Problem::NoTtl),
        (bus, "orrery:{SPX}:ticks", Problem::Raw),
    ]);
    assert_eq!(told, expected);

    let found = health(&buses, 5, &ours).await;
    assert_eq!(found.servers.len(), 3);
    for server in &found.servers {
        assert_eq!(server.unreachable, None, "{server:#?}");
        assert_eq!(server.latency.map(|l| l.set.samples), Some(5), "{server:#?}");
    }
    let far = Orders { strangers: true, ..orders };
    let repaired = repair(&buses, &shelf, &far).await.expect("the cluster answers");
    assert_eq!(repaired.left, [], "{repaired:#?}");
}
