//! Silver counted again from bronze: each valid event below silver's own offsets once, as bronze has it, and nothing else.
//!
//! Day by day and, where a day is large, slice by slice of its events' hashes, so that memory is bounded by [`SLICE`] events per thread
//! (about 100 bytes each) and not by the table. Which copy of a repeated event silver took is silver's choice; that it is one of bronze's
//! rows, value by value, is not.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use anyhow::{Context, Result};
use arrow_array::{Array, RecordBatch};
use tokio::runtime::Handle;
use tributary_core::stream::Stream;

use super::super::lake::{Lake, LiveFile};
use super::super::ranges::Ranges;
use super::super::spans::Place;
use super::canon::{Column, Form, Hasher};
use super::events::{Columns, Rows, STATUS};
use super::files;

/// Events of a day that are looked at at once.
pub(super) const SLICE: u64 = 2_000_000;
const DAY_US: i64 = 86_400_000_000;

/// A table and its live files.
pub(super) struct Files<'a> {
    pub(super) lake: &'a Lake,
    pub(super) files: &'a [LiveFile],
}

/// What is compared.
pub(super) struct Silver<'a> {
    pub(super) stream: &'a Stream,
    pub(super) bronze: Files<'a>,
    pub(super) silver: Files<'a>,
    /// Silver's next offsets.
    pub(super) next: &'a BTreeMap<Place, i64>,
    /// Rows below them that silver has yet to take: a replay made them valid.
    pub(super) late: &'a BTreeMap<Place, Ranges>,
    /// Rows of one slice; [`SLICE`] but in tests.
    pub(super) slice: u64,
}

/// What came out. Offsets are those of the rows in bronze or silver.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Rows of silver.
    pub(super) rows: u64,
    /// Valid events of bronze below silver's offsets, each once.
    pub(super) events: u64,
    /// Valid rows of bronze that repeat one of them.
    pub(super) duplicates: u64,
    /// Valid rows of bronze that silver has yet to look at.
    pub(super) ahead: u64,
    /// Events without a row.
    pub(super) missing: BTreeMap<Place, Ranges>,
    /// Rows that are not bronze's.
    pub(super) extra: BTreeMap<Place, Ranges>,
    /// Rows of events that have one already.
    pub(super) twice: BTreeMap<Place, Ranges>,
    /// Rows in the folder of another day.
    pub(super) misplaced: BTreeMap<Place, Ranges>,
}

impl Counted {
    fn join(&mut self, other: Counted) {
        self.rows += other.rows;
        self.events += other.events;
        self.duplicates += other.duplicates;
        self.ahead += other.ahead;
        for (ours, theirs) in [
            (&mut self.missing, other.missing),
            (&mut self.extra, other.extra),
            (&mut self.twice, other.twice),
            (&mut self.misplaced, other.misplaced),
        ] {
            for (place, ranges) in theirs {
                ours.entry(place).or_default().add_all(&ranges);
            }
        }
    }
}

/// Counts on a few threads. `done` hears of the bytes read. Must be called where blocking is allowed.
pub(super) fn count(silver: &Silver<'_>, done: &(dyn Fn(u64) + Sync)) -> Result<Counted> {
    let columns = Columns::of(silver.stream);
    let jobs = jobs(silver);
    let (next, runtime, hasher) = (AtomicUsize::new(0), Handle::current(), Hasher::default());
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(4)).min(jobs.len()).max(1);
    let work = || {
        let mut all = Counted::default();
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            all.join(Day::default().count(silver, job, &columns, &hasher, &runtime, done)?);
        }
        Ok(all)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all: Result<Counted> = work();
        for other in others {
            match other.join() {
                Ok(counted) => {
                    let (mut ours, theirs) = (all?, counted?);
                    ours.join(theirs);
                    all = Ok(ours);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    })
}

/// A slice of a day.
struct Job<'a> {
    date: Option<i32>,
    bronze: Vec<&'a LiveFile>,
    silver: Vec<&'a LiveFile>,
    slice: u128,
    slices: u128,
}

fn jobs<'a>(silver: &Silver<'a>) -> Vec<Job<'a>> {
    let of = |files: &'a [LiveFile], date| files.iter().filter(|file| file.event_date == date).collect::<Vec<_>>();
    let dates: BTreeSet<_> = silver.bronze.files.iter().chain(silver.silver.files).map(|file| file.event_date).collect();
    let mut jobs = Vec::new();
    for date in dates {
        let (bronze, ours) = (of(silver.bronze.files, date), of(silver.silver.files, date));
        // A file that does not say is taken for one of small rows.
        let rows: u64 = bronze.iter().map(|file| file.rows.unwrap_or(file.size / 16)).sum();
        let slices = u128::from(rows.div_ceil(silver.slice.max(1)).max(1));
        jobs.extend((0..slices).map(|slice| Job { date, bronze: bronze.clone(), silver: ours.clone(), slice, slices }));
    }
    jobs
}

