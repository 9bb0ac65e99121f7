//! When a job begins by itself: a function of what is known of its past, and of a clock that somebody else reads.
//!
//! Hours of a cron pattern are those of its place. Where clocks go forward, a time that is left out happens at the first moment after the
//! gap; where they go back, a time that comes twice happens the first time (patterns with `*` or a step in the hour follow the clock on
//! the wall through both).

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use super::{Job, Schedule};

impl Job {
    /// When the next run begins by itself: not later than `now` means it is due. None: never.
    ///
    /// `last_due` is what this said for the last run that began by itself; `first_seen`, when somebody first knew of the job. Times that
    /// were missed, in an outage or a pause, become one run; with `catch_up` one each.
    pub fn next_due(
        &self,
        last_due: Option<DateTime<Utc>>,
        first_seen: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        match &self.schedule {
            Schedule::Manual => None,
            Schedule::Every { interval, .. } => {
                let Some(last) = last_due else { return Some(now) };
                let due = last.checked_add_signed(TimeDelta::from_std(*interval).ok()?)?;
                Some(if self.catch_up || due > now { due } else { now })
            }
            Schedule::Cron { pattern, timezone } => {
                let (cron, place) = (cron(pattern).ok()?, timezone.parse().ok()?);
                let after = last_due.unwrap_or(first_seen);
                let first = next(&cron, place, after)?;
                if self.catch_up || first > now {
                    return Some(first);
                }
                Some(newest(&cron, place, after, now).unwrap_or(first))
            }
        }
    }
}

impl Schedule {
    /// The schedule for people: `every 5 min, when there is new data`.
    pub fn words(&self) -> String {
        match self {
            Schedule::Manual => "when somebody says so".to_owned(),
            Schedule::Every { interval, only_new_data } => {
                let data = if *only_new_data { ", when there is new data" } else { "" };
                format!("every {}{data}", crate::declare::units::show_millis(interval.as_millis()))
            }
            Schedule::Cron { pattern, timezone } => format!("{pattern} ({timezone})"),
        }
    }
}

/// Five fields: minute, hour, day, month, weekday; or what is wrong with them.
pub(super) fn cron(pattern: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(pattern).map_err(|e| e.to_string())
}

/// The first time after `after`. None: there is none in the next thousands of years.
pub(super) fn next(cron: &Cron, place: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let found = cron.find_next_occurrence(&after.with_timezone(&place), false).ok()?;
    Some(found.with_timezone(&Utc)).filter(|found| *found > after)
}

