//! Makes records that are valid, nearly valid or nonsense, from a seed: events of a stream, changed in their structure, then in
//! their bytes.

use tributary_core::stream::{Field, Kind, Stream};

use crate::bronze::NOW_MS;

/// A small generator of its own (splitmix64), so that a seed means the same records for ever.
#[derive(Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}

/// Values that belong nowhere, and some that belong somewhere.
const VALUES: [&str; 62] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "-5",
    "-6",
    "17",
    "1.0",
    "1e3",
    "-1.5E-7",
    "1e999",
    "-1e999",
    "1e400",
    "0.1",
    "00",
    "01",
    "-",
    "+1",
    ".5",
    "5.",
    "1e",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "1000000000000000000",
    "999999999999999999",
    "18446744073709551615",
    "NaN",
    "Infinity",
    "nul",
    "nullx",
    "tru",
    "True",
    "[]",
    "{}",
    "[1,]",
    "[1,2,[3]]",
    "{\"a\":{\"b\":[null]}}",
    "{\"a\"}",
    "[[[[[[[[",
    "\"\"",
    "\"x\"",
    "\"login\"",
    "\"web\"",
    "\"paid\"",
    "\"EUR\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u00e9\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\t\"",
    "\"é😀\"",
    "\"\u{7f}\u{2028}\"",
    "\"p\\u0061id\"",
    "\"",
];

const TIMES: [&str; 32] = [
    "2026-11-23T07:00:00Z",
    "2026-11-23T07:10:00Z",
    "2026-11-23T07:10:00.000001Z",
    "2026-11-23t07:00:00z",
    "2026-11-23 07:00:00Z",
    "2026-11-23T07:00:00+00:00",
    "2026-11-23T07:00:00-00:00",
    "2026-11-23T12:45:00+05:45",
    "2026-11-23T07:00:00.1Z",
    "2026-11-23T07:00:00.123456789123456789Z",
    "2026-11-23T07:00:00.Z",
    "2026-11-23T07:00:00",
    "2026-11-23T07:00Z",
    "2026-11-23",
    "",
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+00:01",
    "0000-12-31T23:59:59Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-00:01",
    "2016-12-31T23:59:60Z",
    "2016-12-31T23:58:60Z",
    "2026-11-23T24:00:00Z",
    "2026-02-29T00:00:00Z",
    "2024-02-29T00:00:00Z",
    "2026-11-31T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-11-23T07:00:00+24:00",
    "2026-11-23T07:00:00+0100",
    "2026-11-22T07:00:00,5Z",
    "١٢٣٤-11-23T07:00:00Z",
];

const NAMES: [&str; 8] =
    ["\"session\"", "\"\"", "\"a\\u0062\"", "\"\\ud800\"", "\"é\"", "\"User_ID\"", "\"x\\\"y\"", "\"user_id\""];

/// What a byte is turned into when it is not any byte.
const BYTES: [u8; 24] = *b"{}[]\",:\\ \n\t\0\x7f0159eE+-.nu";

/// One record: what Kafka would give.
pub(crate) fn record(dice: &mut Dice, stream: &Stream) -> (Option<Vec<u8>>, Option<i64>) {
    let timestamp = match dice.below(40) {
        0 => None,
        1 => Some(-1),
        2 => Some(*dice.pick(&[&0, &i64::MAX, &i64::MIN, &253_402_300_799_999, &253_402_300_800_000])),
        3 => Some(dice.next() as i64 >> dice.below(40)),
        4 => Some(NOW_MS + dice.below(7_200_000) as i64 - 3_600_000),
        _ => Some(NOW_MS),
    };
    let payload = match dice.below(400) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(dice.pick(&VALUES).into()),
        3 => Some(nested(dice).into_bytes()),
        4 => Some((0..dice.below(300)).map(|_| dice.next() as u8).collect()),
        5 => Some(event(dice, stream).replacen(' ', &" ".repeat(dice.below(6_000)), 1).into_bytes()),
        n => {
            let mut bytes = event(dice, stream).into_bytes();
            // Half of all records keep their bytes: their structure may be wrong enough.
            if n % 2 == 0 {
                for _ in 0..1 + dice.below(3) {
                    change_bytes(dice, &mut bytes);
                }
            }
            Some(bytes)
        }
    };
    (payload, timestamp)
}

fn nested(dice: &mut Dice) -> String {
    let n = 100 + dice.below(60);
    let (open, close) = if dice.one_in(2) { ("[", "]") } else { ("{\"a\":", "}") };
    let value = if close == "}" { "1" } else { "" };
    let nested = format!("{}{value}{}", open.repeat(n), close.repeat(n));
    if dice.one_in(2) { nested } else { format!("{{\"x\":{nested}}}") }
}

