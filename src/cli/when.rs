//! How a person writes a moment: with an offset or without one (then it is UTC), to the second, the minute or the day.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

pub(super) use crate::inspect::letters::time as shown;

/// `2026-01-05T10:07:30Z`, `2026-01-05T10:07`, `2026-01-05`.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.with_timezone(&Utc));
    }
    let local = text.strip_suffix('Z').unwrap_or(text).replace(' ', "T");
    let minute = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"].iter().find_map(|form| NaiveDateTime::parse_from_str(&local, form).ok());
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    minute.or_else(day).map(|time| time.and_utc()).ok_or_else(|| {
        format!("`{text}` is not a time; write it like 2026-01-05T10:07:30Z, 2026-01-05T10:07 or 2026-01-05 (UTC)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_without_an_offset_is_utc() {
        assert_eq!(moment("2026-01-05"), moment("2026-01-05T00:00:00Z"));
        assert_eq!(moment("2026-01-05T10:07"), moment("2026-01-05T12:07:00+02:00"));
        assert_eq!(moment("2026-01-05 10:07Z"), moment("2026-01-05T10:07:00"));
        assert!(moment("yesterday").is_err() && moment("10:07").is_err());
    }
}
