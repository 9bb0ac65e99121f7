//! Starting and stopping: what the owner of a broker holds in its hands.
//!
//! The broker owns a small runtime on a thread of its own, so that it can live beside any other (an actix `System`, a
//! test, a plain `main`), and is started and stopped by ordinary blocking calls.
//!
//! Promises: after `start` returned the address answers; after `stop` returned everything is on disk and the directory is
//! free; dropping a [`Running`] stops it too.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::config::{Config, OnFatal};
use crate::disk::{self, DirLock};
use crate::error::Error;
use crate::node::Node;
use crate::server;

/// `EX_IOERR` of `sysexits.h`.
const EXIT_IO: i32 = 74;
/// Threads for requests: they only parse and wait, so two are enough.
const WORKERS: usize = 2;
/// Threads for disk work.
const DISK_THREADS: usize = 32;

/// Where brokers come from.
#[derive(Debug)]
pub struct Broker;

/// A broker that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    cluster_id: String,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<Arc<Result<(), Error>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Broker {
    /// Opens the log and begins to serve it. Blocks for as long as recovery takes; after a clean stop that is short.
    pub fn start(config: Config) -> Result<Running, Error> {
        Self::start_with(config, File::sync_data)
    }

    pub(crate) fn start_with(config: Config, sync: fn(&File) -> io::Result<()>) -> Result<Running, Error> {
        if !config.listen.ip().is_loopback() && !config.allow_non_loopback {
            return Err(Error::NotLoopback(config.listen));
        }
        if config.default_partitions < 1 {
            return Err(Error::Config("default_partitions must be at least 1".into()));
        }
        disk::create_dirs(&config.dir).map_err(|e| Error::io("create", &config.dir, e))?;
        let lock = DirLock::acquire(&config.dir)?;
        let listen = config.listen;
        let listener = bind(listen).map_err(|e| Error::Listen(listen, e))?;
        let addr = listener.local_addr().map_err(|e| Error::Listen(listen, e))?;
        let started = std::time::Instant::now();
        let on_fatal = config.on_fatal;
        let node = Arc::new(Node::open(config, addr, sync)?);
        let cluster_id = node.cluster_id.clone();
        let (stop, stopping) = watch::channel(false);
        let (ended, ended_rx) = watch::channel(None);
        let (ready, is_ready) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("tributary-broker".into())
            .spawn(move || {
                let result = run(&node, listener, stopping, ready);
                // A stop that was asked for and went wrong is its caller's to hear of; nobody else may be confirmed to.
                if node.failure().is_some() && on_fatal == OnFatal::ExitProcess {
                    std::process::exit(EXIT_IO);
                }
                drop(node);
                drop(lock);
                ended.send_replace(Some(Arc::new(result)));
            })
            .map_err(|e| Error::Fatal(format!("no thread: {e}")))?;
        let running = Running { addr, cluster_id, stop, ended: ended_rx, thread: Some(thread) };
        // A closed channel means that `run` ended before it began: its reason is in `ended`.
        if is_ready.recv().is_err() {
            return match running.stop() {
                Err(e) => Err(e),
                Ok(()) => Err(Error::Fatal("the broker ended before it began".into())),
            };
        }
        tracing::info!(%addr, cluster_id = running.cluster_id, elapsed_ms = started.elapsed().as_millis() as u64, "broker started");
        Ok(running)
    }
}

/// Binds without tokio, so that a busy port is an error of `start` and not of a thread.
fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn run(
    node: &Arc<Node>,
    listener: TcpListener,
    stopping: watch::Receiver<bool>,
    ready: mpsc::SyncSender<()>,
) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(DISK_THREADS)
        .thread_name("broker-io")
        .enable_all()
        .build()
        .map_err(|e| Error::Fatal(format!("no runtime: {e}")))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(|e| Error::Listen(node.addr, e))?;
        let _ = ready.send(());
        server::serve(node.clone(), listener, stopping).await;
        Ok::<(), Error>(())
    })?;
    // Waits for disk work that is under way, so that nothing is written after the mark of a clean stop.
    drop(runtime);
    node.close()
}

impl Running {
    /// The address that clients use as `bootstrap.servers`.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The random id of this directory, as clients see it in the cluster's metadata.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Why the broker stopped by itself; `None` while it serves, and after an ordinary stop.
    pub fn failure(&self) -> Option<String> {
        let ended = self.ended.borrow().clone()?;
        ended.as_ref().as_ref().err().map(ToString::to_string)
    }

    /// Waits until the broker has ended, by itself or because it was told to; returns why if it was by itself.
    pub async fn ended(&self) -> Option<String> {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(Option::is_some).await;
        self.failure()
    }

    /// Stops serving, makes everything durable and leaves the mark of a clean stop. Blocks.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop_and_join()
    }

    /// The same for callers that must not block.
    pub async fn shutdown(self) -> Result<(), Error> {
        self.stop.send_replace(true);
        self.ended().await;
        self.stop()
    }

    fn stop_and_join(&mut self) -> Result<(), Error> {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(Error::Fatal("the broker's thread panicked".into()));
        }
        match self.ended.borrow().as_deref() {
            Some(Err(e)) => Err(Error::Fatal(match e {
                Error::Fatal(reason) => reason.clone(),
                other => other.to_string(),
            })),
            _ => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_some()
            && let Err(e) = self.stop_and_join()
        {
            tracing::error!(error = %e, "the broker did not stop cleanly");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;
    use rdkafka::config::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    static DISK_FAILS: AtomicBool = AtomicBool::new(false);

    fn sync(file: &File) -> io::Result<()> {
        if DISK_FAILS.load(Ordering::SeqCst) { Err(io::Error::other("injected")) } else { file.sync_data() }
    }

    #[test]
    fn a_failed_fsync_confirms_nothing_ends_the_broker_and_is_not_taken_for_a_clean_stop() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path());
        config.on_fatal = OnFatal::StopServing;
        let broker = Broker::start_with(config, sync).unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", broker.addr().to_string()).set("message.timeout.ms", "2000");
        let admin: AdminClient<DefaultClientContext> = client.create().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let new = NewTopic::new("t", 1, TopicReplication::Fixed(1));
        runtime.block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap().remove(0).unwrap();
        let producer: BaseProducer = client.create().unwrap();
        producer.send(BaseRecord::<str, str>::to("t").payload("kept")).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();

        DISK_FAILS.store(true, Ordering::SeqCst);
        producer.send(BaseRecord::<str, str>::to("t").payload("not kept")).unwrap();
        let ended = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), broker.ended()).await });
        let failure = ended.expect("it ends by itself").unwrap();
        assert!(failure.contains("injected"), "{failure}");
        assert_eq!(broker.failure(), Some(failure));
        assert!(broker.stop().unwrap_err().to_string().contains("injected"));
        assert!(!dir.path().join("clean-shutdown").exists());
        DISK_FAILS.store(false, Ordering::SeqCst);

        // The next start reads back what the file really has; here the page cache kept the batch.
        let broker = Broker::start(Config::new(dir.path())).unwrap();
        let consumer: BaseConsumer = client.set("bootstrap.servers", broker.addr().to_string()).create().unwrap();
        let (low, high) = consumer.fetch_watermarks("t", 0, Duration::from_secs(10)).unwrap();
        assert!(low == 0 && high >= 1);
    }
}