/// An event of the stream, its members sometimes out of order, missing, repeated, foreign or of a wrong value.
fn event(dice: &mut Dice, stream: &Stream) -> String {
    let mut members: Vec<(String, String)> = Vec::new();
    for field in &stream.fields {
        if field.required || !dice.one_in(4) {
            let key = serde_json::to_string(&field.name).unwrap_or_default();
            members.push((key, value(dice, field)));
        }
    }
    if dice.one_in(3) {
        for _ in 0..1 + dice.below(2) {
            change_members(dice, &mut members);
        }
    }
    write(dice, &members)
}

/// A valid value of a field.
fn value(dice: &mut Dice, field: &Field) -> String {
    if !field.required && dice.one_in(5) {
        return "null".into();
    }
    match field.kind {
        Kind::Text if !field.allowed.is_empty() => format!("\"{}\"", field.allowed[dice.below(field.allowed.len())]),
        Kind::Text => match dice.below(8) {
            0 => format!("\"{}\"", "é/ö😀 ".repeat(dice.below(6))),
            1 => format!("\"{}\"", "x".repeat(505 + dice.below(16))),
            2 => "\"a\\/b\\u00e9\\n\"".into(),
            _ => format!("\"{:016x}\"", dice.next() >> dice.below(60)),
        },
        Kind::Integer => (dice.next() >> (2 + dice.below(61))).max(1).to_string(),
        Kind::Number => match dice.below(3) {
            0 => format!("{}", f64::from_bits(dice.next()).abs().clamp(1e-300, 1e300)),
            1 => format!("-{}.{}e-{}", dice.below(100), dice.below(100), dice.below(20)),
            _ => dice.below(1_000_000).to_string(),
        },
        Kind::Boolean => dice.pick(&["true", "false"]).into(),
        Kind::Timestamp => match dice.below(6) {
            0 => format!("\"{}\"", dice.pick(&TIMES)),
            n => {
                let fraction = &format!(".{:09}", dice.below(1_000_000_000))[..[0, 4, 7, 10, 2][n - 1]];
                let offset = dice.pick(&["Z", "+00:00", "+01:00", "-09:30"]);
                format!("\"2026-11-23T06:{:02}:{:02}{fraction}{offset}\"", dice.below(60), dice.below(60))
            }
        },
    }
}

fn change_members(dice: &mut Dice, members: &mut Vec<(String, String)>) {
    let (at, other) = (dice.below(members.len()), dice.below(members.len() + 1));
    if members.is_empty() {
        return;
    }
    match dice.below(10) {
        0 => drop(members.remove(at)),
        1 => members.insert(other, members[at].clone()),
        2 => members[at].1 = dice.pick(&VALUES).into(),
        3 => members[at].1 = format!("\"{}\"", dice.pick(&TIMES)),
        4 => members.insert(other, (dice.pick(&NAMES).into(), dice.pick(&VALUES).into())),
        5 => members.insert(other, (dice.pick(&NAMES).into(), nested(dice))),
        6 => {
            // One character of the key, written as an escape.
            let inside: Vec<char> = members[at].0.trim_matches('"').chars().collect();
            if let Some(c) = inside.get(other).filter(|c| **c <= '\u{ffff}' && !inside.contains(&'\\')) {
                let escaped = format!("\\u{:04X}", u32::from(*c));
                members[at].0 = members[at].0.replacen(*c, &escaped, 1);
            }
        }
        7 => members.rotate_left(at),
        8 => members.swap(at, other % at.max(1)),
        _ => {
            // Any of the valid values, in another place.
            let value = members[at].1.clone();
            let last = members.len() - 1;
            members[other.min(last)].1 = value;
        }
    }
}

fn write(dice: &mut Dice, members: &[(String, String)]) -> String {
    let (blank, comma, colon) =
        *dice.pick(&[&("", ",", ":"), &("", ",", ":"), &("", ", ", ": "), &("\n ", ",\r\n\t", " : "), &(" ", " ,", " :")]);
    let mut text = format!("{blank}{{{blank}");
    for (n, (key, value)) in members.iter().enumerate() {
        text += if n == 0 { "" } else { comma };
        text += key;
        text += colon;
        text += value;
    }
    text + blank + "}" + blank
}

fn change_bytes(dice: &mut Dice, bytes: &mut Vec<u8>) {
    let at = dice.below(bytes.len());
    let byte = if dice.one_in(3) { dice.next() as u8 } else { BYTES[dice.below(BYTES.len())] };
    if bytes.is_empty() {
        return bytes.push(byte);
    }
    let end = (at + 1 + dice.below(8)).min(bytes.len());
    match dice.below(9) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 | 2 => bytes[at] = byte,
        3 | 4 => bytes.insert(at, byte),
        5 => drop(bytes.drain(at..end)),
        6 => bytes.splice(at..at, bytes[at..end].to_vec()).for_each(drop),
        7 => bytes.truncate(at),
        _ => bytes.swap(at, end - 1),
    }
}
