//! How a person writes a value, and how we write it back: `500 ms`, `24 MiB`, `6`.
//!
//! Each kind of value is a type without values; [`Kind`] turns text into what a settings field holds and back. Promises that
//! `parse(show(v)) == v`, and that an error says what to write instead.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{LogFormat, Role};

/// A way to write values of type `T`.
pub trait Kind<T> {
    /// Reads what a person wrote; the error says what to write instead.
    fn parse(text: &str) -> Result<T, String>;
    /// Writes it as [`Kind::parse`] reads it; none: not set.
    fn show(value: &T) -> Option<String>;
}

/// Any text.
pub struct Text;
/// A length of time with its unit.
pub struct Time;
/// A size, in bytes unless it has a unit.
pub struct Bytes;
/// A whole number.
pub struct Count;
/// A number that is not negative.
pub struct Number;
/// `bronze,serving,…`.
pub struct Roles;
/// `pretty` or `json`.
pub struct Format;
/// `true` or `false`.
pub struct Switch;

impl Kind<bool> for Switch {
    fn parse(text: &str) -> Result<bool, String> {
        match text {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("`{text}` is neither \"true\" nor \"false\"")),
        }
    }
    fn show(value: &bool) -> Option<String> {
        Some(value.to_string())
    }
}

impl Kind<String> for Text {
    fn parse(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }
    fn show(value: &String) -> Option<String> {
        Some(value.clone())
    }
}

impl Kind<Option<String>> for Text {
    fn parse(text: &str) -> Result<Option<String>, String> {
        Ok(Some(text.to_owned()))
    }
    fn show(value: &Option<String>) -> Option<String> {
        value.clone()
    }
}

const TIMES: [(&str, u64); 6] = [("ms", 1), ("s", 1000), ("m", 60_000), ("min", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];

impl Kind<Duration> for Time {
    fn parse(text: &str) -> Result<Duration, String> {
        let wrong = |why: &str| format!("`{text}` {why}; write a time with its unit, like \"500 ms\", \"1s\", \"24h\"");
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Duration::ZERO);
        }
        let mut millis = 0f64;
        if rest.is_empty() {
            return Err(wrong("is empty"));
        }
        while !rest.is_empty() {
            let (number, after) = leading_number(rest).ok_or_else(|| wrong("is not a time"))?;
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let unit = &after[..end];
            let factor = match TIMES.iter().find(|(name, _)| *name == unit) {
                Some((_, factor)) => *factor,
                None if unit.is_empty() => return Err(wrong("has no unit")),
                None => return Err(wrong("has an unknown unit")),
            };
            millis += number * factor as f64;
            rest = after[end..].trim_start();
        }
        // A century and a bit: beyond it the sum of two settings could leave what a clock can hold.
        if millis > 4e12 {
            return Err(wrong("is too long"));
        }
        Ok(Duration::from_millis(millis.round() as u64))
    }

    fn show(value: &Duration) -> Option<String> {
        let millis = value.as_millis() as u64;
        let (unit, factor) =
            TIMES.iter().rev().filter(|(name, _)| *name != "min").find(|(_, factor)| millis.is_multiple_of(*factor))?;
        if millis == 0 {
            return Some("0".into());
        }
        Some(format!("{}{unit}", millis / factor))
    }
}

/// `24.5 MiB` → (24.5, "MiB").
fn leading_number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let number = text[..end].replace('_', "").parse().ok()?;
    Some((number, text[end..].trim_start()))
}

const SIZES: [(&str, u64); 10] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1000),
    ("KB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];

fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write it like \"24 MiB\", \"1 GB\" or a number of bytes");
    let (number, unit) = leading_number(text.trim()).ok_or_else(wrong)?;
    let factor = if unit.is_empty() { 1 } else { SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1 };
    let bytes = number * factor as f64;
    if bytes > (1u64 << 53) as f64 { Err(wrong()) } else { Ok(bytes.round() as u64) }
}

fn show_size(bytes: u64) -> Option<String> {
    let (unit, factor) =
        SIZES[1..5].iter().rev().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)).unwrap_or(&SIZES[0]);
    Some(format!("{} {unit}", bytes / factor))
}

impl Kind<u64> for Bytes {
    fn parse(text: &str) -> Result<u64, String> {
        parse_size(text)
    }
    fn show(value: &u64) -> Option<String> {
        show_size(*value)
    }
}

