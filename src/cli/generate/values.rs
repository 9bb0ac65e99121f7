//! How a person writes a count, a share, a rate, a moment.
//!
//! Assumes one argument at a time. Promises errors that say what to write instead.

use chrono::{DateTime, NaiveDate, Utc};
use tributary_core::traffic::Profile;

/// `5000`, `5_000`, `500k`, `5M`.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a number of records; write it like 5000, 500k or 5M");
    let plain = text.trim().replace('_', "");
    let (digits, factor) = match plain.chars().last() {
        Some('k' | 'K') => (&plain[..plain.len() - 1], 1_000),
        Some('M' | 'm') => (&plain[..plain.len() - 1], 1_000_000),
        _ => (plain.as_str(), 1),
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(factor).ok_or_else(wrong);
    }
    let number = digits.parse::<f64>().map_err(|_| wrong())? * factor as f64;
    if number.fract() == 0.0 && (0.0..1e15).contains(&number) { Ok(number as u64) } else { Err(wrong()) }
}

/// `1%` or `0.01`.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a share; write it like 1% or 0.01");
    let (number, whole) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim(), 100.0),
        None => (text.trim(), 1.0),
    };
    let share = number.parse::<f64>().map_err(|_| wrong())? / whole;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(wrong()) }
}

/// A number above zero; 50k and 1M are understood.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    number(text).filter(|rate| *rate > 0.0).ok_or_else(|| format!("`{text}` is not a rate; write it like 0.5, 500, 50k or 1M"))
}

/// Each of them is remembered while records are made.
const MOST_USERS: f64 = 10_000_000.0;

/// A number, zero or more.
pub(super) fn growth(text: &str) -> Result<f64, String> {
    let users = number(text).filter(|users| *users <= MOST_USERS);
    users.ok_or_else(|| format!("`{text}` is not a number of users per hour up to {MOST_USERS}; write it like 0, 2.5 or 10k"))
}

fn number(text: &str) -> Option<f64> {
    let number = count(text).map(|whole| whole as f64).ok().or_else(|| text.trim().parse().ok())?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// RFC 3339, or a day.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let day = text.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    day.map(|day| day.and_utc())
        .ok_or_else(|| format!("`{text}` is not a time; write it like 2026-01-05T10:00:00Z or 2026-01-05"))
}

/// `plain` or `realistic`.
pub(super) fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "plain" => Ok(Profile::Plain),
        "realistic" => Ok(Profile::Realistic),
        _ => Err(format!("`{text}` is not a profile; there is plain and realistic")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_written_as_people_do() {
        for (text, n) in [("0", 0), ("5_000", 5_000), ("500k", 500_000), ("5M", 5_000_000), ("2.5M", 2_500_000)] {
            assert_eq!(count(text), Ok(n), "{text}");
        }
        for text in ["", "k", "-1", "1.5", "5G", "many", "99999999999999999999k"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_percent_or_fractions() {
        for (text, n) in [("0", 0.0), ("1%", 0.01), ("0.5 %", 0.005), ("0.01", 0.01), ("100%", 1.0)] {
            assert_eq!(share(text), Ok(n), "{text}");
        }
        for text in ["2", "101%", "-1%", "NaN", "%", "few"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_may_be_below_one() {
        for (text, n) in [("0.1", 0.1), ("5", 5.0), ("50k", 50_000.0), ("1M", 1e6)] {
            assert_eq!(rate(text), Ok(n), "{text}");
        }
        for text in ["-1", "inf", "NaN", "fast", "0"] {
            assert!(rate(text).is_err(), "{text}");
        }
        assert_eq!((growth("0"), growth("2.5")), (Ok(0.0), Ok(2.5)));
        assert!(growth("-1").is_err());
    }

    #[test]
    fn a_moment_is_a_time_or_a_day() {
        assert_eq!(moment("2026-01-05"), moment("2026-01-05T00:00:00Z"));
        assert_eq!(moment("2026-01-05T02:00:00+02:00"), moment("2026-01-05"));
        assert!(moment("yesterday").is_err());
    }
}
