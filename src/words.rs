//! Times, sizes and numbers as people say them, on the command line and in the console.
//!
//! Times are UTC, as everywhere in the lake.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use tributary_core::table::date_text;

/// What is said where there is nothing to say.
pub(crate) const NOTHING: &str = "-";

/// `3 s ago`; what lies ahead (a clock that is off) counts as now.
pub(crate) fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    format!("{} ago", coarse(now - time))
}

/// `in 3 min`, or `now` when it is due.
pub(crate) fn until(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    if time <= now { "now".into() } else { format!("in {}", coarse(time - now)) }
}

/// The same for what may be missing.
pub(crate) fn ago_or(time: Option<DateTime<Utc>>, now: DateTime<Utc>, otherwise: &str) -> String {
    time.map_or_else(|| otherwise.to_owned(), |time| ago(time, now))
}

fn coarse(delta: TimeDelta) -> String {
    match delta.num_seconds().max(0) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// How long something took: `420 ms`, `4.2 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(time: Duration) -> String {
    // Rounded first: 59.7 s are a minute, not 60 s.
    let seconds = time.as_secs_f64().round() as u64;
    match seconds {
        _ if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        _ if time < Duration::from_millis(9_950) => format!("{:.1} s", time.as_secs_f64()),
        ..60 => format!("{seconds} s"),
        60..3_600 => both(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => both(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => both(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

fn both(large: u64, of_large: &str, small: u64, of_small: &str) -> String {
    match small {
        0 => format!("{large} {of_large}"),
        _ => format!("{large} {of_large} {small} {of_small}"),
    }
}

/// Between two times, of which the second may be yet to come.
pub(crate) fn between(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(from) = from else { return NOTHING.into() };
    duration((to.unwrap_or(now) - from).to_std().unwrap_or_default())
}

/// `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same for a number that PostgreSQL has, or has not.
pub(crate) fn count_or(number: Option<i64>) -> String {
    number.and_then(|n| u64::try_from(n).ok()).map_or_else(|| NOTHING.into(), count)
}

/// `1 day`, `2 days`.
pub(crate) fn plural(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `912 B`, `1.4 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if value < 10.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// To the second, without the `T`: for reading and for pasting into SQL.
pub(crate) fn moment(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// For machines.
pub(crate) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds since 1970, as the Delta log has them.
pub(crate) fn from_millis(ms: Option<i64>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(ms?)
}

/// Days as a person would say them: runs of days as from and to, and not more of them than fit a line.
pub(crate) fn days(days: &[i32]) -> String {
    const MOST: usize = 4;
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for day in days {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == *day => *to = *day,
            _ => runs.push((*day, *day)),
        }
    }
    let more = runs.len().saturating_sub(MOST);
    let said = runs.into_iter().take(MOST).map(|(from, to)| match from == to {
        true => date_text(from),
        false => format!("{} to {}", date_text(from), date_text(to)),
    });
    let mut text = said.collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

/// A day in a flag.
pub(crate) fn day(text: &str) -> Result<NaiveDate, String> {
    match text {
        "today" => Ok(Utc::now().date_naive()),
        "yesterday" => Utc::now().date_naive().pred_opt().ok_or_else(|| "there is no day before".into()),
        _ => NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "write a day as 2026-11-25, today or yesterday".into()),
    }
}

/// The first line of what may be long.
pub(crate) fn first_line(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let whole = line.len() == text.trim_end().len() && line.chars().count() <= most;
    match whole {
        true => line.to_owned(),
        false => line.chars().take(most.saturating_sub(1)).collect::<String>() + "…",
    }
}

/// Somebody named what is not there: says what is.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match known.is_empty() {
        true => format!("no {what} {name}; there is none"),
        false => format!("no {what} {name}; there are: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use tributary_core::table::parse_date;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    #[test]
    fn times_are_said_as_far_away_as_they_are() {
        let now = at("2026-01-10T12:00:00Z");
        for (time, words) in [
            ("2026-01-10T11:59:57Z", "3 s ago"),
            ("2026-01-10T12:00:05Z", "0 s ago"),
            ("2026-01-10T11:30:00Z", "30 min ago"),
            ("2026-01-10T00:00:00Z", "12 h ago"),
            ("2026-01-07T00:00:00Z", "3 days ago"),
        ] {
            assert_eq!(ago(at(time), now), words);
        }
        assert_eq!(until(at("2026-01-10T12:04:30Z"), now), "in 4 min");
        assert_eq!(until(at("2026-01-10T11:59:59Z"), now), "now");
    }

    #[test]
    fn durations_have_the_digits_that_matter() {
        for (ms, words) in [
            (40, "40 ms"),
            (1_420, "1.4 s"),
            (9_949, "9.9 s"),
            (12_400, "12 s"),
            (59_700, "1 min"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (180_000_000, "2 d 2 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(ms)), words);
        }
    }

    #[test]
    fn numbers_and_sizes_are_readable() {
        assert_eq!([0, 999, 1_000, 12_345_678].map(count), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([912, 1_024, 1_500_000, 64 << 30].map(bytes), ["912 B", "1.0 KiB", "1.4 MiB", "64 GiB"]);
        assert_eq!([1, 2_000].map(|n| plural(n, "day")), ["1 day", "2,000 days"]);
    }

    #[test]
    fn days_are_said_as_runs() {
        let all = |texts: &[&str]| texts.iter().map(|t| parse_date(t).unwrap()).collect::<Vec<_>>();
        assert_eq!(days(&all(&["2026-01-01"])), "2026-01-01");
        assert_eq!(days(&all(&["2026-01-31", "2026-02-01", "2026-02-02", "2026-02-05"])), "2026-01-31 to 2026-02-02, 2026-02-05");
        let every_other: Vec<i32> = (0..12).step_by(2).collect();
        assert!(days(&every_other).ends_with("1970-01-07 and 2 more"), "{}", days(&every_other));
    }

    #[test]
    fn what_is_long_is_cut_at_its_first_line() {
        assert_eq!(first_line("short", 10), "short");
        assert_eq!(first_line("one\ntwo", 10), "one…");
        assert_eq!(first_line("0123456789abc", 10), "012345678…");
    }

    #[test]
    fn a_wrong_name_is_answered_with_the_right_ones() {
        assert_eq!(unknown("job", "x", ["a", "b"]), "no job x; there are: a, b");
        assert_eq!(unknown("job", "x", []), "no job x; there is none");
    }
}