impl Kind<usize> for Bytes {
    fn parse(text: &str) -> Result<usize, String> {
        parse_size(text)?.try_into().map_err(|_| format!("`{text}` is more than this machine can address"))
    }
    fn show(value: &usize) -> Option<String> {
        show_size(*value as u64)
    }
}

macro_rules! whole_numbers {
    ($($integer:ty),*) => {$(
        impl Kind<$integer> for Count {
            fn parse(text: &str) -> Result<$integer, String> {
                text.trim().replace('_', "").parse().map_err(|_| {
                    format!("`{text}` is not a whole number from 0 to {}; write digits, like \"6\"", <$integer>::MAX)
                })
            }
            fn show(value: &$integer) -> Option<String> {
                Some(value.to_string())
            }
        }
    )*};
}
whole_numbers!(u16, u32, i32, u64, usize);

impl Kind<f64> for Number {
    fn parse(text: &str) -> Result<f64, String> {
        match text.trim().replace('_', "").parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
            _ => Err(format!("`{text}` is not a number; write it in digits, like \"5\" or \"0.5\"")),
        }
    }
    fn show(value: &f64) -> Option<String> {
        Some(value.to_string())
    }
}

impl Kind<BTreeSet<Role>> for Roles {
    fn parse(text: &str) -> Result<BTreeSet<Role>, String> {
        let names = || Role::ALL.map(Role::name).join(",");
        let roles = text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .map(|word| {
                let found = Role::ALL.into_iter().find(|role| role.name() == word);
                found.ok_or_else(|| format!("`{word}` is not a role; write some of {}", names()))
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        if roles.is_empty() { Err(format!("no role is named; write some of {}", names())) } else { Ok(roles) }
    }
    fn show(value: &BTreeSet<Role>) -> Option<String> {
        let names: Vec<_> = value.iter().map(|role| role.name()).collect();
        Some(names.join(","))
    }
}

impl Kind<LogFormat> for Format {
    fn parse(text: &str) -> Result<LogFormat, String> {
        match text {
            "pretty" => Ok(LogFormat::Pretty),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("`{text}` is not a form of log; write \"pretty\" or \"json\"")),
        }
    }
    fn show(value: &LogFormat) -> Option<String> {
        Some(if *value == LogFormat::Json { "json" } else { "pretty" }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them_and_written_back() {
        for (text, millis, shown) in [
            ("1s", 1000, "1s"),
            ("500 ms", 500, "500ms"),
            ("24h", 86_400_000, "1d"),
            ("1h30m", 5_400_000, "90m"),
            ("1.5 s", 1500, "1500ms"),
            ("0", 0, "0"),
            ("10 min", 600_000, "10m"),
        ] {
            let value = <Time as Kind<Duration>>::parse(text).unwrap();
            assert_eq!(value.as_millis(), millis, "{text}");
            assert_eq!(<Time as Kind<Duration>>::show(&value).unwrap(), shown);
        }
    }

    #[test]
    fn a_time_without_a_unit_is_refused_with_what_to_write() {
        let error = <Time as Kind<Duration>>::parse("5").unwrap_err();
        assert!(error.contains("has no unit") && error.contains("\"1s\""), "{error}");
        assert!(<Time as Kind<Duration>>::parse("5 fortnights").is_err());
        assert!(<Time as Kind<Duration>>::parse("-5s").is_err());
        assert!(<Time as Kind<Duration>>::parse("").is_err());
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes, shown) in [
            ("24 MiB", 24 << 20, "24 MiB"),
            ("1GB", 1_000_000_000, "1000000000 B"),
            ("512", 512, "512 B"),
            ("1.5KiB", 1536, "1536 B"),
        ] {
            let value = <Bytes as Kind<u64>>::parse(text).unwrap();
            assert_eq!(value, bytes, "{text}");
            assert_eq!(<Bytes as Kind<u64>>::show(&value).unwrap(), shown);
        }
        assert!(<Bytes as Kind<u64>>::parse("24 Mib").is_err());
        assert!(<Bytes as Kind<u64>>::parse("lots").is_err());
    }

    #[test]
    fn an_unknown_role_is_answered_with_those_that_exist() {
        let error = Roles::parse("bronze,srving").unwrap_err();
        assert!(error.contains("`srving`") && error.contains("generator,bronze,serving,batch,console"), "{error}");
    }
}
