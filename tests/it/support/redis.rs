//! Real Redis servers on free ports of the loopback interface.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use orrery::projector::link::BusUrl;

/// A server of its own; ends with this value.
pub struct RedisServer {
    port: u16,
    child: Option<Child>,
    dir: tempfile::TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// The same with more arguments, now and at each restart.
    pub fn start_with(arguments: &[&str]) -> RedisServer {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        let port = free_port();
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut server = RedisServer { port, child: None, dir, arguments };
        server.restart();
        server
    }

    /// Starts it again on the same port, empty unless it was told to save.
    pub fn restart(&mut self) {
        self.restart_with(&[]);
    }

    /// The same, this time with these arguments, too.
    pub fn restart_with(&mut self, arguments: &[&str]) {
        self.kill();
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(&self.arguments)
            .args(arguments)
            .current_dir(self.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|e| {
            panic!("redis-server does not start ({e}); install it: apt-get install redis-server")
        });
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.try_connect().is_none() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server ends");
        }
    }

    /// Stops it without ending it (`STOP`), or lets it go on (`CONT`).
    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().expect("a running server").id().to_string();
        let status = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> BusUrl {
        BusUrl::parse(&format!("redis://127.0.0.1:{}", self.port)).expect("an address")
    }

    /// A connection, or `None` while the server is away.
    pub fn try_connect(&self) -> Option<redis::Connection> {
        try_connect(self.port)
    }

    /// A connection; patient, as a busy machine lets a server wait.
    pub fn connect(&self) -> redis::Connection {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(connection) = self.try_connect() {
                return connection;
            }
            assert!(Instant::now() < deadline, "the server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One command.
    pub fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut cmd = redis::cmd(command[0]);
        for arg in &command[1..] {
            cmd.arg(*arg);
        }
        cmd.query(&mut self.connect()).unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A connection to a port, or `None` while nobody answers there.
pub fn try_connect(port: u16) -> Option<redis::Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("an address");
    let mut connection = client.get_connection_with_timeout(Duration::from_millis(500)).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let pong: redis::RedisResult<String> = redis::cmd("PING").query(&mut connection);
    pong.ok().map(|_| connection)
}
