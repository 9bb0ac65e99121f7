//! The Prometheus of a bare machine: a process beside ours that scrapes us and evaluates the alerts, where one is installed.
//!
//! Nothing depends on it: without the program, or when it does not start, `up` goes on and says so. Promises that it listens on
//! loopback alone, keeps its data under the data folder within a limit, and ends with us, however we end.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tributary_core::settings;

use super::process::{self, signal};
use super::server::choose_port;

/// How often the program is looked at, and how often a port that does not answer yet.
const TICK: Duration = Duration::from_millis(50);
/// How long it may take to say whether it is ready.
const ANSWER: Duration = Duration::from_secs(1);
/// How long it may take until it is: it reads back what it has not written to blocks.
const PATIENCE: Duration = Duration::from_secs(20);
/// Before it is started again after it died.
const AGAIN: Duration = Duration::from_secs(5);
/// How long it may take to write what it holds.
const LEAVE: Duration = Duration::from_secs(5);
/// Most that it keeps, whatever the retention says.
const MOST: &str = "1GB";

/// The rules as they were when this program was built, by file name.
const RULES: &[(&str, &str)] = &[
    ("alerts-batch.yml", include_str!("../../prometheus/rules/alerts-batch.yml")),
    ("alerts-business.yml", include_str!("../../prometheus/rules/alerts-business.yml")),
    ("alerts-objectives.yml", include_str!("../../prometheus/rules/alerts-objectives.yml")),
    ("alerts-pipeline.yml", include_str!("../../prometheus/rules/alerts-pipeline.yml")),
    ("alerts-process.yml", include_str!("../../prometheus/rules/alerts-process.yml")),
    ("alerts-stores.yml", include_str!("../../prometheus/rules/alerts-stores.yml")),
    ("recording.yml", include_str!("../../prometheus/rules/recording.yml")),
    ("thresholds.yml", include_str!("../../prometheus/rules/thresholds.yml")),
];

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its folder: configuration, data and log.
    pub home: PathBuf,
    /// Settings.
    pub settings: settings::Prometheus,
    /// A person asked for exactly this port.
    pub port_pinned: bool,
    /// The rules' folder may be missing: then those that are compiled in are evaluated.
    pub rules_may_be_missing: bool,
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    address: String,
    orders: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Prometheus {
    /// Starts it, to scrape `target`; none when no such program is installed.
    ///
    /// # Errors
    /// When it is installed, or a person named it, and does not start.
    pub fn start(options: &Options, target: &str) -> Result<Option<Self>> {
        let Some(program) = find(options.settings.bin.as_deref())? else { return Ok(None) };
        let how = "prometheus.port in tributary.toml, or PROMETHEUS_PORT";
        let port = choose_port("Prometheus", "127.0.0.1", options.settings.port, options.port_pinned, how)?;
        write_configuration(options, target, port)?;
        let run = Run { program, home: options.home.clone(), port, retention: options.settings.retention };
        let (orders, received) = channel();
        let (report, started) = channel();
        let keeper = std::thread::Builder::new()
            .name("prometheus-keeper".into())
            .spawn(move || run.keep(&report, &received))
            .context("cannot start a thread for Prometheus")?;
        let prometheus = Self { address: format!("127.0.0.1:{port}"), orders: Some(orders), keeper: Some(keeper) };
        started.recv().context("the thread that keeps Prometheus ended")??;
        Ok(Some(prometheus))
    }

    /// `127.0.0.1:9090`.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(keeper) = self.keeper.take()
            && keeper.join().is_err()
        {
            tracing::error!("the thread that keeps Prometheus panicked");
        }
    }
}

