//! One page of a running process, over HTTP, by hand: a client for three pages would be the biggest part of the binary.
//!
//! Assumes a page of some megabytes at most, from a server that is near and speaks no TLS. Promises an answer within two seconds, or why there is none.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const PATIENCE: Duration = Duration::from_secs(2);
/// The settings of a Grafana are half a megabyte.
const MOST: usize = 16 << 20;

/// Status and body of `path`. What listens on every address is asked on this machine's own.
pub(crate) fn get(listens: &str, path: &str) -> Result<(u16, String)> {
    let until = Instant::now() + PATIENCE;
    let address = reachable(listens);
    let doing = || format!("http://{address}{path} does not answer");
    let resolved = address.to_socket_addrs().with_context(doing)?.next().with_context(doing)?;
    let mut stream = TcpStream::connect_timeout(&resolved, PATIENCE).with_context(doing)?;
    stream.set_write_timeout(Some(PATIENCE)).with_context(doing)?;
    // HTTP/1.0: the answer comes in one piece and ends with the connection.
    let question = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(question.as_bytes()).with_context(doing)?;
    let answer = read(&mut stream, until).with_context(doing)?;
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).with_context(|| format!("http://{address}{path} does not speak HTTP"))
}

/// Everything that comes until the end, or until the time is over: a server that trickles is none that answers.
fn read(stream: &mut TcpStream, until: Instant) -> std::io::Result<String> {
    let (mut answer, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            Ok(read) => answer.extend_from_slice(piece.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > MOST {
            return Err(std::io::Error::other("its answer is too long"));
        }
    }
}

/// Where to connect to reach what listens there.
pub(crate) fn reachable(listens: &str) -> String {
    match listens.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        _ => listens.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        assert_eq!(reachable("0.0.0.0:8082"), "127.0.0.1:8082");
        assert_eq!(reachable("[::]:8082"), "[::1]:8082");
        assert_eq!(reachable("10.0.0.7:8082"), "10.0.0.7:8082");
    }
}
