//! The tags of a file that stands for several: their spans, contiguous ones as one, rows summed.
//!
//! A tag says which offsets its file's commits covered. A day that gets a few late rows now and then has spans with gaps between them;
//! so that a tag does not grow with every such row, beyond some number the smallest gaps are covered, too. That claims offsets which
//! other files have the rows of, never rows.

use std::collections::BTreeMap;

use super::super::offsets::{SPANS_TAG, TaggedSpan, format_spans, parse_tag};
use tributary_core::replay::{REPLAY_TAG, merge_tags};
use tributary_core::table::TableFile;

/// Spans of one partition in a tag, at most.
const MOST_SPANS: usize = 64;

/// The tag that says how many files a file was made from: what it covers may overlap what other files do.
pub const MERGED_TAG: &str = "tributary.merged";

/// The tags of the file that these become; none when one of them has no spans, or what cannot be read.
pub(super) fn merged(files: &[TableFile]) -> Option<BTreeMap<String, String>> {
    let mut places: BTreeMap<(i32, i32), Vec<TaggedSpan>> = BTreeMap::new();
    for file in files {
        for (incarnation, span) in parse_tag(file.tags.get(SPANS_TAG)?)? {
            places.entry((incarnation, span.partition)).or_default().push(span);
        }
    }
    let tags = places.into_iter().map(|((incarnation, _), spans)| format_spans(incarnation, &joined(spans)));
    let spans = tags.collect::<Vec<_>>().join(",");
    let mut tags = BTreeMap::from([(SPANS_TAG.to_owned(), spans), (MERGED_TAG.to_owned(), files.len().to_string())]);
    // Which rows became valid afterwards must be known for ever.
    let replayed = files.iter().filter_map(|file| file.tags.get(REPLAY_TAG)).map(String::as_str);
    if let Some(replayed) = merge_tags(replayed).ok()? {
        tags.insert(REPLAY_TAG.to_owned(), replayed);
    }
    Some(tags)
}

fn joined(mut spans: Vec<TaggedSpan>) -> Vec<TaggedSpan> {
    spans.sort_unstable_by_key(|s| (s.from, s.to));
    let mut joined: Vec<TaggedSpan> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if span.from <= last.to => {
                last.to = last.to.max(span.to);
                last.rows += span.rows;
            }
            _ => joined.push(span),
        }
    }
    if joined.len() > MOST_SPANS {
        let mut gaps: Vec<i64> = joined.windows(2).map(|pair| pair[1].from - pair[0].to).collect();
        let covered = gaps.len() + 1 - MOST_SPANS;
        let (_, widest, _) = gaps.select_nth_unstable(covered - 1);
        let widest = *widest;
        let mut bridged: Vec<TaggedSpan> = Vec::new();
        for span in joined {
            match bridged.last_mut() {
                Some(last) if span.from - last.to <= widest => {
                    last.to = span.to;
                    last.rows += span.rows;
                }
                _ => bridged.push(span),
            }
        }
        return bridged;
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(tags: &[&str]) -> Vec<TableFile> {
        let file = |tag: &&str| TableFile {
            path: String::new(),
            size: 0,
            rows: None,
            date: None,
            stats: None,
            tags: [(SPANS_TAG.to_owned(), (*tag).to_owned())].into(),
            modified_ms: 0,
        };
        tags.iter().map(file).collect()
    }

    #[test]
    fn what_was_replayed_stays_known() {
        let mut files = tagged(&["0:0-10:5", "0:10-20:5"]);
        assert!(merged(&files).is_some_and(|tags| !tags.contains_key(REPLAY_TAG)));
        files[1].tags.insert(REPLAY_TAG.to_owned(), "3=0:12".to_owned());
        files[0].tags.insert(REPLAY_TAG.to_owned(), "3=0:4".to_owned());
        assert_eq!(merged(&files).map(|tags| tags[REPLAY_TAG].clone()).as_deref(), Some("3=0:4,12"));
        files[0].tags.insert(REPLAY_TAG.to_owned(), "what".to_owned());
        assert_eq!(merged(&files), None, "what cannot be read cannot be merged");
    }

    fn spans(tags: &[&str]) -> Option<String> {
        merged(&tagged(tags)).map(|tags| tags[SPANS_TAG].clone())
    }

    #[test]
    fn contiguous_spans_become_one_and_rows_are_summed() {
        assert_eq!(spans(&["0:20-30:4", "0:0-10:7,3:0-5:5", "0:10-20:10"]).unwrap(), "0:0-30:21,3:0-5:5");
        assert_eq!(spans(&["0:0-10:1", "0:20-30:1"]).unwrap(), "0:0-10:1,0:20-30:1", "a gap stays");
        assert_eq!(spans(&["0:0-10:1", "0:0-10:2"]).unwrap(), "0:0-10:3", "one commit, two files");
        assert_eq!(spans(&["0:0-10:1", "0#2:10-20:2"]).unwrap(), "0:0-10:1,0#2:10-20:2", "another topic of that name");
        assert_eq!(merged(&tagged(&["0:0-10:1", "0:10-20:1", "0:20-30:1"])).unwrap()[MERGED_TAG], "3");
    }

    #[test]
    fn what_cannot_be_read_is_not_merged() {
        assert_eq!(spans(&["0:0-10:1", "what"]), None);
        let mut files = tagged(&["0:0-10:1", "0:10-20:1"]);
        files[1].tags.clear();
        assert_eq!(merged(&files), None);
    }

    #[test]
    fn a_tag_is_short_however_scattered_its_rows_are() {
        let tags: Vec<String> = (0..5_000_i64).map(|n| format!("0:{}-{}:1", n * 100 + n % 7, n * 100 + 50)).collect();
        let tag = spans(&tags.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let found = parse_tag(&tag).unwrap();
        assert!(found.len() <= MOST_SPANS && tag.len() < 2_000, "{}", tag.len());
        assert_eq!(found.iter().map(|(_, s)| s.rows).sum::<u64>(), 5_000);
        assert_eq!((found[0].1.from, found[found.len() - 1].1.to), (0, 4_999 * 100 + 50));
        assert!(found.windows(2).all(|pair| pair[0].1.to < pair[1].1.from));
    }
}