/// The program that a person named, or the one on the PATH.
fn find(asked: Option<&str>) -> Result<Option<PathBuf>> {
    if let Some(asked) = asked {
        let path = PathBuf::from(asked);
        return match path.is_file() {
            true => Ok(Some(path)),
            false => bail!("prometheus.bin is {asked}, and there is no such file"),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::split_paths(&path).map(|folder| folder.join("prometheus")).find(|file| file.is_file()))
}

/// Writes what it reads: the scrape, and the rules of the folder that a person edits or of this build.
fn write_configuration(options: &Options, target: &str, port: u16) -> Result<()> {
    let rules = options.home.join("rules");
    let folder = Path::new(&options.settings.rules_dir);
    if rules.canonicalize().is_ok_and(|ours| folder.canonicalize().is_ok_and(|theirs| ours == theirs)) {
        bail!("prometheus.rules_dir is {}, which is written anew at every start; keep your rules elsewhere", folder.display());
    }
    let _ = fs::remove_dir_all(&rules);
    fs::create_dir_all(&rules).with_context(|| format!("cannot make {}", rules.display()))?;
    let written = |name: &str, text: &[u8]| {
        let path = rules.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    match fs::read_dir(folder) {
        Ok(entries) => {
            for entry in entries {
                let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
                if let (Some("yml"), Some(name)) = (path.extension().and_then(|e| e.to_str()), path.file_name()) {
                    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                    written(&name.to_string_lossy(), &text)?;
                }
            }
        }
        Err(_) if options.rules_may_be_missing => {
            for (name, text) in RULES {
                written(name, text.as_bytes())?;
            }
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read the rules in {}", folder.display())),
    }
    let path = options.home.join("prometheus.yml");
    fs::write(&path, configuration(target, port)).with_context(|| format!("cannot write {}", path.display()))
}

fn configuration(target: &str, port: u16) -> String {
    format!(
        "# Written by `tributary up` at every start.\n\
         global: {{scrape_interval: 5s, evaluation_interval: 15s}}\n\
         rule_files: [rules/*.yml]\n\
         scrape_configs:\n\
         - job_name: tributary\n  static_configs: [{{targets: ['{target}'], labels: {{service: tributary}}}}]\n\
         - job_name: prometheus\n  static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
    )
}

struct Run {
    program: PathBuf,
    home: PathBuf,
    port: u16,
    retention: Duration,
}

impl Run {
    /// Starts it, says how that went, and starts it again whenever it dies, until told to stop. The program dies with this thread.
    fn keep(&self, report: &Sender<Result<()>>, orders: &Receiver<()>) {
        // One log for each start of `up`; what it said before it died stays.
        let _ = fs::remove_file(self.log());
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => return drop(report.send(Err(error))),
        };
        let _ = report.send(Ok(()));
        loop {
            let Some(status) = watch(&mut child, orders) else { return stop(&mut child) };
            let log = self.log();
            tracing::warn!(%status, "Prometheus died ({}); starting it again, nothing depends on it. See {}", self.last_line(), log.display());
            child = loop {
                if !matches!(orders.recv_timeout(AGAIN), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
                match self.spawn() {
                    Ok(child) => break child,
                    Err(error) => tracing::debug!("Prometheus does not start: {error:#}"),
                }
            };
        }
    }

    fn log(&self) -> PathBuf {
        self.home.join("prometheus.log")
    }

    /// The last thing that it said.
    fn last_line(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().last().unwrap_or("its log is empty").to_owned()
    }

    /// Starts it and waits until it has read its rules and its data.
    fn spawn(&self) -> Result<Child> {
        let folder = File::open(&self.home).with_context(|| format!("cannot open {}", self.home.display()))?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .with_context(|| format!("cannot write {}", self.log().display()))?;
        let mut child = process::command(&self.program, &folder, None, libc::SIGTERM)
            .arg(format!("--config.file={}", self.home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.home.join("data").display()))
            .arg(format!("--storage.tsdb.retention.time={}s", self.retention.as_secs().max(1)))
            .arg(format!("--storage.tsdb.retention.size={MOST}"))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share Prometheus's log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let until = Instant::now() + PATIENCE;
        while !is_ready(self.port) {
            if let Ok(Some(status)) = child.try_wait() {
                bail!("Prometheus ended while it started ({status}): {}", self.last_line());
            }
            if Instant::now() > until {
                stop(&mut child);
                bail!("Prometheus is not ready after {PATIENCE:?}; see {}", self.log().display());
            }
            std::thread::sleep(TICK);
        }
        Ok(child)
    }
}

/// Whether it answers that it is ready: it listens earlier, before it has read its rules.
fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

/// Waits for its end or for an order to stop; none: the latter.
fn watch(child: &mut Child, orders: &Receiver<()>) -> Option<std::process::ExitStatus> {
    loop {
        match orders.recv_timeout(TICK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return None,
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
    }
}

fn stop(child: &mut Child) {
    signal(child.id(), libc::SIGTERM);
    let until = Instant::now() + LEAVE;
    while Instant::now() < until {
        if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        std::thread::sleep(TICK);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(home: &Path, rules_dir: &str) -> Options {
        let settings = settings::Prometheus { rules_dir: rules_dir.into(), ..Default::default() };
        Options { home: home.to_owned(), settings, port_pinned: false, rules_may_be_missing: true }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn every_file_of_rules_is_compiled_in() {
        let compiled: Vec<&str> = RULES.iter().map(|(name, _)| *name).collect();
        assert_eq!(names(Path::new("prometheus/rules")), compiled);
    }

    #[test]
    fn the_folders_rules_are_taken_and_those_of_an_earlier_start_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (home, mine) = (folder.path().join("prometheus"), folder.path().join("mine"));
        write_configuration(&options(&home, "/nowhere"), "127.0.0.1:8082", 9090).unwrap();
        assert_eq!(names(&home.join("rules")).len(), RULES.len());
        fs::create_dir(&mine).unwrap();
        fs::write(mine.join("own.yml"), "groups: []\n").unwrap();
        write_configuration(&options(&home, mine.to_str().unwrap()), "127.0.0.1:8082", 9090).unwrap();
        assert_eq!(names(&home.join("rules")), ["own.yml"]);
        assert!(fs::read_to_string(home.join("prometheus.yml")).unwrap().contains("127.0.0.1:8082"));
    }
}
