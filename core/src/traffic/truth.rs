//! What was made, counted as the stores have to count it.
//!
//! Assumes that each record is added once, in any order. Promises memory that grows with minutes and users, not with events, and
//! this JSON, which is stable (`schema` is raised when it changes). Maps and lists hold only what is not zero.
//!
//! ```text
//! { "schema": 1,
//!   "plan": …,                        what to repeat the run with; null if there was none
//!   "records": { "total", "ok", "duplicates", "late",     duplicates and late ones are among the ok
//!                "statuses": {status: n},                 as in bronze
//!                "reasons": {reason: n},                  the beginning of bronze's `error`
//!                "flaws": {name: n} },
//!   "valid": { "event_type": {…}, "source": {…} },        records with status ok, duplicates counted each time
//!   "minutes": [ { "minute": "2026-11-23T07:00:00Z",      likewise: what realtime.* must show
//!                  "event_type": {…},                     events_per_minute
//!                  "logins": {source: n},                 logins_per_source
//!                  "purchases": n } ],                    purchases_per_minute; left out when 0
//!   "days": [ { "day": "2026-11-23",
//!               "valid":    { "events", "source": {…}, "purchases", "purchases_by_page": {…} },
//!               "distinct": { the same without duplicates, "users" } } ] }     what silver and gold must show
//! ```

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use hashbrown::HashMap;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::model::{Event, LOGIN, PAGES, PURCHASE, SOURCES, TYPES};
use super::plan::{Made, Plan};
use crate::batch::Status;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 86_400_000_000;

/// Counts of everything added so far.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    total: u64,
    ok: u64,
    duplicates: u64,
    late: u64,
    statuses: [u64; Status::ALL.len()],
    reasons: BTreeMap<&'static str, u64>,
    flaws: BTreeMap<&'static str, u64>,
    minutes: Slots<Minute>,
    days: Slots<Day>,
}

/// Counts of one minute, by type and source.
type Minute = [[u64; SOURCES.len()]; TYPES.len()];

#[derive(Debug, Clone, Default)]
struct Day {
    valid: Counts,
    distinct: Counts,
    /// One bit per user id.
    users: Vec<u64>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    source: [u64; SOURCES.len()],
    purchases: u64,
    by_page: [u64; PAGES.len()],
}

impl Counts {
    fn add(&mut self, event: &Event) {
        self.source[usize::from(event.source)] += 1;
        if event.kind == PURCHASE {
            self.purchases += 1;
            if let Some(page) = self.by_page.get_mut(usize::from(event.page)) {
                *page += 1;
            }
        }
    }
}

/// Rows by number, with the last one at hand: neighbours in a stream mostly share it.
#[derive(Debug, Clone)]
struct Slots<T> {
    index: HashMap<i64, usize, ahash::RandomState>,
    rows: Vec<(i64, T)>,
    last: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { index: HashMap::default(), rows: Vec::new(), last: 0 }
    }
}

impl<T: Default> Slots<T> {
    fn of(&mut self, number: i64) -> &mut T {
        if self.rows.get(self.last).is_none_or(|(last, _)| *last != number) {
            let Self { index, rows, .. } = self;
            self.last = *index.entry(number).or_insert_with(|| {
                rows.push((number, T::default()));
                rows.len() - 1
            });
        }
        &mut self.rows[self.last].1
    }

    fn sorted(&self) -> Vec<&(i64, T)> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(number, _)| *number);
        rows
    }
}

impl Truth {
    /// Adds a record.
    pub fn add(&mut self, made: &Made) {
        self.total += 1;
        match made {
            Made::Valid { event, duplicate, late } => {
                self.ok += 1;
                self.statuses[Status::Ok as usize] += 1;
                self.duplicates += u64::from(*duplicate);
                self.late += u64::from(*late);
                let minute = self.minutes.of(event.at_us.div_euclid(MINUTE_US));
                minute[usize::from(event.kind)][usize::from(event.source)] += 1;
                let day = self.days.of(event.at_us.div_euclid(DAY_US));
                day.valid.add(event);
                if !duplicate {
                    day.distinct.add(event);
                    let (word, bit) = ((event.user / 64) as usize, event.user % 64);
                    if day.users.len() <= word {
                        day.users.resize(word + 1, 0);
                    }
                    day.users[word] |= 1 << bit;
                }
            }
            Made::Flawed(flaw) => {
                self.statuses[flaw.status() as usize] += 1;
                *self.reasons.entry(flaw.reason.as_str()).or_default() += 1;
                *self.flaws.entry(flaw.name).or_default() += 1;
            }
        }
    }

    /// Records added.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Those of them that are valid, duplicates included.
    pub fn valid(&self) -> u64 {
        self.ok
    }

