//! Whether the ports that the settings name are free, or ours, or whose they are.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::sockets::{self, Holder};
use super::{Check, Finding, Group, Patient, check_blocking};
use crate::cli::page::reachable;

const LIMIT: Duration = Duration::from_secs(3);

/// A port that `up` would listen on.
#[derive(Debug, Clone)]
struct Port {
    name: &'static str,
    /// How to choose another.
    setting: &'static str,
    /// None: nothing of ours listens, and why.
    wanted: Result<(IpAddr, u16), &'static str>,
    /// A person asked for exactly this one.
    pinned: bool,
    /// Where the running `up` has it.
    ours: Option<String>,
}

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let runs = patient.running.is_some();
    let looks = all(patient).into_iter().map(|port| {
        check_blocking(Group::Ports, port.name, LIMIT, move || match port.wanted {
            Err(why) => Finding::skipped(why),
            Ok((ip, number)) => judge(&port, runs, ip, number, &|ip, number| sockets::holder(ip, number)),
        })
    });
    futures::future::join_all(looks).await
}

fn all(patient: &Patient) -> Vec<Port> {
    let (settings, loaded, running) = (&patient.loaded.settings, &patient.loaded, patient.running.as_ref());
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let (kafka_is_ours, postgres_is_ours) = (settings.kafka.bootstrap_servers.is_none(), settings.serving.database_url.is_none());
    let postgres_at = settings.serving.listen.parse().map_err(|_| "serving.listen is no address");
    vec![
        Port {
            name: "http",
            setting: "http.listen (TRIBUTARY_HTTP_LISTEN)",
            wanted: listen(&settings.http.listen).ok_or("http.listen is not address:port"),
            pinned: !loaded.is_default("http.listen"),
            ours: running.map(|up| up.http.clone()),
        },
        Port {
            name: "kafka",
            setting: "kafka.embedded_port (TRIBUTARY_KAFKA_EMBEDDED_PORT)",
            wanted: if kafka_is_ours { Ok((here, settings.kafka.embedded_port)) } else { Err("Kafka is elsewhere") },
            pinned: !loaded.is_default("kafka.embedded_port"),
            ours: running.and_then(|up| up.kafka.clone()),
        },
        Port {
            name: "postgresql",
            setting: "serving.port (POSTGRES_PORT)",
            wanted: if postgres_is_ours {
                postgres_at.map(|ip| (ip, settings.serving.embedded_port))
            } else {
                Err("PostgreSQL is elsewhere")
            },
            pinned: !loaded.is_default("serving.port"),
            ours: running.and_then(|up| up.postgres.as_ref()).map(|(host, port)| format!("{host}:{port}")),
        },
        Port {
            name: "prometheus",
            setting: "prometheus.port (PROMETHEUS_PORT)",
            wanted: match settings.prometheus.port {
                0 => Err("prometheus.port is 0: none is started"),
                _ if !kafka_is_ours && !postgres_is_ours => Err("it is started beside embedded parts only"),
                port => Ok((here, port)),
            },
            pinned: !loaded.is_default("prometheus.port"),
            ours: running.and_then(|up| up.prometheus.clone()),
        },
    ]
}

fn listen(text: &str) -> Option<(IpAddr, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = if host == "localhost" { "127.0.0.1" } else { host.trim_matches(['[', ']']) };
    Some((host.parse().ok()?, port.parse().ok()?))
}

fn judge(port: &Port, runs: bool, ip: IpAddr, number: u16, holder: &dyn Fn(IpAddr, u16) -> Option<Holder>) -> Finding {
    let ours = port.ours.as_deref().and_then(|at| at.rsplit_once(':')?.1.parse::<u16>().ok());
    let at = port.ours.as_deref().map(reachable).unwrap_or_default();
    if ours == Some(number) {
        return Finding::ok(format!("{number} is ours: the running `up` listens on {at}"));
    }
    if number == 0 {
        let words = if runs && ours.is_some() {
            format!("any free one was asked for: {at}")
        } else {
            "any free one will be taken".into()
        };
        return Finding::ok(words);
    }
    let fix = format!("stop it, or choose another port: {}", port.setting);
    match (holder(ip, number), ours) {
        (None, None) => Finding::ok(format!("{number} is free")),
        (None, Some(_)) => Finding::ok(format!("{number} is free by now; the running `up` listens on {at}")),
        (Some(holder), Some(_)) => Finding::warn(format!("{number} is held by {}, so `up` listens on {at}", holder.words()), fix),
        (Some(holder), None) if port.pinned => {
            Finding::bad(format!("{number} is held by {}, and you asked for exactly this port", holder.words()), fix)
        }
        (Some(holder), None) => Finding::warn(format!("{number} is held by {}; `up` would take another", holder.words()), fix),
    }
    .docs("docs/TROUBLESHOOTING.md#what-you-see")
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::machine::tests::patient;
    use super::*;

    fn port(pinned: bool, ours: Option<&str>) -> Port {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Port { name: "http", setting: "http.listen", wanted: Ok((here, 8082)), pinned, ours: ours.map(Into::into) }
    }

    fn judged(port: &Port, taken: bool) -> Finding {
        let nginx = Holder { process: Some((4711, "nginx".into())), uid: 0 };
        judge(port, port.ours.is_some(), IpAddr::V4(Ipv4Addr::LOCALHOST), 8082, &|_, _| taken.then(|| nginx.clone()))
    }

    #[test]
    fn a_port_is_free_or_ours_or_somebodys_who_is_named() {
        assert_eq!(judged(&port(false, None), false).state, State::Ok);
        assert_eq!(judged(&port(false, Some("127.0.0.1:8082")), true).state, State::Ok);
        let elsewhere = judged(&port(false, Some("127.0.0.1:40001")), true);
        assert!(elsewhere.state == State::Warn && elsewhere.found.contains("nginx (process 4711)"), "{elsewhere:?}");
        assert_eq!(judged(&port(false, None), true).state, State::Warn);
        let pinned = judged(&port(true, None), true);
        assert!(pinned.state == State::Bad && pinned.fix.unwrap().contains("http.listen"));
    }

    #[test]
    fn a_store_that_is_elsewhere_needs_no_port_here() {
        let all = all(&patient(&[("KAFKA_BOOTSTRAP_SERVERS", "k:9092"), ("POSTGRES_HOST", "db")]));
        let wanted: Vec<bool> = all.iter().map(|port| port.wanted.is_ok()).collect();
        assert_eq!(wanted, [true, false, false, false]);
        assert_eq!(listen("[::1]:8082").map(|(_, port)| port), Some(8082));
    }
}
