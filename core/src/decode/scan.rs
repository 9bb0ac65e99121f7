//! The small steps of [`super::fast`]: where a text ends, what an integer is, the usual form of a timestamp.
//!
//! Each step reads the plain form and gives up (`None`) on any other; none decides that a record is bad.

use serde::Deserialize as _;
use serde_json::value::RawValue;

use super::MAX_DEPTH;
use super::reference::depth;
use super::time::{MAX_US, MIN_US, days_in, days_since_1970};

/// The first place from `at` on that is no blank.
#[inline]
pub(super) fn blank(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Every byte 1, and the top bit of every byte.
const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Where the quote is that ends a text which begins at `at`. `None` if an escape or a control character comes before it.
///
/// Eight bytes at a time: texts of events are too short for the setup of a vectorised search, which would look for the quote and the
/// escape only.
#[inline]
pub(super) fn text_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = bytes.get(at..)?;
        let Some(eight) = rest.first_chunk::<8>() else {
            let short = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..0x20))?;
            return if rest[short] == b'"' { Some(at + short) } else { None };
        };
        let word = u64::from_le_bytes(*eight);
        // The lowest marked byte is exact; those above it may be marked by a borrow.
        let quote = zero_bytes(word ^ (ONES * 0x22));
        let escape = zero_bytes(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word & TOPS;
        let stop = quote | escape | control;
        if stop != 0 {
            let lowest = stop.trailing_zeros();
            let is_quote = (word >> (lowest & !7)) & 0xff == 0x22;
            return if is_quote { Some(at + (lowest / 8) as usize) } else { None };
        }
        at += 8;
    }
}

#[inline]
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & TOPS
}

/// An integer of at most 18 digits at `at`, and where it ends. A fraction or an exponent is left for the caller to stumble over.
#[inline]
pub(super) fn integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = *bytes.get(at)? == b'-';
    let start = at + usize::from(negative);
    let mut n = 0_i64;
    let mut end = start;
    while let Some(digit) = bytes.get(end).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        if end - start == 18 {
            return None;
        }
        n = n * 10 + i64::from(digit);
        end += 1;
    }
    let leading_zero = bytes.get(start) == Some(&b'0') && end - start > 1;
    if end == start || leading_zero { None } else { Some((if negative { -n } else { n }, end)) }
}

/// Where the number at `at` ends, by the grammar of JSON.
pub(super) fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = |from: usize| {
        let n = bytes.get(from..)?.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 { None } else { Some(from + n) }
    };
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let mut end = digits(start)?;
    if bytes.get(start) == Some(&b'0') && end > start + 1 {
        return None;
    }
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        end = digits(end + 1 + sign)?;
    }
    Some(end)
}

/// Where any valid value at `at` ends that is not nested too deep. Lists, objects and texts with escapes are serde_json's work: it
/// skips them without recursion.
pub(super) fn value_end(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    match *bytes.get(at)? {
        b'"' => {
            if let Some(end) = text_end(bytes, at + 1) {
                return Some(end + 1);
            }
        }
        b'-' | b'0'..=b'9' => return number_end(bytes, at),
        _ => {}
    }
    let mut json = serde_json::Deserializer::from_str(text.get(at..)?);
    let value = <&RawValue>::deserialize(&mut json).ok()?.get();
    if value.starts_with(['[', '{']) && depth(value) >= MAX_DEPTH { None } else { Some(at + value.len()) }
}

/// Remembers the last day: events come by the thousand from the same one.
#[derive(Debug, Default)]
pub(super) struct Days {
    text: [u8; 10],
    minutes: i64,
}

impl Days {
    /// `YYYY-MM-DDThh:mm:ss`, a fraction or none, and `Z` or an offset.
    #[inline]
    pub(super) fn timestamp(&mut self, text: &[u8]) -> Option<i64> {
        let (head, tail) = text.split_first_chunk::<19>()?;
        let [y0, y1, y2, y3, d0, m0, m1, d1, t0, t1, t, h0, h1, c0, i0, i1, c1, s0, s1] = *head;
        if (t, c0, c1) != (b'T', b':', b':') {
            return None;
        }
        let day = [y0, y1, y2, y3, d0, m0, m1, d1, t0, t1];
        if day != self.text {
            self.minutes = days(&day)? * 1_440;
            self.text = day;
        }
        let (hour, minute, second) = (two(h0, h1)?, two(i0, i1)?, two(s0, s1)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (micros, tail) = fraction(tail)?;
        let offset = match *tail {
            [b'Z'] => 0,
            [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
                let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                if sign == b'+' { hours * 60 + minutes } else { -(hours * 60 + minutes) }
            }
            _ => return None,
        };
        let us = ((self.minutes + hour * 60 + minute - offset) * 60 + second) * 1_000_000 + micros;
        if (MIN_US..=MAX_US).contains(&us) { Some(us) } else { None }
    }
}

fn days(text: &[u8; 10]) -> Option<i64> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let (year, month, day) = (two(y0, y1)? * 100 + two(y2, y3)?, two(m0, m1)?, two(d0, d1)?);
    let exists = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    if exists { Some(days_since_1970(year, month, day)) } else { None }
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens < 10 && ones < 10 { Some(i64::from(tens) * 10 + i64::from(ones)) } else { None }
}

/// Microseconds of a fraction, if there is one, and what follows it.
#[inline]
fn fraction(tail: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = tail.split_first() else { return Some((0, tail)) };
    let mut micros = 0_i64;
    let mut length = 0;
    while let Some(digit) = digits.get(length).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        if length < 6 {
            micros = micros * 10 + i64::from(digit);
        }
        length += 1;
    }
    if length == 0 {
        return None;
    }
    let missing = 6_usize.saturating_sub(length);
    let scale = [1, 10, 100, 1_000, 10_000, 100_000].get(missing)?;
    Some((micros * scale, digits.get(length..)?))
}

#[cfg(test)]
mod tests;