    /// The JSON described above, a line per minute and per day, with a line end.
    pub fn to_json(&self, plan: Option<&Plan>) -> String {
        let mut minute_of_all = Minute::default();
        let minutes: Vec<_> = self
            .minutes
            .sorted()
            .into_iter()
            .map(|(number, minute)| {
                for (sum, counts) in minute_of_all.iter_mut().flatten().zip(minute.iter().flatten()) {
                    *sum += counts;
                }
                line(&MinuteLine {
                    minute: rfc3339(number * MINUTE_US),
                    event_type: Named(&TYPES, &by_type(minute)),
                    logins: Named(&SOURCES, &minute[usize::from(LOGIN)]),
                    purchases: minute[usize::from(PURCHASE)].iter().sum(),
                })
            })
            .collect();
        let days: Vec<_> = self
            .days
            .sorted()
            .into_iter()
            .map(|(number, day)| {
                let users = day.users.iter().map(|word| u64::from(word.count_ones())).sum();
                let day_text = rfc3339(number * DAY_US).chars().take(10).collect();
                line(&DayLine { day: day_text, valid: counts(&day.valid, None), distinct: counts(&day.distinct, Some(users)) })
            })
            .collect();
        let statuses = self.statuses;
        let names = Status::ALL.map(Status::as_str);
        let records = line(&RecordsLine {
            total: self.total,
            ok: self.ok,
            duplicates: self.duplicates,
            late: self.late,
            statuses: Named(&names, &statuses),
            reasons: &self.reasons,
            flaws: &self.flaws,
        });
        let by_source: [u64; SOURCES.len()] = std::array::from_fn(|s| minute_of_all.iter().map(|kind| kind[s]).sum());
        let valid = line(&ValidLine { event_type: Named(&TYPES, &by_type(&minute_of_all)), source: Named(&SOURCES, &by_source) });
        let plan = plan.map_or("null".into(), |plan| line(&PlanLine::of(plan)));
        let (minutes, days) = (minutes.join(",\n "), days.join(",\n "));
        format!(
            "{{\"schema\":1,\n\"plan\":{plan},\n\"records\":{records},\n\"valid\":{valid},\n\"minutes\":[\n {minutes}],\n\"days\":[\n {days}]}}\n"
        )
    }
}

fn by_type(minute: &Minute) -> [u64; TYPES.len()] {
    minute.map(|sources| sources.iter().sum())
}

fn counts(counts: &Counts, users: Option<u64>) -> CountsLine<'_> {
    CountsLine {
        events: counts.source.iter().sum(),
        users,
        source: Named(&SOURCES, &counts.source),
        purchases: counts.purchases,
        purchases_by_page: Named(&PAGES, &counts.by_page),
    }
}

fn rfc3339(at_us: i64) -> String {
    DateTime::from_timestamp_micros(at_us).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Numbers and names only: this cannot fail, and if it did the JSON would be broken for all to see.
fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("error: {error}"))
}

/// A map of what is not zero.
struct Named<'a>(&'a [&'static str], &'a [u64]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, count) in self.0.iter().zip(self.1).filter(|(_, count)| **count > 0) {
            map.serialize_entry(name, count)?;
        }
        map.end()
    }
}

#[derive(serde::Serialize)]
struct PlanLine<'a> {
    start: String,
    end: String,
    #[serde(flatten)]
    plan: &'a Plan,
}

impl<'a> PlanLine<'a> {
    fn of(plan: &'a Plan) -> Self {
        Self { start: rfc3339(plan.start_us), end: rfc3339(plan.start_us.saturating_add(plan.span_us)), plan }
    }
}

#[derive(serde::Serialize)]
struct RecordsLine<'a> {
    total: u64,
    ok: u64,
    duplicates: u64,
    late: u64,
    statuses: Named<'a>,
    reasons: &'a BTreeMap<&'static str, u64>,
    flaws: &'a BTreeMap<&'static str, u64>,
}

#[derive(serde::Serialize)]
struct ValidLine<'a> {
    event_type: Named<'a>,
    source: Named<'a>,
}

#[derive(serde::Serialize)]
struct MinuteLine<'a> {
    minute: String,
    event_type: Named<'a>,
    logins: Named<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    purchases: u64,
}

#[derive(serde::Serialize)]
struct DayLine<'a> {
    day: String,
    valid: CountsLine<'a>,
    distinct: CountsLine<'a>,
}

#[derive(serde::Serialize)]
struct CountsLine<'a> {
    events: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<u64>,
    source: Named<'a>,
    purchases: u64,
    purchases_by_page: Named<'a>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &u64) -> bool {
    *count == 0
}
