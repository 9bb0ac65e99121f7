//! The memory that all work of an engine shares.
//!
//! Each operator that can spill gets its share, and spills when that is used up; the largest are named when nothing is left. An exchange
//! between threads (`RepartitionExec`) is never refused: what it holds is a few batches per thread, and when it spills with several
//! writers, its reader waits for the oldest file while what it needs is in a newer one, for ever
//! (<https://github.com/apache/datafusion/issues/24883>).

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, TrackConsumersPool,
};

/// Who is named when memory runs out.
const LARGEST_CONSUMERS: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(2);
/// What never spills.
const EXCHANGE: &str = "RepartitionExec";

/// So many bytes.
pub(crate) fn pool(bytes: usize) -> Arc<dyn MemoryPool> {
    Arc::new(TrackConsumersPool::new(Shares(FairSpillPool::new(bytes)), LARGEST_CONSUMERS))
}

#[derive(Debug)]
struct Shares(FairSpillPool);

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl MemoryPool for Shares {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.0.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.0.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.0.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.0.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if reservation.consumer().name().starts_with(EXCHANGE) {
            self.0.grow(reservation, additional);
            return Ok(());
        }
        self.0.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.0.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.0.memory_limit()
    }
}
