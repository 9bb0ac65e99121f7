//! Which files are worth rewriting into one.
//!
//! A closed day ends up with two files, or as many as its size asks for; only its smallest ones are touched, so that a late row does
//! not rewrite a day. An open day is merged like a log-structured tree: many small files become one, and a file joins only files that
//! weigh as much as itself together, so that each row is rewritten a few times and not with every merge.

use std::collections::BTreeMap;

use tributary_core::replay::{self, REPLAY_TAG};
use tributary_core::table::TableFile;

use super::super::offsets::{SPANS_TAG, parse_tag};

/// Files of a day that are merged in one go, at most: what a commit removes and an engine opens has a bound.
const MOST_FILES: usize = 2_000;
/// Small files of an open day that are worth a merge.
const OPEN_FILES: usize = 64;
/// Files that a closed day may have, however small they are.
const CLOSED_FILES: usize = 2;

/// Next offsets by incarnation and partition.
pub type Offsets = BTreeMap<(i32, i32), i64>;

/// What may be rewritten, and into what.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The day that is not over, as days since 1970; so are all that follow.
    pub today: i32,
    /// Size of the files to come.
    pub target_bytes: u64,
    /// Bronze: only files that silver has taken in whole, up to these offsets. Other tables: none, all files may be.
    pub below: Option<Offsets>,
}

/// Files of one day that become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The day, where the table has any.
    pub day: Option<i32>,
    /// In the order in which they were written.
    pub files: Vec<TableFile>,
}

/// Chooses groups of files; none when there is nothing worth doing.
pub fn choose<'a>(files: impl IntoIterator<Item = &'a TableFile>, choice: &Choice) -> Vec<Group> {
    let mut days: BTreeMap<Option<i32>, Vec<&TableFile>> = BTreeMap::new();
    files.into_iter().for_each(|file| days.entry(file.date).or_default().push(file));
    let mut groups = Vec::new();
    for (day, files) in days {
        let mut eligible: Vec<&TableFile> = files.iter().copied().filter(|file| choice.may_take(file)).collect();
        eligible.sort_by(|a, b| (a.size, &a.path).cmp(&(b.size, &b.path)));
        let chosen = if day.is_some_and(|day| day >= choice.today) {
            of_open_day(&eligible, choice.target_bytes)
        } else {
            of_closed_day(&eligible, &files, choice.target_bytes)
        };
        groups.extend(chosen.into_iter().map(|mut files| {
            files.sort_by(|a, b| (a.modified_ms, &a.path).cmp(&(b.modified_ms, &b.path)));
            Group { day, files: files.into_iter().cloned().collect() }
        }));
    }
    groups
}

impl Choice {
    fn may_take(&self, file: &TableFile) -> bool {
        let Some(below) = &self.below else { return true };
        // A file without a readable tag cannot be judged.
        let Some(spans) = file.tags.get(SPANS_TAG).and_then(|tag| parse_tag(tag)) else { return false };
        if file.tags.get(REPLAY_TAG).is_some_and(|tag| replay::parse_tag(tag).is_none()) {
            return false;
        }
        spans.iter().all(|(incarnation, span)| below.get(&(*incarnation, span.partition)).is_some_and(|next| span.to <= *next))
    }
}

/// As many as the day's size asks for are left. Where there are more, the two smallest weigh less than twice the target together: a
/// merge is always possible.
fn of_closed_day<'a>(eligible: &[&'a TableFile], all: &[&TableFile], target: u64) -> Vec<Vec<&'a TableFile>> {
    let bytes: u64 = all.iter().map(|file| file.size).sum();
    let allowed = usize::try_from(bytes.div_ceil(target.max(1))).unwrap_or(usize::MAX).max(CLOSED_FILES);
    let mut surplus = all.len().saturating_sub(allowed);
    let mut groups = Vec::new();
    let (mut group, mut weight): (Vec<&TableFile>, u64) = (Vec::new(), 0);
    for file in eligible {
        let full = weight + file.size > target.saturating_mul(2) || group.len() == MOST_FILES;
        if full {
            groups.push(std::mem::take(&mut group));
            weight = 0;
        }
        if !group.is_empty() {
            if surplus == 0 {
                break;
            }
            surplus -= 1;
        }
        group.push(file);
        weight += file.size;
    }
    groups.push(group);
    groups.retain(|group| group.len() > 1);
    groups
}

