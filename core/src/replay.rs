//! Records that became valid afterwards: which rows a replay has turned into events, and who has taken them over.
//!
//! A replay rewrites rows of bronze whose record is valid under today's declaration. Windows and silver had passed these rows when they
//! were not valid, so they must take exactly these rows, once, beside their usual way by offsets. Each replay has a number (0, 1, 2 …);
//! the rewritten file's tag [`REPLAY_TAG`] says which of its rows are of which replay. Assumes tags that survive every rewrite of a
//! file of ours. Promises to notice when one did not.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::table::TableFile;

/// The tag of a file that says which of its rows were made valid by which replay.
pub const REPLAY_TAG: &str = "tributary.replay";

/// Application id in bronze's log that holds the number of the next replay.
pub fn replay_app(topic: &str) -> String {
    format!("replay/{topic}")
}

/// Application id in silver's log that holds the number of the first replay that silver has not taken.
pub fn silver_replay_app(topic: &str) -> String {
    format!("silver-replay/{topic}")
}

/// A partition of one incarnation of the topic: `(incarnation, partition)`.
pub type Place = (i32, i32);

/// A set of offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(Vec<(i64, i64)>);

impl Offsets {
    /// Adds an offset; one that is in already stays in once.
    pub fn insert(&mut self, offset: i64) {
        self.insert_range(offset, offset.saturating_add(1));
    }

    /// Adds `[from, to)`.
    pub fn insert_range(&mut self, from: i64, to: i64) {
        if from >= to {
            return;
        }
        // Ranges that end before `from` stay on the left, those that begin after `to` on the right; what is between is swallowed.
        let left = self.0.partition_point(|r| r.1 < from);
        let right = self.0.partition_point(|r| r.0 <= to);
        let swallowed = self.0.get(left..right).unwrap_or_default();
        let from = swallowed.first().map_or(from, |r| r.0.min(from));
        let to = swallowed.last().map_or(to, |r| r.1.max(to));
        self.0.splice(left..right, [(from, to)]);
    }

    /// Whether an offset is in.
    pub fn has(&self, offset: i64) -> bool {
        let at = self.0.partition_point(|r| r.1 <= offset);
        self.0.get(at).is_some_and(|r| r.0 <= offset)
    }

    /// How many offsets.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(from, to)| from.abs_diff(*to)).sum()
    }

    /// Unbroken ranges `[from, to)`, in order.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }

    /// The offsets, in order.
    pub fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        self.0.iter().flat_map(|(from, to)| *from..*to)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<i64> for Offsets {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Self {
        let mut set = Self::default();
        offsets.into_iter().for_each(|offset| set.insert(offset));
        set
    }
}

/// Rows of one file, by the number of their replay and by their place.
pub type Revived = BTreeMap<(i64, Place), Offsets>;

/// `7=0:100,105-112;7=3#2:9`: of replay 7 the offsets 100 and [105, 112) of partition 0, and 9 of partition 3 of incarnation 2.
pub fn format_tag(revived: &Revived) -> String {
    let mut tag = String::new();
    for ((number, (incarnation, partition)), offsets) in revived {
        if !tag.is_empty() {
            tag.push(';');
        }
        let _ = match incarnation {
            1 => write!(tag, "{number}={partition}:"),
            n => write!(tag, "{number}={partition}#{n}:"),
        };
        for (n, (from, to)) in offsets.ranges().enumerate() {
            if n > 0 {
                tag.push(',');
            }
            let _ = match to - from {
                1 => write!(tag, "{from}"),
                _ => write!(tag, "{from}-{to}"),
            };
        }
    }
    tag
}

/// Reads what [`format_tag`] writes, also several of them joined by `;`. None when it is anything else.
pub fn parse_tag(tag: &str) -> Option<Revived> {
    let mut revived = Revived::new();
    for entry in tag.split(';').filter(|entry| !entry.is_empty()) {
        let (number, rest) = entry.split_once('=')?;
        let (place, ranges) = rest.split_once(':')?;
        let (partition, incarnation) = place.split_once('#').unwrap_or((place, "1"));
        let place = (incarnation.parse().ok()?, partition.parse().ok()?);
        let offsets = revived.entry((number.parse().ok()?, place)).or_default();
        for range in ranges.split(',') {
            let (from, to) = match range.split_once('-') {
                Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
                None => (range.parse().ok()?, range.parse::<i64>().ok()?.checked_add(1)?),
            };
            if from >= to {
                return None;
            }
            offsets.insert_range(from, to);
        }
    }
    Some(revived)
}

/// The tag of a file that takes the rows of several: what the merged file must carry. None when no row of them was ever replayed.
///
/// # Errors
/// The tag that cannot be read: such a file must not be merged.
pub fn merge_tags<'a>(tags: impl IntoIterator<Item = &'a str>) -> Result<Option<String>, String> {
    let mut all = Revived::new();
    for tag in tags {
        for (key, offsets) in parse_tag(tag).ok_or_else(|| tag.to_owned())? {
            let held = all.entry(key).or_default();
            offsets.ranges().for_each(|(from, to)| held.insert_range(from, to));
        }
    }
    Ok((!all.is_empty()).then(|| format_tag(&all)))
}

