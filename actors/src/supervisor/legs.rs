//! A leg on its own: detached because it stalled, catching up, coming back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tributary_core::span::{Leg, Legs};

use super::{ASK_AGAIN, DETACH, GaveUp, HUNG, Supervisor};
use crate::kafka_consumer::Mode;
use crate::line::NotReady;
use crate::messages::Cause;
use crate::pipeline::Pipeline;
use crate::progress::Partition;
use crate::telemetry::{LegMeter, PartitionPosition};

/// A leg that the main pipeline goes without.
pub(super) struct Detached {
    pipeline: Option<Pipeline>,
    /// What it was assigned.
    partitions: BTreeSet<i32>,
    /// Where the leg was when it was read last.
    last: BTreeMap<i32, Partition>,
    not_before: Instant,
    pub(super) problem: Option<String>,
}

impl Detached {
    /// Not started yet; it was there when it was read last.
    pub(super) fn waiting(last: BTreeMap<i32, Partition>) -> Self {
        Self { pipeline: None, partitions: BTreeSet::new(), last, not_before: Instant::now(), problem: None }
    }

    pub(super) fn into_pipeline(self) -> Option<Pipeline> {
        self.pipeline
    }

    pub(super) fn pipeline(&self) -> Option<&Pipeline> {
        self.pipeline.as_ref()
    }

    pub(super) fn partitions(&self) -> BTreeMap<i32, Partition> {
        self.pipeline.as_ref().map(|p| p.progress.partitions()).unwrap_or_default()
    }

    /// Takes its pipeline away.
    fn take_pipeline(&mut self) -> Option<Pipeline> {
        let read = self.partitions();
        if !read.is_empty() {
            self.last = read;
        }
        self.pipeline.take()
    }

    /// Shows how far a leg is behind that nobody reads for: its store is away, and Kafka goes on.
    pub(super) fn show_behind(&self, meter: &LegMeter, leg: Leg, main: Option<&Pipeline>) {
        if self.last.is_empty() || !self.partitions().is_empty() {
            return;
        }
        let now = main.map(|main| main.progress.partitions()).unwrap_or_default();
        let position = |(partition, last): (&i32, &Partition)| {
            let next = last.durable[leg as usize];
            let high = now.get(partition).unwrap_or(last).watermarks.map(|(_, high)| high);
            PartitionPosition {
                partition: *partition,
                next,
                lag: high.map(|high| high - next),
                since_ms: last.since_ms[leg as usize],
            }
        };
        meter.positions(&self.last.iter().map(position).collect::<Vec<_>>());
    }
}

impl Supervisor {
    /// The next generation goes without this leg; the other one finishes what it holds first.
    pub(super) async fn detach(&mut self, leg: Leg) {
        let Some(main) = self.main.take() else { return };
        tracing::warn!(stream = self.line.stream.name, %leg, "makes nothing durable; it will catch up on its own, the rest goes on without it");
        LegMeter::new(&self.line.stream.name, leg).detached();
        let others = main.legs.without(leg);
        let last = main.progress.partitions();
        main.drain(others, Instant::now() + DETACH).await;
        self.detached.insert(leg, Detached::waiting(last));
        self.not_before = Instant::now();
    }

    pub(super) async fn detached_in_trouble(&mut self, generation: u64, room: &'static str, cause: &Cause) {
        let found = self.detached.iter_mut().find(|(_, d)| d.pipeline.as_ref().is_some_and(|p| p.generation == generation));
        let Some((leg, detached)) = found else { return };
        if matches!(cause, Cause::Stalled(_)) {
            return; // its store is still away; it goes on trying
        }
        tracing::warn!(stream = self.line.stream.name, %leg, room, ?cause, "the leg that catches up starts again");
        detached.not_before = Instant::now() + ASK_AGAIN;
        if let Some(pipeline) = detached.take_pipeline() {
            pipeline.kill().await;
        }
    }

