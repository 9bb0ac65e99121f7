//! What bronze's log says about topics and offsets: the names of application ids, and the tags of files.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::delta_log::DeltaLog;

/// Application id that holds the next offset of a partition.
pub fn ingest_app(topic: &str, incarnation: i32, partition: i32) -> String {
    format!("ingest/{topic}#{incarnation}/{partition}")
}

/// Application id that holds the first offset that bronze ever took of a partition.
pub fn first_app(topic: &str, incarnation: i32, partition: i32) -> String {
    format!("first/{topic}#{incarnation}/{partition}")
}

/// Application id that holds the incarnation which a topic id was adopted as.
pub fn topic_app(topic: &str, topic_id: &str) -> String {
    format!("topic/{topic}#{topic_id}")
}

/// Application id of a silver table that holds the next offset of bronze which is not in it yet.
pub fn silver_app(topic: &str, incarnation: i32, partition: i32) -> String {
    format!("silver/{topic}#{incarnation}/{partition}")
}

/// The next offsets of all incarnations of a topic: (incarnation, partition) to next offset.
pub fn ingested(txns: &HashMap<String, i64>, topic: &str) -> Vec<((i32, i32), i64)> {
    next_offsets(txns, "ingest", topic).into_iter().collect()
}

/// What a table's transactions say of a topic: `ingest` and `first` (bronze), `silver` (silver), by incarnation and partition.
pub fn next_offsets(txns: &HashMap<String, i64>, kind: &str, topic: &str) -> BTreeMap<(i32, i32), i64> {
    let prefix = format!("{kind}/{topic}#");
    let parse = |app: &str| -> Option<(i32, i32)> {
        let (incarnation, partition) = app.strip_prefix(&prefix)?.split_once('/')?;
        Some((incarnation.parse().ok()?, partition.parse().ok()?))
    };
    txns.iter().filter_map(|(app, next)| Some((parse(app)?, *next))).collect()
}

/// A topic that the table was filled from, if it is another one.
pub fn other_topic(log: &DeltaLog, topic: &str) -> Option<String> {
    let topics = log.txns().keys().filter_map(|app| Some(app.strip_prefix("ingest/")?.rsplit_once('#')?.0));
    topics.filter(|other| *other != topic).min().map(str::to_owned)
}

/// The tag of a file that says which offsets its commit covered.
pub const SPANS_TAG: &str = "tributary.spans";

/// One span in a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaggedSpan {
    /// Kafka partition.
    pub partition: i32,
    /// First offset of the commit.
    pub from: i64,
    /// Next offset of the commit.
    pub to: i64,
    /// Rows of it in this file.
    pub rows: u64,
}

/// `0:100-150:47,3:7-90:83`; from the second incarnation on `0#2:…`.
pub fn format_spans(incarnation: i32, spans: &[TaggedSpan]) -> String {
    format_all(spans.iter().map(|span| (incarnation, *span)))
}

/// The same for spans of any incarnations.
pub fn format_all(spans: impl IntoIterator<Item = (i32, TaggedSpan)>) -> String {
    let mut tag = String::new();
    for (incarnation, s) in spans {
        if !tag.is_empty() {
            tag.push(',');
        }
        let _ = match incarnation {
            1 => write!(tag, "{}:{}-{}:{}", s.partition, s.from, s.to, s.rows),
            n => write!(tag, "{}#{n}:{}-{}:{}", s.partition, s.from, s.to, s.rows),
        };
    }
    tag
}

/// The spans of one incarnation in a tag; what does not parse is left out (somebody else wrote it).
pub fn parse_spans(tag: &str, incarnation: i32) -> Vec<TaggedSpan> {
    tag.split(',').filter_map(parse_span).filter(|(n, _)| *n == incarnation).map(|(_, span)| span).collect()
}

/// All spans in a tag with their incarnations; none when one of them does not parse.
pub fn parse_tag(tag: &str) -> Option<Vec<(i32, TaggedSpan)>> {
    tag.split(',').filter(|part| !part.is_empty()).map(parse_span).collect()
}

fn parse_span(part: &str) -> Option<(i32, TaggedSpan)> {
    let mut parts = part.split(':');
    let (place, range, rows) = (parts.next()?, parts.next()?, parts.next()?);
    let (partition, n) = place.split_once('#').unwrap_or((place, "1"));
    let (from, to) = range.split_once('-')?;
    let span = TaggedSpan {
        partition: partition.parse().ok()?,
        from: from.parse().ok()?,
        to: to.parse().ok()?,
        rows: rows.parse().ok()?,
    };
    Some((n.parse().ok()?, span))
}

/// What bronze knows of a topic's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// This topic id was adopted as this incarnation.
    As(i32),
    /// Nothing of this topic is in the table yet.
    Nothing,
    /// The table holds another topic of the same name, up to this incarnation.
    Another(i32),
}

/// Looks a topic up by name and id.
pub fn known(log: &DeltaLog, topic: &str, topic_id: &str) -> Known {
    if let Some(n) = log.txn(&topic_app(topic, topic_id)) {
        return Known::As(i32::try_from(n).unwrap_or(i32::MAX));
    }
    let prefix = topic_app(topic, "");
    let newest = log.txns().iter().filter(|(app, _)| app.starts_with(&prefix)).map(|(_, n)| *n).max();
    newest.map_or(Known::Nothing, |n| Known::Another(i32::try_from(n).unwrap_or(i32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_reads_back_as_it_was_written() {
        let spans =
            [TaggedSpan { partition: 0, from: 100, to: 150, rows: 47 }, TaggedSpan { partition: 3, from: 7, to: 90, rows: 83 }];
        assert_eq!(format_spans(1, &spans), "0:100-150:47,3:7-90:83");
        assert_eq!(format_spans(2, &spans[..1]), "0#2:100-150:47");
        for n in [1, 2] {
            assert_eq!(parse_spans(&format_spans(n, &spans), n), spans);
            assert_eq!(parse_spans(&format_spans(n, &spans), n + 1), []);
        }
        assert_eq!(parse_spans("nonsense,0:1-2,0:a-b:3", 1), []);
        assert_eq!(parse_tag("0:1-2:1,3#2:5-6:0").map(|spans| spans.len()), Some(2));
        assert_eq!(parse_tag("0:1-2:1,nonsense"), None);
    }
}
