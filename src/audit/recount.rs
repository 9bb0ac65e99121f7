//! Windows counted again, from rows: what PostgreSQL should hold if it counted every valid row below its own offsets exactly once.
//!
//! Assumes columns that [`super::scan`] already brought into one shape. Keeps one integer per window and key; texts are numbered
//! once in [`Symbols`], which the threads that scan share with the reader of PostgreSQL.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tributary_core::stream::{Measure, Stream};

/// Start of the window in microseconds since 1970, and the numbers of the group's texts (unused places are 0).
pub(crate) type Key = (i64, [u32; MAX_GROUP]);

/// Groups have at most so many columns, as a declaration promises.
pub(crate) const MAX_GROUP: usize = 3;

/// The number of a text that is null.
pub(crate) const NULL: u32 = u32::MAX;

/// What a table counts, by window and key. Wider than any single number: sums of 64-bit integers must not wrap.
pub(crate) type Counts = HashMap<Key, i128, ahash::RandomState>;

/// Texts and their numbers.
#[derive(Debug, Default)]
pub(crate) struct Symbols(Mutex<Numbered>);

#[derive(Debug, Default)]
struct Numbered {
    numbers: HashMap<Box<str>, u32, ahash::RandomState>,
    texts: Vec<Box<str>>,
}

impl Symbols {
    fn lock(&self) -> MutexGuard<'_, Numbered> {
        // Nothing here leaves the two halves apart when it panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of each text.
    pub(crate) fn numbers<'a>(&self, texts: impl Iterator<Item = Option<&'a str>>) -> Vec<u32> {
        let mut all = self.lock();
        texts.map(|text| text.map_or(NULL, |text| all.number(text))).collect()
    }

    /// The text of a number; none for [`NULL`].
    pub(crate) fn text(&self, number: u32) -> Option<String> {
        self.lock().texts.get(number as usize).map(|text| text.to_string())
    }
}

impl Numbered {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        self.numbers.insert(text.into(), number);
        number
    }
}

/// A window declaration, its columns as places in [`Rows::texts`] and [`Rows::integers`].
#[derive(Debug)]
pub(crate) struct WindowPlan {
    /// Length in microseconds.
    pub(crate) every_us: i64,
    /// Text column and the numbers of the texts that it may have.
    filter: Vec<(usize, Vec<u32>)>,
    /// Text columns.
    group: Vec<usize>,
    /// Integer column to add up; none: count rows.
    sum: Option<usize>,
}

/// What a stream's windows need of bronze.
#[derive(Debug, Default)]
pub(crate) struct WindowPlans {
    /// In the order of the declaration.
    pub(crate) windows: Vec<WindowPlan>,
    /// Bronze columns read as text.
    pub(crate) texts: Vec<String>,
    /// Bronze columns read as integers.
    pub(crate) integers: Vec<String>,
}

fn place(columns: &mut Vec<String>, name: &str) -> usize {
    columns.iter().position(|column| column == name).unwrap_or_else(|| {
        columns.push(name.to_string());
        columns.len() - 1
    })
}

impl WindowPlans {
    /// The plans of a declared stream.
    pub(crate) fn of(stream: &Stream, symbols: &Symbols) -> Self {
        let mut plans = WindowPlans::default();
        let column = |field: usize| stream.fields[field].column.as_str();
        for window in &stream.windows {
            let texts = &mut plans.texts;
            let filter = window.filter.iter().map(|(field, values)| {
                let values = symbols.numbers(values.iter().map(|value| Some(value.as_str())));
                (place(texts, column(*field)), values)
            });
            let filter = filter.collect();
            let group = window.group_by.iter().map(|field| place(texts, column(*field))).collect();
            let sum = match &window.measure {
                Measure::Count { .. } => None,
                Measure::Sum { field, .. } => Some(place(&mut plans.integers, column(*field))),
            };
            plans.windows.push(WindowPlan { every_us: window.every_ms * 1000, filter, group, sum });
        }
        plans
    }
}

/// Columns of one batch. A text column is a number per row.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Per text column, per row.
    pub(crate) texts: Vec<Vec<u32>>,
    /// Per integer column, per row.
    pub(crate) integers: Vec<Vec<Option<i64>>>,
}

/// The recount of one stream.
#[derive(Debug, Default)]
pub(crate) struct Recount {
    /// Per window.
    pub(crate) counts: Vec<Counts>,
    /// Valid rows that no window can take, because they have no event time.
    pub(crate) unkeyed: u64,
}

impl Recount {
    /// Nothing counted yet.
    pub(crate) fn new(windows: usize) -> Self {
        Recount { counts: (0..windows).map(|_| Counts::default()).collect(), unkeyed: 0 }
    }

    /// Counts one valid row. One that is older than a field has null there: it is in no group of it, and adds nothing to its sum.
    pub(crate) fn add(&mut self, plans: &WindowPlans, rows: &Rows, row: usize, event_us: Option<i64>) {
        let Some(event_us) = event_us else {
            self.unkeyed += 1;
            return;
        };
        for (plan, counts) in plans.windows.iter().zip(&mut self.counts) {
            if !plan.filter.iter().all(|(column, allowed)| allowed.contains(&rows.texts[*column][row])) {
                continue;
            }
            let mut group = [0; MAX_GROUP];
            for (place, column) in group.iter_mut().zip(&plan.group) {
                *place = rows.texts[*column][row];
            }
            if group.contains(&NULL) {
                continue;
            }
            let amount = plan.sum.map_or(1, |column| rows.integers[column][row].unwrap_or(0));
            let start = event_us.div_euclid(plan.every_us) * plan.every_us;
            *counts.entry((start, group)).or_default() += i128::from(amount);
        }
    }

    /// Takes all of another recount.
    pub(crate) fn join(&mut self, other: Recount) {
        self.unkeyed += other.unkeyed;
        for (ours, theirs) in self.counts.iter_mut().zip(other.counts) {
            if ours.is_empty() {
                *ours = theirs;
                continue;
            }
            for (key, amount) in theirs {
                *ours.entry(key).or_default() += amount;
            }
        }
    }
}
