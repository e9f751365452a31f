//! A Redis of the bench, on a free port of the loopback address: without a disk,
//! or with a log that is synced before it answers.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Redis {
    child: Child,
    pub port: u16,
    /// Held: its log lies there.
    _dir: tempfile::TempDir,
}

impl Redis {
    pub fn start(durable: bool) -> Redis {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", if durable { "yes" } else { "no" }])
            .args(["--appendfsync", "always", "--auto-aof-rewrite-percentage", "0"])
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server; Debian's package is of that name");
        let redis = Redis { child, port, _dir: dir };
        let until = Instant::now() + Duration::from_secs(10);
        while redis.client().get_connection().is_err() {
            assert!(Instant::now() < until, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn client(&self) -> redis::Client {
        redis::Client::open(self.url()).unwrap()
    }

    /// Seconds of CPU that the server has used.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |n: usize| fields[n].parse::<f64>().unwrap();
        // Fields 14 and 15 of the whole line; a tick is a hundredth of a second.
        (ticks(11) + ticks(12)) / 100.0
    }

    /// What is published on a channel, as `seen` reads it, until it says stop.
    pub fn listen(
        &self,
        channel: &str,
        seen: impl Fn(&[u8]) -> Option<u64> + Send + 'static,
        last: u64,
    ) -> std::thread::JoinHandle<Vec<(u64, Instant)>> {
        let mut connection = self.client().get_connection().unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let channel = channel.to_owned();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let listening = std::thread::spawn(move || {
            let mut all = Vec::new();
            let mut channels = connection.as_pubsub();
            channels.subscribe(&channel).unwrap();
            ready.send(()).unwrap();
            // Silence for the time of the read is the end, too.
            while let Ok(message) = channels.get_message() {
                let now = Instant::now();
                if let Some(reached) = seen(message.get_payload_bytes()) {
                    all.push((reached, now));
                    if reached >= last {
                        break;
                    }
                }
            }
            all
        });
        is_ready.recv().unwrap();
        listening
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
