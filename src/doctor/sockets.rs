//! Who listens on a port of this machine, by what the kernel says in `/proc`.
//!
//! Assumes Linux. Opens no socket: a port is not taken by asking whether it is free.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whoever listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    /// Process and its name; none: it is another user's, and who it is cannot be seen from here.
    pub(super) process: Option<(u32, String)>,
    /// Whose it is.
    pub(super) uid: u32,
}

impl Holder {
    /// For people: `nginx (process 4711)`.
    pub(super) fn words(&self) -> String {
        match &self.process {
            Some((pid, name)) => format!("{name} (process {pid})"),
            None => format!("another user's process (user {})", self.uid),
        }
    }
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    ip: IpAddr,
    port: u16,
    uid: u32,
    inode: u64,
}

/// Who keeps us from listening there; none: the port is free.
pub(super) fn holder(ip: IpAddr, port: u16) -> Option<Holder> {
    let listeners =
        ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().flat_map(|file| parse(&fs::read_to_string(file).unwrap_or_default()));
    let found = listeners.into_iter().find(|listener| listener.port == port && collide(listener.ip, ip))?;
    Some(Holder { process: process(found.inode), uid: found.uid })
}

/// Whether a socket there keeps another one from listening here.
fn collide(there: IpAddr, here: IpAddr) -> bool {
    there == here || there.is_unspecified() || here.is_unspecified()
}

fn parse(table: &str) -> Vec<Listener> {
    table.lines().skip(1).filter_map(line).collect()
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`
fn line(line: &str) -> Option<Listener> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    Some(Listener {
        ip: address(ip)?,
        port: u16::from_str_radix(port, 16).ok()?,
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// Words of four bytes, each in the machine's own order.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes: Vec<u8> = [0, 8, 16, 24].into_iter().map(word).collect::<Option<Vec<_>>>()?.concat();
            let ip = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4))
        }
        _ => None,
    }
}

/// The process that has this socket open, as far as we may look.
fn process(inode: u64) -> Option<(u32, String)> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers: Vec<u32> = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // A server and its children share a socket: the oldest is whom a person knows.
    numbers.sort_unstable();
    let pid = numbers.into_iter().find(|pid| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.into_iter().any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))
    })?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some((pid, name.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_named_and_nobody_is_named_for_a_free_port() {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = TcpListener::bind((here, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = holder(here, port).unwrap();
        assert_eq!(found.process.as_ref().map(|(pid, _)| *pid), Some(std::process::id()));
        assert!(found.words().contains(&std::process::id().to_string()));
        drop(listener);
        assert_eq!(holder(here, port), None);
    }

    #[test]
    fn the_kernels_table_is_read_and_connections_are_no_listeners() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F92 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0000 100 0 0 10 0\n   \
            1: 0100007F:1F92 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0000 100 0 0 10 0\n";
        let expected = Listener { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 8082, uid: 1000, inode: 4242 };
        assert_eq!(parse(table), [expected]);
        assert_eq!(address("00000000000000000000000001000000"), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(address("0000000000000000FFFF00000100007F"), Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert_eq!(address("nonsense"), None);
    }

    #[test]
    fn a_socket_of_another_address_keeps_nobody_away() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(collide(ip("::"), ip("127.0.0.1")) && collide(ip("127.0.0.1"), ip("0.0.0.0")));
        assert!(!collide(ip("10.0.0.7"), ip("127.0.0.1")));
    }
}
