//! A relay in front of a server: its address stays while servers change behind
//! it, and it can cut connections or stop carrying anything without a word.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use orrery::projector::link::BusUrl;

pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    backend: AtomicU16,
    /// Connections of an earlier number are cut.
    cut: AtomicU64,
    held: AtomicBool,
    stop: AtomicBool,
}

impl Proxy {
    pub fn to(backend: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State::default());
        state.backend.store(backend, Ordering::SeqCst);
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let backend = ("127.0.0.1", shared.backend.load(Ordering::SeqCst));
                // Whoever is not answered is cut: nobody is behind.
                let Ok(server) = TcpStream::connect(backend) else { continue };
                relay(&client, &server, &shared);
                relay(&server, &client, &shared);
            }
        });
        Proxy { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> BusUrl {
        BusUrl::parse(&format!("redis://127.0.0.1:{}", self.port)).expect("an address")
    }

    /// Another server from now on; what is connected is cut.
    pub fn turn_to(&self, backend: u16) {
        self.state.backend.store(backend, Ordering::SeqCst);
        self.cut();
    }

    pub fn cut(&self) {
        self.state.cut.fetch_add(1, Ordering::SeqCst);
    }

    /// Nothing is carried any more, and nobody is told; or again.
    pub fn hold(&self, held: bool) {
        self.state.held.store(held, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.cut();
        // The listener wakes up and sees that it is over.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Carries one direction until either side ends or is cut.
fn relay(from: &TcpStream, to: &TcpStream, state: &Arc<State>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let _ = from.set_read_timeout(Some(Duration::from_millis(20)));
    let _ = to.set_nodelay(true);
    let (state, born) = (state.clone(), state.cut.load(Ordering::SeqCst));
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while state.cut.load(Ordering::SeqCst) == born {
            if state.held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) if to.write_all(&buffer[..len]).is_err() => break,
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}
