//! A wire to PostgreSQL that can be cut around a COMMIT: before it arrives, or before its answer does.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::SeqCst};

const PASS: u8 = 0;
const LOSE_ANSWER: u8 = 1;
const LOSE_COMMIT: u8 = 2;

#[derive(Default)]
struct State {
    mode: AtomicU8,
    cuts: AtomicU32,
}

/// Listens for as long as the process lives.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// A wire to this local port.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", target))) else { continue };
                wire(client, server, &shared);
            }
        });
        Self { port, state }
    }

    /// The next COMMIT takes place, but nobody hears of it.
    pub fn lose_the_next_answer(&self) {
        self.state.mode.store(LOSE_ANSWER, SeqCst);
    }

    /// The next COMMIT never arrives.
    pub fn lose_the_next_commit(&self) {
        self.state.mode.store(LOSE_COMMIT, SeqCst);
    }

    /// How often the wire was cut.
    pub fn cuts(&self) -> u32 {
        self.state.cuts.load(SeqCst)
    }
}

fn wire(client: TcpStream, server: TcpStream, state: &Arc<State>) {
    let swallow = Arc::new(AtomicBool::new(false));
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (shared, deaf) = (Arc::clone(state), Arc::clone(&swallow));
    std::thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(n @ 1..) = from_client.read(&mut bytes) {
            if bytes[..n].windows(6).any(|w| w == b"COMMIT") {
                match shared.mode.swap(PASS, SeqCst) {
                    LOSE_ANSWER => deaf.store(true, SeqCst),
                    LOSE_COMMIT => {
                        shared.cuts.fetch_add(1, SeqCst);
                        break;
                    }
                    _ => {}
                }
            }
            if to_server.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = (to_server.shutdown(Shutdown::Both), from_client.shutdown(Shutdown::Both));
    });
    let (mut from_server, mut to_client, shared) = (server, client, Arc::clone(state));
    std::thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(n @ 1..) = from_server.read(&mut bytes) {
            if swallow.load(SeqCst) {
                shared.cuts.fetch_add(1, SeqCst);
                break;
            }
            if to_client.write_all(&bytes[..n]).is_err() {
                break;
            }
        }
        let _ = (to_client.shutdown(Shutdown::Both), from_server.shutdown(Shutdown::Both));
    });
}
