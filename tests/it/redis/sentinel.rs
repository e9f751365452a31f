//! A master that sentinels watch: the publisher follows a failover by itself.

use std::process::{Child, Command, Stdio};

use orrery::projector::link::BusUrl;

use super::*;
use crate::support::redis::{free_port, try_connect};

const NAME: &str = "main";

struct Sentinel {
    port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Sentinel {
    fn watch(master: &RedisServer) -> Sentinel {
        let (port, dir) = (free_port(), tempfile::tempdir().expect("a temporary folder"));
        let configuration = format!(
            "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds {NAME} 400\nsentinel failover-timeout {NAME} 3000\n",
            master.port()
        );
        let path = dir.path().join("sentinel.conf");
        std::fs::write(&path, configuration).expect("a file");
        let child = Command::new("redis-server")
            .arg(&path)
            .arg("--sentinel")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server starts as a sentinel");
        Sentinel { port, child, _dir: dir }
    }

    /// How many sentinels and replicas it knows of.
    fn knows(&self) -> (usize, usize) {
        let Some(mut connection) = try_connect(self.port) else { return (0, 0) };
        let mut ask = |what: &str| {
            let listed: redis::RedisResult<Vec<redis::Value>> =
                redis::cmd("SENTINEL").arg(what).arg(NAME).query(&mut connection);
            listed.map_or(0, |all| all.len())
        };
        (ask("SENTINELS"), ask("REPLICAS"))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_is_followed_and_nothing_is_told_in_vain() {
    let quick = ["--repl-diskless-sync-delay", "0"];
    let mut master = RedisServer::start_with(&quick);
    let replica = RedisServer::start_with(&quick);
    replica.run::<()>(&["REPLICAOF", "127.0.0.1", &master.port().to_string()]);
    let sentinels: Vec<_> = (0..3).map(|_| Sentinel::watch(&master)).collect();
    let hosts: Vec<_> = sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect();
    let url = format!("redis+sentinel://{}/{NAME}", hosts.join(","));
    let url = BusUrl::parse(&url).expect("an address");
    let shelf = Arc::new(Shelf::default());
    shelf.place_all(all(1));
    let config = PublisherConfig {
        system: url.clone(),
        market: url.clone(),
        lineage: "journal-a".into(),
        takeover: false,
        prefix: None,
        sets: KeySets::default(),
    };
    let running = Running::with(&shelf, config);
    running.settled().await;
    assert_eq!(gravity_version(&master).as_deref(), Some("v1"));
    eventually("the sentinels know each other and the replica", || {
        sentinels.iter().all(|s| s.knows() == (2, 1))
    })
    .await;
    let documents = Documents::redis(&url, &url).expect("usable addresses");
    eventually("the replica has it", || gravity_version(&replica).as_deref() == Some("v1")).await;

    master.kill();
    let mut version = 1;
    let begun = Instant::now();
    while gravity_version(&replica) != Some(format!("v{version}")) || version < 5 {
        assert!(begun.elapsed() < Duration::from_secs(30), "no failover in 30 s");
        version += 1;
        shelf.place_all(all(version));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A promoted server ends every line, so only now can anybody listen.
    let heard = reader::hear(replica.port(), "dealer_gravity_updated");
    version += 1;
    shelf.place_all(all(version));
    let told = heard.next().await["artifact_version"].clone();
    assert_eq!(
        (told, gravity_version(&replica)),
        (json!(format!("v{version}")), Some(format!("v{version}")))
    );
    let read = documents.get(Bus::System, ARTIFACT).await.expect("readers follow, too");
    assert!(read.is_some());

    // The old master comes back and is made a replica; it is not written to.
    master.restart();
    eventually("the newest goes on", || {
        version += 1;
        shelf.place_all(all(version));
        std::thread::sleep(Duration::from_millis(50));
        gravity_version(&replica) == Some(format!("v{version}"))
    })
    .await;
    running.stop().await;
}
