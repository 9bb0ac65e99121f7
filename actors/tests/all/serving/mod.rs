//! The windows as users rely on them: exact whoever writes them, whatever answer is lost.

mod actions;
mod history;
mod lease;
mod lost;
mod merge;
mod new_windows;
mod publish;
mod refill;
mod retention;
mod schema;

use std::ops::Range;
use std::sync::Arc;

use tributary_actors::serving::merge::Target;
use tributary_actors::serving::prepare;
use tributary_core::stream::Stream;
use tributary_core::window::{Folder, PartitionDelta};

use crate::common::payments::{batch, stream};
use crate::common::postgres::{Database, database};
use crate::common::probe::span;

/// A database with the tables of the payments, and what merges into it.
async fn prepared() -> Option<(Database, Target)> {
    let database = database().await?;
    prepare(&database.url, &stream()).await.unwrap();
    Some((database, Target::new(stream(), 1)))
}

/// What these ranges add up to.
fn deltas(ranges: &[(i32, Range<i64>)]) -> Vec<PartitionDelta> {
    deltas_of(&stream(), ranges)
}

/// The same, by another declaration of the same events.
fn deltas_of(stream: &Arc<Stream>, ranges: &[(i32, Range<i64>)]) -> Vec<PartitionDelta> {
    let spans: Vec<_> = ranges.iter().map(|(partition, range)| span(*partition, range.start, range.end, 0)).collect();
    Folder::new(Arc::clone(stream)).fold(&batch(stream, ranges).rows, &spans).unwrap()
}

/// Spans as text.
fn words<'a>(spans: impl IntoIterator<Item = &'a tributary_core::span::Span>) -> Vec<String> {
    spans.into_iter().map(ToString::to_string).collect()
}
