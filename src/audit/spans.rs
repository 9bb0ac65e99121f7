//! What the tags claim: which offsets a file's commit covered, and how many of its rows are in this file.
//!
//! A tag is an aid, never the truth: foreign rewrites drop it, compaction merges it. So spans of files as they were committed must be
//! the same or apart; spans of rewritten files may overlap each other in any way, and there only the data decides.

use super::ranges::Ranges;

/// The tag's key.
pub(crate) const TAG: &str = "tributary.spans";
/// The tag of a file that a compaction made from others.
pub(crate) const MERGED_TAG: &str = "tributary.merged";

/// The key of the tag that names rows which a replay made valid.
pub(crate) const REPLAY_TAG: &str = "tributary.replay";

/// A partition of one incarnation of the topic: `(incarnation, partition)`.
pub(crate) type Place = (i32, i32);

/// One entry of a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TagSpan {
    /// Where.
    pub(crate) place: Place,
    /// First offset covered.
    pub(crate) from: i64,
    /// First offset not covered.
    pub(crate) to: i64,
    /// Rows of the span in this file.
    pub(crate) rows: u64,
}

/// Reads `0:100-150:47,3:7-90:83`; a partition of a later incarnation is written `3#2`. None when it is anything else.
pub(crate) fn parse(tag: &str) -> Option<Vec<TagSpan>> {
    tag.split(',').filter(|entry| !entry.is_empty()).map(entry).collect()
}

fn entry(text: &str) -> Option<TagSpan> {
    let mut parts = text.split(':');
    let (place, offsets, rows) = (parts.next()?, parts.next()?, parts.next()?);
    let (partition, incarnation) = place.split_once('#').unwrap_or((place, "1"));
    let (from, to) = offsets.split_once('-')?;
    let span = TagSpan {
        place: (incarnation.parse().ok()?, partition.parse().ok()?),
        from: from.parse().ok()?,
        to: to.parse().ok()?,
        rows: rows.parse().ok()?,
    };
    (parts.next().is_none() && span.from <= span.to).then_some(span)
}

/// Rows of a file that a replay made valid: its number, where, and offsets `[from, to)`.
pub(crate) type Replay = (i64, Place, (i64, i64));

/// Reads `7=0:100,105-112;7=3#2:9`, the tag [`REPLAY_TAG`]. None when it is anything else.
pub(crate) fn parse_replays(tag: &str) -> Option<Vec<Replay>> {
    let mut replays = Vec::new();
    for entry in tag.split(';').filter(|entry| !entry.is_empty()) {
        let (number, rest) = entry.split_once('=')?;
        let (place, ranges) = rest.split_once(':')?;
        let (partition, incarnation) = place.split_once('#').unwrap_or((place, "1"));
        let place = (incarnation.parse().ok()?, partition.parse().ok()?);
        for range in ranges.split(',') {
            let (from, to) = match range.split_once('-') {
                Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
                None => (range.parse().ok()?, range.parse::<i64>().ok()? + 1),
            };
            replays.push((number.parse().ok()?, place, (from, to)));
        }
    }
    Some(replays)
}

/// Reads `ingest/<topic>#<incarnation>/<partition>` when it is this topic's: the next offset.
pub(crate) fn ingest_app(app_id: &str, topic: &str) -> Option<Place> {
    place(of_topic(app_id, "ingest/", topic)?)
}

/// Reads `first/<topic>#<incarnation>/<partition>` when it is this topic's: the first offset that the table ever took.
pub(crate) fn first_app(app_id: &str, topic: &str) -> Option<Place> {
    place(of_topic(app_id, "first/", topic)?)
}

/// Reads `silver/<topic>#<incarnation>/<partition>` when it is this topic's: the next offset that silver is to take.
pub(crate) fn silver_app(app_id: &str, topic: &str) -> Option<Place> {
    place(of_topic(app_id, "silver/", topic)?)
}

fn place(text: &str) -> Option<Place> {
    let (incarnation, partition) = text.split_once('/')?;
    Some((incarnation.parse().ok()?, partition.parse().ok()?))
}

