//! Records that are not valid, as people see them: how many of which kind, and what was in them.

use std::sync::Arc;

use anyhow::Result;
use chrono::{DateTime, SecondsFormat};
use schemars::JsonSchema;
use serde::Serialize;
use tributary_actors::lake;
use tributary_actors::repair::Stores;
use tributary_actors::repair::letters::{self, Shown, Which};
use tributary_core::batch::Status;
use tributary_core::settings::Settings;
use tributary_core::stream::Stream;

/// Records with the same fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Counted {
    /// Of which stream.
    pub(crate) stream: String,
    /// What became of them.
    pub(crate) status: String,
    /// Why: the first word of column `error`.
    pub(crate) reason: String,
    /// How many.
    pub(crate) records: u64,
    /// Kafka's time of the oldest.
    pub(crate) oldest: Option<String>,
    /// The newest.
    pub(crate) newest: Letter,
}

/// A record that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Letter {
    /// Of which stream.
    pub(crate) stream: String,
    /// Where it was.
    pub(crate) partition: i32,
    /// Where it was.
    pub(crate) offset: i64,
    /// Which topic of that name, from 1.
    pub(crate) incarnation: i32,
    /// Kafka's time of it.
    pub(crate) at: Option<String>,
    /// What became of it.
    pub(crate) status: String,
    /// Why: `reason: detail`.
    pub(crate) error: Option<String>,
    /// As it came; null: bronze has none, or it is no text.
    pub(crate) payload: Option<String>,
    /// As it came, where it is no text.
    pub(crate) payload_hex: Option<String>,
    #[serde(skip)]
    raw: Option<Vec<u8>>,
}

impl Letter {
    fn new(stream: &str, shown: &Shown) -> Self {
        let payload = shown.raw.as_deref().map(std::str::from_utf8);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self {
            stream: stream.to_owned(),
            partition: shown.partition,
            offset: shown.offset,
            incarnation: shown.incarnation,
            at: shown.at_us.map(|us| time(Some(us))),
            status: shown.status.clone(),
            error: shown.error.clone(),
            payload: payload.and_then(Result::ok).map(str::to_owned),
            payload_hex: shown.raw.as_deref().filter(|_| payload.is_some_and(|p| p.is_err())).map(hex),
            raw: shown.raw.clone(),
        }
    }

    /// What was in it, for eyes: whatever a producer sent must not move a terminal's cursor. None: bronze has none.
    pub(crate) fn text(&self) -> Option<String> {
        self.raw.as_deref().map(|raw| printable(&String::from_utf8_lossy(raw)))
    }
}

/// Without control characters: a mark is in the place of each.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The same, and not longer than so many characters.
pub(crate) fn clip(text: &str, most: usize) -> String {
    let text = printable(text);
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A moment in microseconds since 1970 as it is shown; a dash for none.
pub(crate) fn time(micros: Option<i64>) -> String {
    micros.and_then(DateTime::from_timestamp_micros).map_or("-".to_owned(), |t| t.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

/// Statuses of such records.
pub(crate) fn statuses() -> impl Iterator<Item = &'static str> {
    Status::ALL.iter().map(|status| status.as_str()).filter(|status| *status != Status::Ok.as_str())
}

/// The stores of these streams. PostgreSQL is left alone, and may be unknown.
pub(crate) fn stores(settings: &Settings, streams: impl IntoIterator<Item = Arc<Stream>>) -> Result<Vec<Stores>> {
    let url = lake::lake_url(&settings.lake.url)?;
    let stores = streams.into_iter().map(|stream| {
        Ok(Stores {
            table: lake::bronze(&url, &stream.name, settings.lake.options.clone())?,
            stream,
            database_url: settings.serving.database_url.clone().unwrap_or_default(),
        })
    });
    stores.collect()
}

/// How many there are, by stream, status and reason.
pub(crate) async fn counts(stores: &[Stores], which: &Which) -> Result<Vec<Counted>> {
    let mut all = Vec::new();
    for at in stores {
        for ((status, reason), count) in letters::count(&at.table, which).await? {
            all.push(Counted {
                stream: at.stream.name.clone(),
                status,
                reason,
                records: count.records,
                oldest: count.oldest_us.map(|us| time(Some(us))),
                newest: Letter::new(&at.stream.name, &count.sample),
            });
        }
    }
    Ok(all)
}

/// The newest of each stream, at most so many.
pub(crate) async fn samples(stores: &[Stores], which: &Which, most: usize) -> Result<Vec<Letter>> {
    let mut all = Vec::new();
    for at in stores {
        all.extend(letters::newest(&at.table, which, most).await?.iter().map(|shown| Letter::new(&at.stream.name, shown)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(raw: Option<&[u8]>) -> Letter {
        let raw = raw.map(<[u8]>::to_vec);
        let shown =
            Shown { incarnation: 1, partition: 2, offset: 3, at_us: Some(0), status: "malformed".into(), error: None, raw };
        Letter::new("orders", &shown)
    }

    #[test]
    fn what_is_no_text_is_there_in_hex_and_control_characters_are_marks() {
        let bytes = letter(Some(&[0xff, 0x1b]));
        assert_eq!((bytes.payload.as_deref(), bytes.payload_hex.as_deref()), (None, Some("ff1b")));
        assert_eq!(bytes.text().unwrap(), "\u{fffd}\u{fffd}");
        let text = letter(Some(b"a\x1b[2Jb\tc"));
        assert_eq!((text.payload.as_deref(), text.payload_hex.as_deref()), (Some("a\x1b[2Jb\tc"), None));
        assert_eq!(text.text().unwrap(), "a\u{fffd}[2Jb\tc");
        assert_eq!(letter(None).text(), None);
    }

    #[test]
    fn a_moment_is_shown_as_a_program_reads_it() {
        assert_eq!([time(Some(1_767_607_620_000_000)), time(None)], ["2026-01-05T10:07:00Z", "-"]);
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(clip("äöü", 3), "äöü");
        assert_eq!(clip("äöü", 2), "äö…");
    }

    #[test]
    fn a_letter_has_every_name_even_where_it_is_empty() {
        let json = serde_json::to_value(letter(None)).unwrap();
        assert!(json["payload"].is_null() && json["at"] == "1970-01-01T00:00:00Z" && json.get("raw").is_none(), "{json}");
        assert_eq!(json.as_object().unwrap().len(), 9);
    }
}
