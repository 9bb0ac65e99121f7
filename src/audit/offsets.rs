//! Which offsets have a row, one bit each.
//!
//! A hundred million rows must fit beside everything else: offsets are kept in pages of 65,536 bits (8 KB), and a page without holes
//! is a number. Promises that an offset inserted twice is remembered as such, within one set and across sets that are joined.

use std::collections::HashMap;

use super::ranges::Ranges;

const WORDS: usize = 1024;
const BITS: i64 = 64 * WORDS as i64;

/// The offsets of one partition that have a row.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    pages: HashMap<i64, Page, ahash::RandomState>,
    /// The page that took the last offset, out of the map: rows come in order, and hashing each would cost more than its bit.
    open: Option<(i64, Page)>,
    twice: Ranges,
    repeats: u64,
}

#[derive(Debug)]
struct Page {
    /// Empty when all bits are set.
    words: Vec<u64>,
    set: i64,
}

impl Page {
    fn new() -> Self {
        Page { words: vec![0; WORDS], set: 0 }
    }

    fn word(&self, at: usize) -> u64 {
        self.words.get(at).copied().unwrap_or(u64::MAX)
    }

    /// False when the bit was set already.
    fn insert(&mut self, bit: usize) -> bool {
        let mask = 1u64 << (bit % 64);
        match self.words.get_mut(bit / 64) {
            Some(word) if *word & mask == 0 => {
                *word |= mask;
                self.set += 1;
                if self.set == BITS {
                    self.words = Vec::new();
                }
                true
            }
            _ => false,
        }
    }
}

impl Offsets {
    /// Takes an offset; a second time counts as a repeat.
    pub(crate) fn insert(&mut self, offset: i64) {
        let (key, bit) = (offset.div_euclid(BITS), offset.rem_euclid(BITS) as usize);
        if self.open.as_ref().is_none_or(|(open, _)| *open != key) {
            self.close();
            let page = self.pages.remove(&key).unwrap_or_else(Page::new);
            self.open = Some((key, page));
        }
        if let Some((_, page)) = &mut self.open
            && !page.insert(bit)
        {
            self.repeats += 1;
            self.twice.add(offset, offset.saturating_add(1));
        }
    }

    fn close(&mut self) {
        if let Some((key, page)) = self.open.take() {
            self.pages.insert(key, page);
        }
    }

    /// Takes all of another set; what both have is a repeat.
    pub(crate) fn join(&mut self, mut other: Offsets) {
        self.close();
        other.close();
        self.repeats += other.repeats;
        self.twice.add_all(&other.twice);
        for (key, theirs) in other.pages {
            let Some(ours) = self.pages.remove(&key) else {
                self.pages.insert(key, theirs);
                continue;
            };
            let mut joined = Page::new();
            for (at, word) in joined.words.iter_mut().enumerate() {
                let (a, b) = (ours.word(at), theirs.word(at));
                *word = a | b;
                joined.set += i64::from(word.count_ones());
                let mut both = a & b;
                self.repeats += u64::from(both.count_ones());
                while both != 0 {
                    let offset = key * BITS + at as i64 * 64 + i64::from(both.trailing_zeros());
                    self.twice.add(offset, offset + 1);
                    both &= both - 1;
                }
            }
            if joined.set == BITS {
                joined.words = Vec::new();
            }
            self.pages.insert(key, joined);
        }
    }

    /// Offsets that came more than once.
    pub(crate) fn twice(&self) -> &Ranges {
        &self.twice
    }

    /// Rows too many: an offset that came three times counts two.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Calls `run` with each unbroken run `[from, to)` of offsets that have a row, in order. A callback and not a list: where every
    /// record is followed by a transaction marker, there are as many runs as rows.
    pub(crate) fn runs(&mut self, mut run: impl FnMut(i64, i64)) {
        self.close();
        let mut keys: Vec<i64> = self.pages.keys().copied().collect();
        keys.sort_unstable();
        let mut held: Option<(i64, i64)> = None;
        let mut push = |from: i64, to: i64| match &mut held {
            Some((_, end)) if *end == from => *end = to,
            _ => {
                if let Some((a, b)) = held.replace((from, to)) {
                    run(a, b);
                }
            }
        };
        for key in keys {
            let Some(page) = self.pages.get(&key) else { continue };
            let base = key * BITS;
            if page.words.is_empty() {
                push(base, base + BITS);
                continue;
            }
            for (at, word) in page.words.iter().enumerate() {
                let (base, mut word, mut bit) = (base + at as i64 * 64, *word, 0);
                while word != 0 {
                    let zeros = word.trailing_zeros();
                    bit += zeros;
                    // A shift by 64 is not defined: an all-ones word is taken in one go.
                    let ones = (word >> zeros).trailing_ones();
                    push(base + i64::from(bit), base + i64::from(bit + ones));
                    bit += ones;
                    word = (word >> zeros).checked_shr(ones).unwrap_or(0);
                }
            }
        }
        if let Some((a, b)) = held {
            run(a, b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(set: &mut Offsets) -> Vec<(i64, i64)> {
        let mut all = Vec::new();
        set.runs(|from, to| all.push((from, to)));
        all
    }

    fn of(offsets: impl IntoIterator<Item = i64>) -> Offsets {
        let mut set = Offsets::default();
        offsets.into_iter().for_each(|offset| set.insert(offset));
        set
    }

    #[test]
    fn runs_cross_words_and_pages() {
        let mut set = of((60..70).chain(100..101).chain(65_500..200_000).chain(200_001..200_002));
        assert_eq!(runs(&mut set), [(60, 70), (100, 101), (65_500, 200_000), (200_001, 200_002)]);
        assert_eq!(set.repeats(), 0);
        assert!(set.pages.values().any(|p| p.words.is_empty()), "a full page takes no memory");
    }

    #[test]
    fn a_repeat_is_seen_in_any_order_and_in_a_full_page() {
        let mut set = of((0..70_000).chain([5, 69_999, 5]));
        assert_eq!((set.repeats(), set.twice().to_string()), (3, "[5, 6) [69999, 70000)".into()));
        assert_eq!(runs(&mut set), [(0, 70_000)]);
    }

    #[test]
    fn joined_sets_know_what_both_had() {
        let mut set = of(0..65_536);
        set.join(of((65_530..65_540).chain([3])));
        assert_eq!((set.repeats(), set.twice().to_string()), (7, "[3, 4) [65530, 65536)".into()));
        assert_eq!(runs(&mut set), [(0, 65_540)]);
        let mut halves = of((0..65_536).step_by(2));
        halves.join(of((1..65_536).step_by(2)));
        assert_eq!((halves.repeats(), runs(&mut halves)), (0, vec![(0, 65_536)]));
    }

    #[test]
    fn holes_between_single_rows_are_runs_of_one() {
        let mut set = of((0..200_000).step_by(2));
        assert_eq!(runs(&mut set).len(), 100_000);
    }
}
