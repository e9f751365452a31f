//! Servers of the bench: on a free port of this machine's own address, in a
//! folder of their own, ended by their process when the bench is done.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; dropping it ends it.
pub struct Server {
    child: Child,
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// Starts a program and waits until it listens.
    ///
    /// # Errors
    /// When it cannot be started or does not listen in time.
    pub fn start(program: &str, args: impl FnOnce(u16) -> Vec<String>) -> Result<Server, String> {
        let port = free_port().map_err(|e| format!("no free port: {e}"))?;
        let args = args(port);
        let spawn = |program: &str| {
            let mut command = Command::new(program);
            command.args(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn()
        };
        // Debian keeps some servers where a user's PATH does not look.
        let child = spawn(program)
            .or_else(|_| spawn(&format!("/usr/sbin/{program}")))
            .map_err(|e| format!("{program}: {e}"))?;
        let mut server = Server { child, port };
        let until = Instant::now() + Duration::from_secs(10);
        while server.connect().is_err() {
            if server.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(format!("{program} ended at once"));
            }
            if Instant::now() > until {
                return Err(format!("{program} does not listen after 10 s"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// A connection.
    ///
    /// # Errors
    /// When the server is not there.
    pub fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Redis with its append-only file synced every second, and nothing else on
/// disk.
///
/// # Errors
/// See [`Server::start`].
pub fn redis(dir: &Path) -> Result<Server, String> {
    let args = |port: u16| {
        let text = format!(
            "--port {port} --bind 127.0.0.1 --daemonize no --appendonly yes \
             --appendfsync everysec --auto-aof-rewrite-percentage 0 --save"
        );
        let mut args: Vec<String> = text.split_whitespace().map(Into::into).collect();
        args.extend(["".into(), "--dir".into(), dir.display().to_string()]);
        args
    };
    Server::start("redis-server", args)
}

/// NATS with JetStream on files.
///
/// # Errors
/// See [`Server::start`].
pub fn nats(dir: &Path) -> Result<Server, String> {
    let args = |port: u16| {
        let mut args: Vec<String> =
            ["-a", "127.0.0.1", "-js", "-p"].into_iter().map(Into::into).collect();
        args.extend([port.to_string(), "-sd".into(), dir.display().to_string()]);
        args
    };
    Server::start("nats-server", args)
}

/// Sends requests with up to `window` batches under way; each batch tells how
/// many lines of reply it will get.
pub fn pump(
    server: &Server,
    batches: impl Iterator<Item = (Vec<u8>, usize)> + Send,
    window: usize,
) {
    let mut reader = server.connect().unwrap();
    let mut writer = reader.try_clone().unwrap();
    let (sent, expected) = std::sync::mpsc::sync_channel::<usize>(window);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (batch, lines) in batches {
                sent.send(lines).unwrap();
                writer.write_all(&batch).unwrap();
            }
        });
        let mut buffer = vec![0; 1 << 18];
        let (mut have, mut begins) = (0, true);
        for lines in expected {
            while have < lines {
                let got = reader.read(&mut buffer).unwrap();
                assert!(got > 0, "the server hung up");
                for byte in &buffer[..got] {
                    assert!(!(begins && *byte == b'-'), "the server refused a request");
                    begins = *byte == b'\n';
                    have += usize::from(begins);
                }
            }
            have -= lines;
        }
    });
}
