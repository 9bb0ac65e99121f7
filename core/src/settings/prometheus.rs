//! The Prometheus that `up` starts beside the embedded parts, where one is installed.

use std::time::Duration;

/// Where it listens, what it evaluates, how long it keeps what it has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    /// Port on loopback; 0: none is started.
    pub port: u16,
    /// The program; none: `prometheus` on the PATH.
    pub bin: Option<String>,
    /// Folder of the rules, `*.yml`. The folder is the truth when it is there; when the default one is not, what is compiled in is.
    pub rules_dir: String,
    /// What is older is deleted.
    pub retention: Duration,
}

impl Default for Prometheus {
    fn default() -> Self {
        Self { port: 9090, bin: None, rules_dir: "prometheus/rules".into(), retention: Duration::from_secs(15 * 86_400) }
    }
}
