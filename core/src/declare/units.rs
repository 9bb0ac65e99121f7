//! `"1 MiB"` and `"10 min"`: sizes and durations as people write them.
//!
//! Promises whole bytes and whole milliseconds, or `None`; nothing overflows.

/// What may be written for a size.
pub(crate) const SIZES: &str = "a number and B, KiB, MiB or GiB, for example \"1 MiB\"";
/// What may be written for a duration.
pub(crate) const DURATIONS: &str = "a number and ms, s, min, h or days, for example \"10 min\"";

/// Bytes.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (n, unit) = split(text)?;
    let factor = match unit {
        "B" | "byte" | "bytes" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    n.checked_mul(factor)
}

/// Milliseconds.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let (n, unit) = split(text)?;
    let factor: u64 = match unit {
        "ms" => 1,
        "s" | "second" | "seconds" => 1_000,
        "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    i64::try_from(n.checked_mul(factor)?).ok()
}

/// As [`millis`] reads it, in the largest unit that leaves no fraction.
pub(crate) fn show_millis(ms: u128) -> String {
    let units = [(86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let (factor, unit) = units.into_iter().find(|(factor, _)| ms > 0 && ms.is_multiple_of(*factor)).unwrap_or((1, "ms"));
    format!("{} {unit}", ms / factor)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_people_write_them() {
        assert_eq!(bytes("1 MiB"), Some(1 << 20));
        assert_eq!(bytes(" 64KiB "), Some(1 << 16));
        assert_eq!(millis("10 min"), Some(600_000));
        assert_eq!(millis("1min"), Some(60_000));
        assert_eq!(millis("400 days"), Some(400 * 86_400_000));
        assert_eq!(millis("250 ms"), Some(250));
        for text in ["250 ms", "90 s", "5 min", "1 h", "30 days", "0 ms"] {
            assert_eq!(show_millis(u128::try_from(millis(text).unwrap()).unwrap()), text);
        }
    }

    #[test]
    fn what_is_not_a_size_or_a_duration_is_refused() {
        for text in ["", "1", "MiB", "1.5 MiB", "-1 MiB", "1 MB", "99999999999999999999 B", "17179869184 GiB", "1 MiB x"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        for text in ["", "1", "min", "1 fortnight", "-1 s", "9223372036854775807 days"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