    /// Starts what waits, follows the main pipeline's partitions, and brings back what has caught up.
    pub(super) async fn tend_detached(&mut self) -> Result<(), GaveUp> {
        for leg in self.detached.keys().copied().collect::<Vec<_>>() {
            let Some(detached) = self.detached.get_mut(&leg) else { continue };
            if detached.pipeline.is_none() {
                if Instant::now() >= detached.not_before && !self.partitions.is_empty() {
                    self.start_detached(leg).await?;
                }
                continue;
            }
            let hung = detached.pipeline.iter().flat_map(|p| &p.pulses).any(|pulse| pulse.read().1 > HUNG);
            if hung || detached.partitions != self.partitions {
                if let Some(pipeline) = detached.take_pipeline() {
                    let legs = pipeline.legs;
                    pipeline.drain(legs, Instant::now() + Duration::from_secs(1)).await;
                }
                continue;
            }
            if self.has_caught_up(leg) {
                self.bring_back(leg).await;
            }
        }
        Ok(())
    }

    async fn start_detached(&mut self, leg: Leg) -> Result<(), GaveUp> {
        let legs = Legs::only(leg);
        let partitions: Vec<i32> = self.partitions.iter().copied().collect();
        let ready = async {
            let ready = self.line.ready(legs).await?;
            if leg == Leg::Serving {
                self.line.refill(&ready, &partitions).await?;
            }
            Ok(ready)
        };
        let started = match ready.await {
            Ok(ready) => {
                let reports = self.reports();
                let mode = Mode::Manual(partitions.clone());
                Pipeline::start(&self.line, &ready, legs, mode, &reports).map_err(NotReady::from)
            }
            Err(not_ready) => Err(not_ready),
        };
        let Some(detached) = self.detached.get_mut(&leg) else { return Ok(()) };
        match started {
            Ok(pipeline) => {
                tracing::info!(stream = self.line.stream.name, %leg, generation = pipeline.generation, "catching up");
                detached.pipeline = Some(pipeline);
                detached.partitions = partitions.into_iter().collect();
                detached.problem = None;
            }
            Err(NotReady::Fatal(why)) => return Err(self.gave_up(why)),
            Err(why) => {
                let words = why.to_string();
                if detached.problem.as_ref() != Some(&words) {
                    tracing::warn!(stream = self.line.stream.name, %leg, "not back yet: {words}");
                }
                detached.problem = Some(words);
                detached.not_before = Instant::now() + ASK_AGAIN;
            }
        }
        Ok(())
    }

    /// Within half a gate of the front in sum over the partitions: one reader can serve both from here. Being near is not enough: a
    /// store that answers questions but takes nothing (a full disk) would come and go, and the other leg would pay for each time.
    fn has_caught_up(&self, leg: Leg) -> bool {
        let (Some(main), Some(detached)) = (&self.main, self.detached.get(&leg)) else { return false };
        let behind = detached.partitions();
        let front = main.progress.partitions();
        if front.is_empty() || !front.keys().all(|p| behind.contains_key(p)) {
            return false;
        }
        let gap: i64 = front.iter().map(|(p, at)| (at.sealed - behind[p].durable[leg as usize]).max(0)).sum();
        let takes =
            detached.pipeline.as_ref().is_some_and(|p| p.progress.moved_within(leg, self.line.settings.pipeline.stall_after));
        gap == 0 || (takes && gap.unsigned_abs() <= (main.gate.limit().rows / 2) as u64)
    }

    async fn bring_back(&mut self, leg: Leg) {
        let Some(detached) = self.detached.remove(&leg) else { return };
        tracing::info!(stream = self.line.stream.name, %leg, "caught up; one read feeds both again");
        let until = Instant::now() + DETACH;
        let ends = detached.into_pipeline().into_iter().chain(self.main.take()).map(|p| {
            let legs = p.legs;
            p.drain(legs, until)
        });
        futures::future::join_all(ends).await;
        self.not_before = Instant::now();
    }
}
