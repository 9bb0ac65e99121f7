//! A stream, its stores, and a supervisor that can be started and stopped.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tributary_actors::board::{Board, StreamState};
use tributary_actors::lake::{bronze, lake_url, upkeep};
use tributary_actors::line::Line;
use tributary_actors::supervisor::{GaveUp, House as Process, RunError, Supervisor, run};
use tributary_core::settings::Settings;
use tributary_core::span::Legs;

use crate::common::intercepted::{Hook, Intercepted};
use crate::common::kafka::Kafka;
use crate::common::lake::{rows, through, verify_chain};
use crate::common::payments::{TOPIC, stream, windows};
use crate::common::postgres::Database;

pub(crate) const PARTITIONS: i32 = 3;

pub(crate) struct House {
    pub(crate) kafka: Kafka,
    pub(crate) database: Database,
    pub(crate) line: Arc<Line>,
    pub(crate) store: Arc<Intercepted<Hook>>,
    settings: Arc<Settings>,
    _lake: TempDir,
}

/// A supervisor at work.
pub(crate) struct Running<E> {
    pub(crate) board: Board,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), E>>,
}

impl House {
    pub(crate) async fn new(database: Database) -> Self {
        let (kafka, folder) = (Kafka::start(), tempfile::tempdir().unwrap());
        kafka.create(TOPIC, PARTITIONS).await;
        let mut settings = Settings::default();
        settings.lake.url = folder.path().to_str().unwrap().to_owned();
        settings.kafka.partitions = PARTITIONS;
        settings.kafka.session_timeout = Duration::from_secs(6);
        settings.pipeline.bronze_flush = Duration::from_millis(100);
        settings.pipeline.window_merge = Duration::from_millis(50);
        settings.pipeline.stall_after = Duration::from_secs(1);
        settings.pipeline.restart_backoff = Duration::from_millis(50);
        settings.pipeline.min_free_bytes = 0;
        let settings = Arc::new(settings);
        let store = Hook::over_files();
        let plain = bronze(&lake_url(&settings.lake.url).unwrap(), "payments", []).unwrap();
        let line = Line {
            stream: stream(),
            settings: Arc::clone(&settings),
            bootstrap: kafka.bootstrap(),
            embedded_kafka: false,
            seen: false.into(),
            database_url: database.url.clone(),
            table: through(plain.root_url(), Arc::clone(&store) as _),
            runtime: upkeep::runtime().unwrap().handle().clone(),
        };
        Self { kafka, database, line: Arc::new(line), store, settings, _lake: folder }
    }

    /// A supervisor over the hooked store.
    pub(crate) fn start(&self) -> Running<GaveUp> {
        self.start_with(Legs::BOTH)
    }

    /// The same for some legs.
    pub(crate) fn start_with(&self, legs: Legs) -> Running<GaveUp> {
        let (board, (stop, stopped)) = (Board::default(), watch::channel(false));
        let supervisor = Supervisor::new(Arc::clone(&self.line), legs, board.clone());
        Running { board, stop, task: actix::spawn(supervisor.run(stopped)) }
    }

    /// The same as a process has it.
    pub(crate) fn start_process(&self) -> Running<RunError> {
        let (board, (stop, stopped)) = (Board::default(), watch::channel(false));
        let process = Process {
            settings: Arc::clone(&self.settings),
            streams: vec![stream()],
            bootstrap: self.kafka.bootstrap(),
            embedded_kafka: false,
            database_url: self.database.url.clone(),
            legs: Legs::BOTH,
        };
        let boards = [board.clone()];
        Running { board, stop, task: actix::spawn(async move { run(process, &boards, stopped).await }) }
    }

    pub(crate) fn produce(&self, ranges: &[(i32, Range<i64>)]) {
        for (partition, range) in ranges {
            self.kafka.produce(TOPIC, *partition, range.clone());
        }
    }

    /// Both stores hold exactly these records, once.
    pub(crate) async fn holds(&self, ranges: &[(i32, Range<i64>)]) {
        let mut expected: Vec<(i32, i64)> =
            ranges.iter().flat_map(|(p, range)| range.clone().map(|offset| (*p, offset))).collect();
        expected.sort_unstable();
        assert_eq!(rows(&self.line.table).await, expected, "bronze");
        assert_eq!(self.database.windows(&stream()).await, windows(ranges), "windows");
        verify_chain(&self.line.table).await;
    }
}

impl<E: std::fmt::Debug> Running<E> {
    /// Waits for a state of the board.
    pub(crate) async fn shows(&self, what: &str, holds: impl Fn(&StreamState) -> bool) -> StreamState {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let state = self.board.read();
            if holds(&state) {
                return state;
            }
            assert!(!self.task.is_finished(), "{what}: the supervisor has ended: {state:?}");
            assert!(Instant::now() < end, "{what}: not within a minute: {state:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until both legs have these partitions up to there.
    pub(crate) async fn reaches(&self, next: &[(i32, i64)]) -> StreamState {
        self.shows(&format!("{next:?} in both stores"), |state| {
            next.iter().all(|(p, n)| state.partitions.get(p).is_some_and(|at| at.bronze == Some(*n) && at.serving == Some(*n)))
        })
        .await
    }

    /// Ends in order.
    pub(crate) async fn stop(self) {
        self.stop.send(true).unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("it does not end").unwrap();
        ended.unwrap();
    }
}
