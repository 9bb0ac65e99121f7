//! Timestamps: RFC 3339 to UTC microseconds, and where an event time lies around Kafka's record time.
//!
//! Every form of RFC 3339 is read: `T`, `t` or a space in the middle; `Z`, `z`, `+hh:mm`, `-hh:mm` (`-00:00` too) at the end; any
//! number of fraction digits, cut off below the microsecond. `23:59:60` UTC, the leap second, is the next day's first second. What
//! has no offset, no such day or no such hour is refused, and so is what lies outside the years 0001 to 9999 in UTC: no store of
//! ours could hold it.

use crate::stream::Limits;

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;
/// 0001-01-01T00:00:00Z.
pub(super) const MIN_US: i64 = -719_162 * DAY_US;
/// The last microsecond of 9999-12-31.
pub(super) const MAX_US: i64 = 2_932_897 * DAY_US - 1;

/// Reads RFC 3339. The error says what is wrong with it.
pub(super) fn parse(text: &str) -> Result<i64, &'static str> {
    let mut p = Digits { rest: text.as_bytes() };
    let year = p.number(4, "no year")?;
    p.one_of(b"-", "no date")?;
    let month = p.number(2, "no month")?;
    p.one_of(b"-", "no date")?;
    let day = p.number(2, "no day")?;
    p.one_of(b"Tt ", "no time of day")?;
    let hour = p.number(2, "no hour")?;
    p.one_of(b":", "no time of day")?;
    let minute = p.number(2, "no minute")?;
    p.one_of(b":", "no seconds")?;
    let second = p.number(2, "no seconds")?;
    let micros = p.fraction()?;
    let offset = p.offset()?;
    if !p.rest.is_empty() {
        return Err("something follows the offset");
    }

    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return Err("no such day");
    }
    if hour > 23 || minute > 59 || second > 60 {
        return Err("no such time of day");
    }
    let minutes = days_since_1970(year, month, day) * 1_440 + hour * 60 + minute - offset;
    if second == 60 && minutes.rem_euclid(1_440) != 1_439 {
        return Err("no such time of day");
    }
    let us = (minutes * 60 + second) * 1_000_000 + micros;
    if (MIN_US..=MAX_US).contains(&us) { Ok(us) } else { Err("outside the years 0001 to 9999") }
}

struct Digits<'a> {
    rest: &'a [u8],
}

impl Digits<'_> {
    fn number(&mut self, digits: usize, else_say: &'static str) -> Result<i64, &'static str> {
        let (number, rest) = self.rest.split_at_checked(digits).ok_or(else_say)?;
        if !number.iter().all(u8::is_ascii_digit) {
            return Err(else_say);
        }
        self.rest = rest;
        Ok(number.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    }

    fn one_of(&mut self, wanted: &[u8], else_say: &'static str) -> Result<u8, &'static str> {
        match self.rest.split_first() {
            Some((byte, rest)) if wanted.contains(byte) => {
                self.rest = rest;
                Ok(*byte)
            }
            _ => Err(else_say),
        }
    }

    fn fraction(&mut self) -> Result<i64, &'static str> {
        if self.rest.first() != Some(&b'.') {
            return Ok(0);
        }
        let digits = self.rest.iter().skip(1).take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Err("no fraction after the point");
        }
        let micros = (1..=6).fold(0, |n, at| n * 10 + if at <= digits { i64::from(self.rest[at] - b'0') } else { 0 });
        self.rest = &self.rest[1 + digits..];
        Ok(micros)
    }

    /// Minutes east of Greenwich.
    fn offset(&mut self) -> Result<i64, &'static str> {
        let sign = match self.one_of(b"Zz+-", "no offset")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Ok(0),
        };
        let hours = self.number(2, "no offset")?;
        self.one_of(b":", "no offset")?;
        let minutes = self.number(2, "no offset")?;
        if hours > 23 || minutes > 59 { Err("no such offset") } else { Ok(sign * (hours * 60 + minutes)) }
    }
}

/// Days of a month in the Gregorian calendar.
pub(super) fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap day comes last.
pub(super) fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// Kafka's record time in microseconds. Kafka writes -1 for none; what no store could hold is none as well.
pub(super) fn record_time(ms: Option<i64>) -> Option<i64> {
    ms.filter(|ms| *ms >= 0).and_then(|ms| ms.checked_mul(1_000)).filter(|us| *us <= MAX_US)
}

/// Where an event time lies around the record time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Near enough, or there is no record time.
    Near,
    /// Too far ahead.
    Ahead,
    /// Too far behind.
    Behind,
}

/// Compares an event time with the record time; both limits themselves are near enough.
pub(super) fn place(event_us: i64, record_us: Option<i64>, limits: &Limits) -> Place {
    let Some(record_us) = record_us else { return Place::Near };
    // Both are within the years 0001 to 9999: no overflow.
    let ahead = event_us - record_us;
    if ahead > limits.max_ahead_ms.saturating_mul(1_000) {
        Place::Ahead
    } else if ahead.saturating_neg() > limits.max_age_ms.saturating_mul(1_000) {
        Place::Behind
    } else {
        Place::Near
    }
}

/// Days since 1970 of the row's `event_date`: the event's, else Kafka's, else 1970-01-01.
pub(super) fn event_date(event_us: Option<i64>, record_us: Option<i64>, limits: &Limits) -> i32 {
    let near = event_us.filter(|us| place(*us, record_us, limits) == Place::Near);
    let days = near.or(record_us).unwrap_or(0).div_euclid(DAY_US);
    // Within the years 0001 to 9999.
    i32::try_from(days).unwrap_or(0)
}

#[cfg(test)]
mod tests;
