//! A store that lies: puts that fail before or after they took place, or take place later; reads that fail. Three hundred cases of
//! thirty steps by up to three writers, from which no commit may be lost or doubled.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deltalake::logstore::{CommitOrBytes, LogStoreRef};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectStore, PutOptions, PutPayload, PutResult, Result};
use tributary_actors::lake::delta_log::{Commit, CommitError, DeltaLog};
use url::Url;
use uuid::Uuid;

use super::{app, commit};
use crate::common::Dice;
use crate::common::intercepted::{Between, Intercepted};
use crate::common::lake::{through, verify_chain};

/// Puts on their way: dropped by the caller, not by the store.
type Late = Vec<(Path, PutPayload, PutOptions)>;

#[derive(Debug)]
struct Liar {
    dice: Mutex<Dice>,
    late: Mutex<Late>,
    /// Percent of operations that go wrong.
    harm: AtomicU64,
    told: Mutex<BTreeMap<&'static str, u32>>,
}

impl Liar {
    fn roll(&self, most: u64) -> u64 {
        self.dice.lock().unwrap().roll(most)
    }

    fn says(&self, what: &'static str) -> object_store::Error {
        *self.told.lock().unwrap().entry(what).or_default() += 1;
        object_store::Error::Generic { store: "liar", source: what.into() }
    }

    /// What was dropped takes place now, or still not.
    async fn settle(&self, inner: &dyn ObjectStore, all: bool) {
        let due: Late = {
            let mut late = self.late.lock().unwrap();
            let (now, later) = std::mem::take(&mut *late).into_iter().partition(|_| all || self.roll(2) == 0);
            *late = later;
            now
        };
        for (path, payload, options) in due {
            let _ = inner.put_opts(&path, payload, options).await;
        }
    }
}

#[async_trait::async_trait]
impl Between for Liar {
    async fn put(&self, inner: &dyn ObjectStore, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.settle(inner, false).await;
        if self.roll(100) >= self.harm.load(Relaxed) {
            return inner.put_opts(location, payload, opts).await;
        }
        match self.roll(4) {
            0 => Err(self.says("before")),
            1 => {
                let done = inner.put_opts(location, payload, opts).await;
                done.and_then(|_| Err(self.says("after")))
            }
            // Either side: the answer to a put that found the name taken is lost as well.
            2 => {
                let _ = inner.put_opts(location, payload, opts).await;
                Err(self.says("either"))
            }
            _ => {
                self.late.lock().unwrap().push((location.clone(), payload, opts));
                Err(self.says("late"))
            }
        }
    }

    async fn get(&self, inner: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.settle(inner, false).await;
        if self.roll(100) < self.harm.load(Relaxed) / 3 {
            return Err(self.says("read"));
        }
        inner.get_opts(location, options).await
    }
}

async fn open(store: &LogStoreRef) -> DeltaLog {
    loop {
        if let Ok(log) = DeltaLog::open(store.clone()).await {
            return log.retrying_after(Duration::ZERO);
        }
    }
}

/// Tries a commit for as long as the store fails; `None` when the writer dies first.
async fn tried(log: &mut DeltaLog, commit: &Commit, patience: u64) -> Option<Result<u64, CommitError>> {
    for _ in 0..patience {
        match log.commit(commit).await {
            Err(CommitError::Store(_)) => {}
            known => return Some(known),
        }
    }
    None
}

async fn case(seed: u64) -> BTreeMap<&'static str, u32> {
    let mut dice = Dice(seed);
    let liar = Liar {
        dice: Mutex::new(Dice(!seed)),
        late: Mutex::default(),
        harm: AtomicU64::new([15, 50, 85][seed as usize % 3]),
        told: Mutex::default(),
    };
    let liar = Intercepted::new(InMemory::new(), liar);
    let store = through(&Url::parse("file:///payments/").unwrap(), Arc::clone(&liar) as Arc<dyn ObjectStore>);
    while store.read_commit_entry(0).await.ok().flatten().is_none() {
        let _ = store
            .write_commit_entry(0, CommitOrBytes::LogBytes(r#"{"commitInfo":{"operation":"BEGIN"}}"#.into()), Uuid::new_v4())
            .await;
    }
    let writers = 1 + seed as usize % 3;
    let mut logs = Vec::new();
    for _ in 0..writers {
        logs.push(open(&store).await);
    }
    let mut landed: Vec<(Uuid, u64)> = Vec::new();
    for _ in 0..30 {
        let writer = dice.roll(writers as u64) as usize;
        let log = &mut logs[writer];
        let mut spans = Vec::new();
        for partition in 0..3 {
            if dice.roll(2) == 0 {
                let from = log.txn(&app(partition)).unwrap_or(0);
                spans.push((partition, from, from + 1 + dice.roll(99) as i64));
            }
        }
        if spans.is_empty() {
            continue;
        }
        let commit = commit(log, &spans);
        match tried(log, &commit, 1 + dice.roll(4)).await {
            Some(Ok(version)) => landed.push((commit.id, version)),
            Some(Err(CommitError::Foreign(_))) => {}
            Some(Err(other)) => panic!("seed {seed}: {other}"),
            // Killed in between: its successor knows nothing but the log.
            None => *log = open(&store).await,
        }
    }
    liar.settle(liar.inner(), true).await;
    liar.harm.store(0, Relaxed);
    verify_chain(&store).await;
    for (id, version) in landed {
        let bytes = store.read_commit_entry(version).await.unwrap().unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(text.contains(&id.to_string()), "seed {seed}: version {version} is not the commit that was said to be there");
    }
    liar.told.lock().unwrap().clone()
}

#[tokio::test]
async fn no_commit_is_lost_or_doubled_by_a_store_that_lies() {
    let mut told: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in 0..300 {
        for (what, n) in case(seed).await {
            *told.entry(what).or_default() += n;
        }
    }
    println!("{told:?}");
    assert!(told.len() == 5 && told.values().all(|n| *n > 300), "every kind of lie must have been told: {told:?}");
}