/// Reads `topic/<topic>#<topic id>` when it is this topic's.
pub(crate) fn topic_app<'a>(app_id: &'a str, topic: &str) -> Option<&'a str> {
    of_topic(app_id, "topic/", topic)
}

fn of_topic<'a>(app_id: &'a str, kind: &str, topic: &str) -> Option<&'a str> {
    app_id.strip_prefix(kind)?.strip_prefix(topic)?.strip_prefix('#')
}

/// Reads the range out of a lost row's error, `lost: [from, to)`, whatever follows.
pub(crate) fn lost_range(error: &str) -> Option<(i64, i64)> {
    let (range, _) = error.strip_prefix("lost:")?.trim_start().strip_prefix('[')?.split_once(')')?;
    let (from, to) = range.split_once(',')?;
    let range = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (range.0 < range.1).then_some(range)
}

/// All spans of one partition.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// Of files that are as they were committed, each span once.
    committed: Vec<(i64, i64)>,
    /// Everything that any tag covers.
    covered: Ranges,
}

impl Claims {
    /// Takes one entry; `committed` says that its file is known not to be a rewrite.
    pub(crate) fn add(&mut self, span: &TagSpan, committed: bool) {
        self.covered.add(span.from, span.to);
        if committed && span.from < span.to {
            self.committed.push((span.from, span.to));
        }
    }

    /// What the tags cover.
    pub(crate) fn covered(&self) -> &Ranges {
        &self.covered
    }

    /// Offsets that two different commits both claim.
    pub(crate) fn overlaps(&mut self) -> Ranges {
        self.committed.sort_unstable();
        self.committed.dedup();
        let mut overlaps = Ranges::default();
        let mut end = i64::MIN;
        for (from, to) in &self.committed {
            overlaps.add(*from, end.min(*to));
            end = end.max(*to);
        }
        overlaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(place: Place, from: i64, to: i64, rows: u64) -> TagSpan {
        TagSpan { place, from, to, rows }
    }

    #[test]
    fn a_tag_reads_back() {
        assert_eq!(parse("0:100-150:47,3#2:7-90:83").unwrap(), [span((1, 0), 100, 150, 47), span((2, 3), 7, 90, 83)]);
        assert_eq!(parse("0:5-5:0").unwrap(), [span((1, 0), 5, 5, 0)]);
        for broken in ["0:100-150", "0:150-100:3", "x:1-2:1", "0:1-2:1:9", "0:1:1", "0#x:1-2:1", "0:1-2:-1"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_replays_tag_reads_back() {
        let read = parse_replays("7=0:100,105-112;8=3#2:9").unwrap();
        assert_eq!(read, [(7, (1, 0), (100, 101)), (7, (1, 0), (105, 112)), (8, (2, 3), (9, 10))]);
        assert_eq!(parse_replays("7=0:x"), None);
    }

    #[test]
    fn app_ids_belong_to_their_topic_only() {
        assert_eq!(ingest_app("ingest/user-events#2/11", "user-events"), Some((2, 11)));
        assert_eq!(ingest_app("ingest/user-events-b#2/11", "user-events"), None);
        assert_eq!(ingest_app("silver/user-events#2/11", "user-events"), None);
        assert_eq!(topic_app("topic/user-events#AAbb", "user-events"), Some("AAbb"));
    }

    #[test]
    fn the_range_of_a_lost_row_is_in_its_error() {
        assert_eq!(lost_range("lost: [10, 20)"), Some((10, 20)));
        assert_eq!(lost_range("lost: [10, 20) by hand"), Some((10, 20)));
        assert_eq!(lost_range("lost: [20, 10)"), None);
        assert_eq!(lost_range("lost"), None);
    }

    #[test]
    fn commits_may_not_share_offsets_but_rewrites_may() {
        let mut claims = Claims::default();
        for (from, to, committed) in [(0, 50, true), (0, 50, true), (40, 100, true), (0, 100, false), (100, 130, true)] {
            claims.add(&span((1, 0), from, to, 1), committed);
        }
        assert_eq!(claims.overlaps().to_string(), "[40, 50)");
        assert_eq!(claims.covered().to_string(), "[0, 130)");
    }
}
