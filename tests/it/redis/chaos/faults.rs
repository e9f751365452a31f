//! What is done to a server, and how it is undone.

use std::time::Duration;

use super::proxy::Proxy;
use crate::support::redis::RedisServer;

/// Arguments that some faults need.
const ARGUMENTS: [&str; 8] = [
    "--enable-debug-command",
    "local",
    "--repl-diskless-sync-delay",
    "0",
    "--repl-timeout",
    "5",
    "--dbfilename",
    "dump.rdb",
];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// Killed, and started again empty.
    Kill,
    /// Emptied.
    Flush,
    /// Halted for a moment.
    Pause,
    /// Halted for longer than an answer may take.
    LongPause,
    /// Made a replica of nobody, and a master again.
    ReadOnly,
    /// Killed, and started again with much to load.
    Loading,
    /// No memory left for writes.
    Full,
    /// Little memory left, and whatever is there may go.
    Evict,
    /// A password that nobody has.
    Auth,
    /// Swapped for one that has older data.
    Older,
    /// Killed, and its replica made the master.
    Failover,
    /// Every connection cut.
    Cut,
    /// Connections that carry nothing and do not end.
    BlackHole,
    /// Forgot its scripts.
    Scripts,
    /// Answers nobody for a while.
    Slow,
}

impl Fault {
    pub const ALL: [Fault; 15] = [
        Fault::Kill,
        Fault::Flush,
        Fault::Pause,
        Fault::LongPause,
        Fault::ReadOnly,
        Fault::Loading,
        Fault::Full,
        Fault::Evict,
        Fault::Auth,
        Fault::Older,
        Fault::Failover,
        Fault::Cut,
        Fault::BlackHole,
        Fault::Scripts,
        Fault::Slow,
    ];

    /// Whether the server may be without what it held, so that an event may
    /// stand without its artifact until it is repaired.
    pub fn loses(self) -> bool {
        use Fault::{Evict, Failover, Flush, Kill, Loading, Older};
        matches!(self, Kill | Flush | Loading | Evict | Older | Failover)
    }
}

/// One bus: a server behind an address that stays.
pub struct Bus {
    pub proxy: Proxy,
    pub server: RedisServer,
}

impl Bus {
    pub fn start() -> Bus {
        let server = RedisServer::start_with(&ARGUMENTS);
        Bus { proxy: Proxy::to(server.port()), server }
    }

    /// Does it and undoes it; when this returns the server answers and takes
    /// writes. `ms` is how long it lasts, where that can be chosen.
    pub fn suffer(&mut self, fault: Fault, ms: u64) {
        let lasting = Duration::from_millis(ms);
        let wait = || std::thread::sleep(lasting);
        match fault {
            Fault::Kill => {
                self.server.kill();
                wait();
                self.server.restart();
            }
            Fault::Flush => self.server.run::<()>(&["FLUSHALL"]),
            Fault::Pause => self.halted(lasting),
            Fault::LongPause => self.halted(Duration::from_millis(1_700)),
            Fault::ReadOnly => {
                self.server.run::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
                wait();
                self.server.run::<()>(&["REPLICAOF", "NO", "ONE"]);
            }
            Fault::Loading => {
                self.server.run::<()>(&["SAVE"]);
                // Slowly, and answering meanwhile, as with much to load.
                let slowly = ["--key-load-delay", "10000"];
                let open = ["--loading-process-events-interval-bytes", "1024"];
                self.server.restart_with(&[slowly, open].concat());
            }
            Fault::Full => {
                self.server.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
                wait();
                self.server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
            }
            Fault::Evict => {
                self.server.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
                self.server.run::<()>(&["CONFIG", "SET", "maxmemory", "1200000"]);
                wait();
                self.server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
                self.server.run::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
            }
            Fault::Auth => {
                let mut ours = self.server.connect();
                let mut say = |words: &[&str]| {
                    let mut cmd = redis::cmd(words[0]);
                    cmd.arg(&words[1..]).query::<redis::Value>(&mut ours).expect("ours stays");
                };
                say(&["CONFIG", "SET", "requirepass", "another"]);
                say(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
                wait();
                say(&["CONFIG", "SET", "requirepass", ""]);
            }
            Fault::Older => {
                self.server.run::<()>(&["SAVE"]);
                wait();
                self.server.restart();
            }
            Fault::Failover => self.fail_over(lasting),
            Fault::Cut => self.proxy.cut(),
            Fault::BlackHole => {
                self.proxy.hold(true);
                wait();
                self.proxy.hold(false);
            }
            Fault::Scripts => self.server.run::<()>(&["SCRIPT", "FLUSH"]),
            Fault::Slow => {
                let seconds = format!("{:.3}", lasting.as_secs_f64());
                self.server.run::<()>(&["DEBUG", "SLEEP", &seconds]);
            }
        }
    }

    fn halted(&self, lasting: Duration) {
        self.server.signal("STOP");
        std::thread::sleep(lasting);
        self.server.signal("CONT");
    }

    /// What the replica has not got yet is lost, as with any failover.
    fn fail_over(&mut self, lasting: Duration) {
        let replica = RedisServer::start_with(&ARGUMENTS);
        replica.run::<()>(&["REPLICAOF", "127.0.0.1", &self.server.port().to_string()]);
        let follows = || replica.run::<String>(&["INFO", "replication"]).contains("link_status:up");
        for _ in 0..400 {
            if follows() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(lasting);
        self.server.kill();
        replica.run::<()>(&["REPLICAOF", "NO", "ONE"]);
        self.proxy.turn_to(replica.port());
        self.server = replica;
    }
}