/// One event of bronze: where its first row is, and whether silver has it.
struct Event {
    place: u32,
    seen: bool,
    offset: i64,
}

/// A slice of a day under way.
#[derive(Default)]
struct Day {
    places: Vec<Place>,
    events: HashMap<u128, Event, RandomState>,
    rows: HashSet<u128, RandomState>,
    counted: Counted,
}

impl Day {
    fn count(
        mut self,
        silver: &Silver<'_>,
        job: &Job<'_>,
        columns: &Columns,
        hasher: &Hasher,
        runtime: &Handle,
        done: &(dyn Fn(u64) + Sync),
    ) -> Result<Counted> {
        let with_status = columns.bronze();
        let here = |event: u128| event % job.slices == job.slice;
        let late = |place: &Place, offset: i64| silver.late.get(place).is_some_and(|late| late.has(offset));
        let taken =
            |place: &Place, offset: i64| silver.next.get(place).is_some_and(|next| offset < *next) && !late(place, offset);
        for file in &job.bronze {
            files::read(runtime, silver.bronze.lake, file, &with_status, &mut |batch| {
                self.bronze(batch, columns, hasher, &here, &taken)
            })?;
            done(file.size);
        }
        for file in &job.silver {
            files::read(runtime, silver.silver.lake, file, &columns.names, &mut |batch| {
                self.silver(batch, columns, hasher, job.date, &here, &taken)
            })?;
            done(file.size);
        }
        for event in self.events.values().filter(|event| !event.seen) {
            let place = self.places[event.place as usize];
            self.counted.missing.entry(place).or_default().add(event.offset, event.offset + 1);
        }
        self.counted.events = self.events.len() as u64;
        Ok(self.counted)
    }

    fn bronze(
        &mut self,
        batch: &RecordBatch,
        columns: &Columns,
        hasher: &Hasher,
        here: &dyn Fn(u128) -> bool,
        taken: &dyn Fn(&Place, i64) -> bool,
    ) -> Result<()> {
        let status = batch.column_by_name(STATUS).context("column status is missing")?;
        let Column::Text(status) = Column::new(status, Form::Text)? else { return Ok(()) };
        let rows = Rows::new(batch, columns, hasher)?;
        for row in
            (0..batch.num_rows()).filter(|row| status.is_valid(*row) && status.value(*row) == "ok" && here(rows.events[*row]))
        {
            let (place, offset) = rows.at(row)?;
            if !taken(&place, offset) {
                self.counted.ahead += 1;
                continue;
            }
            self.rows.insert(rows.rows[row]);
            let number = self.places.iter().position(|known| *known == place).unwrap_or_else(|| {
                self.places.push(place);
                self.places.len() - 1
            });
            let before = self.events.len();
            self.events.entry(rows.events[row]).or_insert(Event { place: number as u32, seen: false, offset });
            self.counted.duplicates += u64::from(self.events.len() == before);
        }
        Ok(())
    }

    fn silver(
        &mut self,
        batch: &RecordBatch,
        columns: &Columns,
        hasher: &Hasher,
        date: Option<i32>,
        here: &dyn Fn(u128) -> bool,
        taken: &dyn Fn(&Place, i64) -> bool,
    ) -> Result<()> {
        let rows = Rows::new(batch, columns, hasher)?;
        for row in (0..batch.num_rows()).filter(|row| here(rows.events[*row])) {
            self.counted.rows += 1;
            let (place, offset) = rows.at(row)?;
            let note = |kind: &mut BTreeMap<Place, Ranges>| kind.entry(place).or_default().add(offset, offset + 1);
            if date != Some(i32::try_from(rows.whole(columns.time, row)?.div_euclid(DAY_US))?) {
                note(&mut self.counted.misplaced);
            }
            if !taken(&place, offset) || !self.rows.contains(&rows.rows[row]) {
                note(&mut self.counted.extra);
                continue;
            }
            match self.events.get_mut(&rows.events[row]) {
                Some(event) if !event.seen => event.seen = true,
                _ => note(&mut self.counted.twice),
            }
        }
        Ok(())
    }
}