/// Rows of one file that somebody has yet to take over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    /// Path of the file, relative to the table's root.
    pub path: String,
    /// Its day.
    pub date: Option<i32>,
    /// Where its untaken rows are.
    pub rows: BTreeMap<Place, Offsets>,
}

/// A replay whose rows cannot be found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untraceable {
    /// No file says which rows it was.
    #[error("no file of bronze says any more which rows replay {0} made valid: another program has rewritten the table")]
    Forgotten(i64),
    /// A tag of ours that is not one.
    #[error("the tag {REPLAY_TAG} of {path} cannot be read: {tag}")]
    Unreadable {
        /// File.
        path: String,
        /// Its tag.
        tag: String,
    },
}

/// The rows of the replays `[from, until)`, file by file, where `files` are bronze's live files, `until` is what the same version of its
/// log says for [`replay_app`] (0 when it says nothing) and `from` is what the reader has stored (0 when it has nothing).
///
/// A reader that goes by offsets takes, in one commit with the move of its own number to `until`, those of these rows whose offset is below
/// its own next offset before the run: the others come to it, valid, by their offsets.
///
/// # Errors
/// See [`Untraceable`].
pub fn untaken(files: &[TableFile], from: i64, until: i64) -> Result<Vec<Untaken>, Untraceable> {
    let mut found = Vec::new();
    if from >= until {
        return Ok(found);
    }
    let mut numbers: Vec<i64> = Vec::new();
    for file in files {
        let Some(tag) = file.tags.get(REPLAY_TAG) else { continue };
        let revived = parse_tag(tag).ok_or_else(|| Untraceable::Unreadable { path: file.path.clone(), tag: tag.clone() })?;
        let mut rows: BTreeMap<Place, Offsets> = BTreeMap::new();
        for ((number, place), offsets) in revived.range((from, (i32::MIN, i32::MIN))..(until, (i32::MIN, i32::MIN))) {
            numbers.push(*number);
            let held = rows.entry(*place).or_default();
            offsets.ranges().for_each(|(from, to)| held.insert_range(from, to));
        }
        if !rows.is_empty() {
            found.push(Untaken { path: file.path.clone(), date: file.date, rows });
        }
    }
    numbers.sort_unstable();
    numbers.dedup();
    match (from..until).find(|number| numbers.binary_search(number).is_err()) {
        Some(forgotten) => Err(Untraceable::Forgotten(forgotten)),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, tag: &str) -> TableFile {
        let tags = [(REPLAY_TAG.to_owned(), tag.to_owned())].into();
        TableFile { path: path.into(), size: 1, rows: None, date: Some(7), stats: None, tags, modified_ms: 0 }
    }

    #[test]
    fn a_tag_reads_back_as_it_was_written() {
        let revived = Revived::from([
            ((7, (1, 0)), [100, 106, 105, 111, 107, 110, 109, 108].into_iter().collect()),
            ((7, (2, 3)), [9].into_iter().collect()),
            ((8, (1, 0)), [4].into_iter().collect()),
        ]);
        let tag = format_tag(&revived);
        assert_eq!(tag, "7=0:100,105-112;7=3#2:9;8=0:4");
        assert_eq!(parse_tag(&tag), Some(revived));
        assert_eq!(parse_tag(""), Some(Revived::new()));
        for broken in ["7", "7=0", "7=0:", "7=0:a", "7=0:5-5", "7=x:5", "=0:5", "7=0#:5"] {
            assert_eq!(parse_tag(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_merged_file_carries_what_all_its_parts_did() {
        assert_eq!(merge_tags(["7=0:1", "7=0:2;6=0:9"]), Ok(Some("6=0:9;7=0:1-3".to_owned())));
        assert_eq!(merge_tags([]), Ok(None));
        assert_eq!(merge_tags(["nonsense"]), Err("nonsense".to_owned()));
    }

    #[test]
    fn a_reader_finds_what_it_lacks_and_nothing_else() {
        let files = [file("a", "3=0:10;4=0:11-13,20;4=1:5"), file("b", "5=0:30"), file("c", "3=0:1")];
        let all = untaken(&files, 4, 6).unwrap();
        assert_eq!(all.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(all[0].rows[&(1, 0)].iter().collect::<Vec<_>>(), [11, 12, 20]);
        assert_eq!(all[0].rows[&(1, 1)].count(), 1);
        assert!(untaken(&files, 6, 6).unwrap().is_empty());
        assert_eq!(untaken(&files, 4, 5).unwrap().len(), 1);
    }

    #[test]
    fn a_replay_that_nobody_remembers_is_noticed() {
        let files = [file("a", "3=0:10"), file("b", "5=0:30")];
        assert_eq!(untaken(&files, 3, 6), Err(Untraceable::Forgotten(4)));
        assert!(matches!(untaken(&[file("a", "what")], 0, 1), Err(Untraceable::Unreadable { .. })));
    }

    #[test]
    fn sets_of_offsets_join_what_touches() {
        let mut set: Offsets = [5, 7, 6, 1].into_iter().collect();
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(1, 2), (5, 8)]);
        set.insert_range(2, 5);
        assert_eq!((set.ranges().collect::<Vec<_>>(), set.count()), (vec![(1, 8)], 7));
        assert!(set.has(1) && set.has(7) && !set.has(8) && !set.has(0));
    }
}
