//! Which events of one day were seen: 16 bytes each.
//!
//! An event is its id and its time. Both fit one word of 128 bits: 90 bits of a keyed hash of the id, 37 bits of microseconds since
//! the day began, one bit that is always set. Two ids among ten million share 90 bits with a chance of one in 10¹³.
//!
//! A table with open addressing that is three quarters full at most: one cache miss per look, no pointers, and a size that need not
//! be a power of two.

use hashbrown::HashMap;

/// Bits of the time.
pub(super) const TIME_BITS: u32 = 37;
const TAKEN: u128 = 1 << 127;

/// An event as the table holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventKey(u128);

impl EventKey {
    /// From a hash of the id and microseconds since the day began; `None` when these are no time of a day.
    pub(super) fn new(id_hash: u128, since_midnight: i64) -> Option<Self> {
        let time = u128::try_from(since_midnight).ok().filter(|t| *t < 86_400_000_000)?;
        Some(Self(TAKEN | (id_hash << TIME_BITS) & (TAKEN - 1) | time))
    }

    fn same_id(self, other: u128) -> bool {
        (self.0 ^ other) >> TIME_BITS == 0
    }

    fn id(self) -> u128 {
        self.0 >> TIME_BITS
    }

    /// Microseconds since the day began.
    pub(super) fn time(self) -> i64 {
        (self.0 & ((1 << TIME_BITS) - 1)) as i64
    }

    /// Where to look first: the upper bits of the hash, scaled.
    fn home(self, slots: usize) -> usize {
        let hash = u128::from((self.0 >> 63) as u64);
        ((hash * slots as u128) >> 64) as usize
    }
}

/// What a look told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Not seen before.
    New,
    /// Seen: same id, same time.
    Duplicate,
    /// The id was seen at other times, first at this one (since midnight). This time is new.
    Conflict(i64),
}

/// The events seen so far.
pub(super) struct Seen {
    /// Zero: free. One slot per id, with the time at which it was seen first.
    slots: Vec<u128>,
    taken: usize,
    /// Further times of an id. Rare.
    more: HashMap<u128, Vec<i64>, ahash::RandomState>,
}

impl Seen {
    /// With room for this many ids; more is found later if needed.
    pub(super) fn with_room_for(ids: usize) -> Self {
        let slots = ids.saturating_add(ids / 3).saturating_add(64);
        Self { slots: vec![0; slots], taken: 0, more: HashMap::default() }
    }

    /// Looks an event up and remembers it.
    pub(super) fn insert(&mut self, key: EventKey) -> Found {
        let mut at = key.home(self.slots.len());
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                self.slots[at] = key.0;
                self.taken += 1;
                if self.taken / 3 * 4 >= self.slots.len() {
                    self.grow();
                }
                return Found::New;
            }
            if key.same_id(slot) {
                return self.known_id(key, EventKey(slot));
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }

    /// Whether its id was seen, at whatever time.
    pub(super) fn has_id_of(&self, key: EventKey) -> bool {
        let mut at = key.home(self.slots.len());
        loop {
            match self.slots[at] {
                0 => return false,
                slot if key.same_id(slot) => return true,
                _ => at = (at + 1) % self.slots.len(),
            }
        }
    }

    #[cold]
    fn known_id(&mut self, key: EventKey, first: EventKey) -> Found {
        if first == key {
            return Found::Duplicate;
        }
        let times = self.more.entry(key.id()).or_default();
        if times.contains(&key.time()) {
            return Found::Duplicate;
        }
        times.push(key.time());
        Found::Conflict(first.time())
    }

    fn grow(&mut self) {
        let larger = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let mut at = EventKey(slot).home(self.slots.len());
            while self.slots[at] != 0 {
                at = (at + 1) % self.slots.len();
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use rand::{RngExt, SeedableRng};

    use super::*;

    fn key(id: u64, time: i64) -> EventKey {
        let hash = |seed: u64| u128::from(ahash::RandomState::with_seeds(seed, 2, 3, 4).hash_one(id));
        EventKey::new(hash(1) << 64 | hash(9), time).unwrap()
    }

    #[test]
    fn the_first_time_of_an_id_is_what_a_conflict_tells() {
        let mut seen = Seen::with_room_for(0);
        assert_eq!(seen.insert(key(1, 50)), Found::New);
        assert_eq!(seen.insert(key(1, 50)), Found::Duplicate);
        assert_eq!(seen.insert(key(1, 20)), Found::Conflict(50));
        assert_eq!(seen.insert(key(1, 30)), Found::Conflict(50));
        assert_eq!(seen.insert(key(1, 20)), Found::Duplicate);
        assert_eq!(seen.insert(key(1, 30)), Found::Duplicate);
        assert!(seen.has_id_of(key(1, 99)) && !seen.has_id_of(key(2, 50)));
    }

    #[test]
    fn a_time_of_another_day_makes_no_key() {
        assert_eq!(EventKey::new(1, -1), None);
        assert_eq!(EventKey::new(1, 86_400_000_000), None);
        assert_eq!(EventKey::new(u128::MAX, 86_399_999_999).unwrap().time(), 86_399_999_999);
    }

    #[test]
    fn it_agrees_with_sets_however_small_it_began() {
        let mut random = rand_pcg::Pcg64Mcg::seed_from_u64(7);
        for room in [0, 1_000, 50_000] {
            let mut seen = Seen::with_room_for(room);
            let mut events = HashSet::new();
            let mut first = HashMap::new();
            for _ in 0..100_000 {
                let (id, time) = (random.random_range(0..30_000_u64), random.random_range(0..3_i64) * 28_000_000_000);
                let expected = match (events.insert((id, time)), first.get(&id)) {
                    (true, None) => Found::New,
                    (true, Some(t)) => Found::Conflict(*t),
                    (false, _) => Found::Duplicate,
                };
                first.entry(id).or_insert(time);
                assert_eq!(seen.insert(key(id, time)), expected);
            }
        }
    }
}