/// The newest time after `after` and not after `now`. Walks forward alone, so that it finds the times that [`next`] finds; the last
/// two days first, so that a pattern of minutes is not walked through from the beginning of a long outage.
fn newest(cron: &Cron, place: Tz, after: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let walk = |from: DateTime<Utc>| {
        let mut newest = None;
        let mut at = from;
        while let Some(found) = next(cron, place, at).filter(|found| *found <= now) {
            newest = Some(found);
            at = found;
        }
        newest
    };
    let recent = now.checked_sub_signed(TimeDelta::days(2)).unwrap_or(after).max(after);
    walk(recent).or_else(|| walk(after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn job(schedule: Schedule, catch_up: bool) -> Job {
        Job { schedule, catch_up, ..Job::builtin().remove(0) }
    }

    fn berlin(pattern: &str, catch_up: bool) -> Job {
        job(Schedule::Cron { pattern: pattern.to_owned(), timezone: "Europe/Berlin".to_owned() }, catch_up)
    }

    fn every(minutes: u64, catch_up: bool) -> Job {
        job(Schedule::Every { interval: Duration::from_secs(60 * minutes), only_new_data: false }, catch_up)
    }

    /// What runs when somebody looks every minute: the times for which it ran.
    fn simulate(job: &Job, from: &str, to: &str) -> Vec<String> {
        let (first_seen, end) = (at(from), at(to));
        let (mut now, mut last, mut ran) = (first_seen, None, Vec::new());
        while now <= end {
            if let Some(due) = job.next_due(last, first_seen, now).filter(|due| *due <= now) {
                ran.push(due.to_rfc3339());
                last = Some(due);
            }
            now += TimeDelta::minutes(1);
        }
        ran
    }

    #[test]
    fn an_interval_begins_at_once_and_counts_from_the_last_beginning() {
        let (job, seen, now) = (every(5, false), at("2026-11-25T10:00:00Z"), at("2026-11-25T10:00:01Z"));
        assert_eq!(job.next_due(None, seen, now), Some(now));
        assert_eq!(job.next_due(Some(now), seen, now), Some(at("2026-11-25T10:05:01Z")));
    }

    #[test]
    fn an_outage_is_made_up_for_by_one_run_or_by_all_that_were_due() {
        let (seen, last, now) = (at("2026-11-20T00:00:00Z"), at("2026-11-25T10:00:00Z"), at("2026-11-25T13:02:00Z"));
        assert_eq!(every(60, false).next_due(Some(last), seen, now), Some(now), "one, and the next an hour after it");
        assert_eq!(every(60, true).next_due(Some(last), seen, now), Some(at("2026-11-25T11:00:00Z")), "the first of three");

        let (last, now) = (at("2026-11-20T02:00:00Z"), at("2026-11-25T13:02:00Z"));
        let newest = berlin("0 3 * * *", false).next_due(Some(last), seen, now);
        assert_eq!(newest, Some(at("2026-11-25T02:00:00Z")));
        assert_eq!(berlin("0 3 * * *", false).next_due(newest, seen, now), Some(at("2026-11-26T02:00:00Z")));
        assert_eq!(berlin("0 3 * * *", true).next_due(Some(last), seen, now), Some(at("2026-11-21T02:00:00Z")));
        let yearly = berlin("0 3 1 1 *", false);
        assert_eq!(yearly.next_due(Some(at("2021-01-01T02:00:00Z")), seen, now), Some(at("2026-01-01T02:00:00Z")));
    }

    #[test]
    fn a_cron_job_waits_for_its_first_time_and_does_not_miss_it_between_two_looks() {
        let job = berlin("30 11 * * *", false);
        let seen = at("2026-11-25T10:00:00Z");
        assert_eq!(job.next_due(None, seen, seen), Some(at("2026-11-25T10:30:00Z")));
        let late = at("2026-11-25T10:30:00.7Z");
        assert_eq!(job.next_due(None, seen, late), Some(at("2026-11-25T10:30:00Z")), "due, although its moment has passed");
    }

    #[test]
    fn its_hours_are_those_of_the_place() {
        let job = berlin("0 3 * * *", false);
        assert_eq!(simulate(&job, "2026-07-01T00:00:00Z", "2026-07-02T00:00:00Z"), ["2026-07-01T01:00:00+00:00"]);
        assert_eq!(simulate(&job, "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"), ["2026-12-01T02:00:00+00:00"]);
    }

    /// 2026-03-29: at 02:00 it is 03:00 in Berlin.
    #[test]
    fn a_time_that_is_left_out_in_spring_happens_after_the_gap() {
        let ran = simulate(&berlin("30 2 * * *", false), "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(ran, ["2026-03-29T01:00:00+00:00", "2026-03-30T00:30:00+00:00"]);
        let hourly = simulate(&berlin("0 * * * *", false), "2026-03-29T00:00:00Z", "2026-03-29T02:30:00Z");
        assert_eq!(hourly, ["2026-03-29T01:00:00+00:00", "2026-03-29T02:00:00+00:00"]);
    }

    /// 2026-10-25: at 03:00 it is 02:00 again in Berlin.
    #[test]
    fn a_time_that_comes_twice_in_autumn_happens_once() {
        for catch_up in [false, true] {
            let ran = simulate(&berlin("30 2 * * *", catch_up), "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z");
            assert_eq!(ran, ["2026-10-25T00:30:00+00:00", "2026-10-26T01:30:00+00:00"]);
        }
        let hourly = simulate(&berlin("0 * * * *", false), "2026-10-24T23:30:00Z", "2026-10-25T02:30:00Z");
        assert_eq!(hourly, ["2026-10-25T00:00:00+00:00", "2026-10-25T01:00:00+00:00", "2026-10-25T02:00:00+00:00"]);
    }

    /// An installation that is first started, or comes back, inside the hour that is repeated.
    #[test]
    fn the_second_pass_of_an_hour_does_not_bring_a_run_back() {
        let job = berlin("30 2 * * *", false);
        let (seen, last) = (at("2026-10-01T00:00:00Z"), at("2026-10-25T00:30:00Z"));
        let again = at("2026-10-25T01:40:00Z");
        assert_eq!(job.next_due(Some(last), seen, again), Some(at("2026-10-26T01:30:00Z")));
        let back = job.next_due(Some(at("2026-10-24T00:30:00Z")), seen, again);
        assert_eq!(back, Some(last), "one for the time that was missed, named by its first pass");
    }

    #[test]
    fn without_a_schedule_it_is_never_due() {
        let now = at("2026-11-25T10:00:00Z");
        assert_eq!(job(Schedule::Manual, false).next_due(None, now, now), None);
    }

    #[test]
    fn a_schedule_is_said_in_words() {
        assert_eq!(job(Schedule::Manual, false).schedule.words(), "when somebody says so");
        let new = Schedule::Every { interval: Duration::from_secs(300), only_new_data: true };
        assert_eq!(new.words(), "every 5 min, when there is new data");
        assert_eq!(berlin("0 3 * * *", false).schedule.words(), "0 3 * * * (Europe/Berlin)");
    }
}
