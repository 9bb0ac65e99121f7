//! The node: everything that a request can reach.
//!
//! May assume: one per directory. Promises: disk work goes to the runtime's blocking threads; the first fatal error is
//! the one that is reported.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use crate::clock::now_ms;
use crate::config::Config;
use crate::error::Error;
use crate::flusher::Flusher;
use crate::groups::Coordinator;
use crate::groups::offsets::Offsets;
use crate::topics::Topics;
use crate::{disk, log};

/// The id of the only node.
pub(crate) const NODE_ID: i32 = 1;
const CLEAN_MARK: &str = "clean-shutdown";
const CLUSTER_ID: &str = "cluster.id";

/// The state of a running broker.
pub(crate) struct Node {
    pub(crate) config: Config,
    pub(crate) addr: SocketAddr,
    pub(crate) cluster_id: String,
    pub(crate) topics: Topics,
    pub(crate) groups: Coordinator,
    pub(crate) offsets: Arc<Offsets>,
    pub(crate) flusher: Flusher,
    fatal: OnceLock<String>,
    pub(crate) failed: Notify,
}

impl Node {
    /// Opens the directory, whose lock the caller holds.
    pub(crate) fn open(config: Config, addr: SocketAddr, sync: fn(&File) -> io::Result<()>) -> Result<Self, Error> {
        let dir = &config.dir;
        let cluster_id = cluster_id(&config)?;
        let mark = dir.join(CLEAN_MARK);
        let clean = mark.exists();
        let topics = Topics::open(&config, clean, sync, now_ms())?;
        let offsets = Arc::new(Offsets::open(dir, sync)?);
        if clean {
            // From the first write on, only the next clean stop may say so again.
            std::fs::remove_file(&mark).and_then(|()| disk::sync_dir(dir)).map_err(|e| Error::io("remove", &mark, e))?;
        }
        let (groups, flusher) = (Coordinator::default(), Flusher::default());
        let (fatal, failed) = (OnceLock::new(), Notify::new());
        Ok(Self { addr, cluster_id, topics, groups, offsets, flusher, fatal, failed, config })
    }

    /// Runs disk work where it may block. `None` when it panicked, which was logged.
    pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        tokio::task::spawn_blocking(work).await.inspect_err(|e| tracing::error!(error = %e, "disk work failed")).ok()
    }

    /// Gives up: nothing more may be confirmed.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(reason, "the broker cannot promise durability any more and stops");
        let _ = self.fatal.set(reason);
        self.failed.notify_one();
    }

    /// Why the broker gave up, if it did.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.fatal.get().map(String::as_str).or_else(|| self.flusher.failure())
    }

    /// One round of retention. Blocks.
    pub(crate) fn retain(&self) {
        for topic in self.topics.all() {
            for (i, partition) in topic.partitions.iter().enumerate() {
                match partition.retain(&topic.config, now_ms()) {
                    Ok(0) => {}
                    Ok(n) => tracing::info!(topic = topic.name, partition = i, segments = n, "retention removed segments"),
                    Err(e) => return self.fail(e),
                }
            }
        }
        let oldest = now_ms() - i64::try_from(self.config.offsets_retention.as_millis()).unwrap_or(i64::MAX);
        for (group, last_commit) in self.offsets.groups() {
            if last_commit < oldest && self.groups.remove_empty(&group) {
                tracing::info!(group, "forgot the offsets of a group that is long gone");
                if let Err(e) = self.offsets.remove_group(&group) {
                    tracing::warn!(group, error = %e, "offsets could not be removed");
                }
            }
        }
    }

    /// Makes everything durable and leaves the mark that spares the next start its scans. Blocks.
    pub(crate) fn close(&self) -> Result<(), Error> {
        if let Some(reason) = self.failure() {
            return Err(Error::Fatal(reason.to_owned()));
        }
        for topic in self.topics.all() {
            for partition in &topic.partitions {
                partition.close().map_err(Error::Fatal)?;
            }
        }
        crate::flusher::Flush::flush(self.offsets.as_ref()).map_err(Error::Fatal)?;
        let mark = self.config.dir.join(CLEAN_MARK);
        disk::write_atomic(&mark, b"").map_err(|e| Error::io("write", &mark, e))
    }

    /// Finds a partition by topic and number.
    pub(crate) fn partition(&self, topic: &str, partition: i32) -> Option<Arc<log::partition::Partition>> {
        let topic = self.topics.get(topic)?;
        topic.partitions.get(usize::try_from(partition).ok()?).cloned()
    }
}

/// Reads the directory's cluster id, or gives it one: 22 letters as Kafka's are.
fn cluster_id(config: &Config) -> Result<String, Error> {
    let path = config.dir.join(CLUSTER_ID);
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Ok(_) => Err(Error::Config(format!("{} is empty: is this the directory of a broker?", path.display()))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let id = base64_url(uuid::Uuid::new_v4().as_bytes());
            disk::write_atomic(&path, id.as_bytes()).map_err(|e| Error::io("write", &path, e))?;
            Ok(id)
        }
        Err(e) => Err(Error::io("read", &path, e)),
    }
}

fn base64_url(bytes: &[u8; 16]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let n = u128::from_be_bytes(*bytes);
    // 21 letters of 6 bits, and one for the last two bits and four zeros.
    let six = |i: u32| if i < 21 { n >> (122 - 6 * i) } else { n << 4 } & 63;
    (0..22).map(|i| LETTERS[six(i) as usize] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::base64_url;

    #[test]
    fn a_cluster_id_is_the_url_safe_base64_of_its_bytes() {
        assert_eq!(base64_url(&[0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64_url(b"0123456789abcdef"), "MDEyMzQ1Njc4OWFiY2RlZg");
    }
}