fn of_open_day<'a>(eligible: &[&'a TableFile], target: u64) -> Vec<Vec<&'a TableFile>> {
    let mut groups = Vec::new();
    let (mut group, mut weight): (Vec<&TableFile>, u64) = (Vec::new(), 0);
    for file in eligible.iter().filter(|file| file.size < target / 2) {
        let outweighs = group.len() > 1 && file.size > weight;
        if outweighs || weight + file.size > target || group.len() == MOST_FILES {
            groups.push(std::mem::take(&mut group));
            weight = 0;
        }
        group.push(file);
        weight += file.size;
    }
    groups.push(group);
    groups.retain(|group| group.len() >= OPEN_FILES);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const KB: u64 = 1 << 10;
    const MB: u64 = 1 << 20;

    fn file(day: i32, n: usize, size: u64) -> TableFile {
        let tags = [(SPANS_TAG.to_owned(), format!("0:{}-{}:1", n * 10, n * 10 + 10))].into();
        TableFile { path: format!("{day}/{n:05}"), size, rows: None, date: Some(day), stats: None, tags, modified_ms: n as i64 }
    }

    fn day(day: i32, sizes: &[u64]) -> Vec<TableFile> {
        sizes.iter().enumerate().map(|(n, size)| file(day, n, *size)).collect()
    }

    fn choice() -> Choice {
        Choice { today: 10, target_bytes: 128 * MB, below: None }
    }

    /// The sizes of what a day has after all groups were merged.
    fn merged(files: &[TableFile], groups: &[Group]) -> Vec<u64> {
        let gone: Vec<&str> = groups.iter().flat_map(|g| &g.files).map(|f| f.path.as_str()).collect();
        let mut left: Vec<u64> = files.iter().filter(|f| !gone.contains(&f.path.as_str())).map(|f| f.size).collect();
        left.extend(groups.iter().map(|g| g.files.iter().map(|f| f.size).sum::<u64>()));
        left.sort_unstable();
        left
    }

    #[test]
    fn a_closed_day_ends_with_two_files() {
        for n in [3, 10, 288, 1_900] {
            let files = day(9, &vec![20 * KB; n]);
            assert_eq!(merged(&files, &choose(&files, &choice())).len(), 2, "{n}");
        }
        let files = day(9, &[20 * KB, 20 * KB]);
        assert_eq!(choose(&files, &choice()), []);
    }

    #[test]
    fn a_late_row_does_not_rewrite_a_large_day() {
        let files = day(9, &[100 * MB, KB, KB]);
        let groups = choose(&files, &choice());
        assert_eq!(merged(&files, &groups), [2 * KB, 100 * MB]);
        assert_eq!(groups[0].files.iter().map(|f| f.modified_ms).collect::<Vec<_>>(), [1, 2], "in the order of writing");
    }

    #[test]
    fn a_large_closed_day_has_as_many_files_as_its_size_asks_for() {
        for sizes in [vec![70 * MB; 9], vec![60 * MB; 100], [vec![100 * MB; 5], vec![30 * MB; 20], vec![KB; 50]].concat()] {
            let mut files = day(9, &sizes);
            for _ in 0..10 {
                let groups = choose(&files, &choice());
                files = day(9, &merged(&files, &groups));
            }
            let bytes: u64 = sizes.iter().sum();
            assert!(files.len() as u64 <= bytes.div_ceil(128 * MB), "{} files of {sizes:?}", files.len());
            assert!(files.iter().all(|f| f.size <= 256 * MB));
        }
    }

    #[test]
    fn an_open_day_waits_until_a_merge_is_worth_it() {
        let small = |n| day(10, &vec![5 * KB; n]);
        assert_eq!(choose(&small(63), &choice()), []);
        assert_eq!(choose(&small(64), &choice())[0].files.len(), 64);
    }

    /// A commit per second for a day, a look every five minutes: what is alive and what was rewritten.
    #[test]
    fn an_open_day_stays_at_some_hundreds_of_files_and_rewrites_little() {
        let (mut files, mut n, mut rewritten, mut most) = (Vec::new(), 0, 0, 0);
        for _ in 0..288 {
            for _ in 0..300 {
                files.push(file(10, n, 5 * KB));
                n += 1;
            }
            most = most.max(files.len());
            let groups = choose(&files, &choice());
            for group in &groups {
                let gone: Vec<&str> = group.files.iter().map(|f| f.path.as_str()).collect();
                files.retain(|f| !gone.contains(&f.path.as_str()));
                let size = group.files.iter().map(|f| f.size).sum();
                rewritten += size;
                files.push(file(10, 1_000_000 + n, size));
                n += 1;
            }
        }
        let written = 288 * 300 * 5 * KB;
        assert!(most < 700, "{most} files");
        assert!(rewritten < 8 * written, "each byte was rewritten {} times", rewritten / written);
    }

    #[test]
    fn bronze_is_left_alone_until_silver_has_it() {
        let files = day(9, &[KB; 5]);
        let below = |next: Option<i64>| Choice { below: Some(next.map(|n| ((1, 0), n)).into_iter().collect()), ..choice() };
        assert_eq!(choose(&files, &below(None)), []);
        let groups = choose(&files, &below(Some(35)));
        assert_eq!(groups[0].files.iter().map(|f| f.modified_ms).collect::<Vec<_>>(), [0, 1, 2]);
        let mut strange = files.clone();
        strange.iter_mut().for_each(|f| _ = f.tags.insert(SPANS_TAG.to_owned(), "what".to_owned()));
        assert_eq!(choose(&strange, &below(Some(99))), []);
        strange.iter_mut().for_each(|f| f.tags.clear());
        assert_eq!(choose(&strange, &below(Some(99))), []);
    }
}
