//! A column of few distinct texts: codes into a dictionary that is built with the batch.
//!
//! Promises that the declared values come first, in their order, so that code `n` is `allowed[n]` in every batch; others follow in
//! the order of their appearance. A lookup costs a glance into a small cache, or a hash when that fails; a text is stored once.

use std::sync::Arc;

use arrow_array::builder::Int32Builder;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, StringArray};
use hashbrown::HashTable;

/// Slots of the cache; a power of two.
const SLOTS: usize = 64;

/// Builds one dictionary column.
#[derive(Debug)]
pub(super) struct Symbols {
    codes: Int32Builder,
    /// All distinct texts, end to end, and where each ends.
    text: String,
    ends: Vec<usize>,
    /// How many of them were declared.
    declared: usize,
    /// The declared texts as an array: most batches have no others.
    declared_values: ArrayRef,
    /// Last code seen per slot.
    cache: [u32; SLOTS],
    table: HashTable<u32>,
    hasher: ahash::RandomState,
}

impl Symbols {
    /// A dictionary that begins with `declared`.
    pub(super) fn new(declared: &[String]) -> Self {
        let mut symbols = Self {
            codes: Int32Builder::new(),
            text: String::new(),
            ends: Vec::new(),
            declared: 0,
            declared_values: Arc::new(StringArray::from_iter_values(declared)),
            cache: [0; SLOTS],
            table: HashTable::new(),
            // The seed decides where a text lies in the table, never which code it gets.
            hasher: ahash::RandomState::with_seeds(1, 2, 3, 4),
        };
        for text in declared {
            symbols.intern(text);
        }
        symbols.declared = declared.len();
        symbols
    }

    /// Whether a code is one of the declared values.
    pub(super) fn is_declared(&self, code: i32) -> bool {
        usize::try_from(code).is_ok_and(|code| code < self.declared)
    }

    /// The code of a text that is in the dictionary.
    #[inline]
    pub(super) fn code(&self, text: &[u8]) -> Option<i32> {
        let cached = self.cache[slot(text)];
        let code = if self.get(cached).is_some_and(|t| t == text) { cached } else { self.find(text)? };
        i32::try_from(code).ok()
    }

    fn find(&self, text: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        self.table.find(hash, |code| self.get(*code).is_some_and(|t| t == text)).copied()
    }

    #[inline]
    fn get(&self, code: u32) -> Option<&[u8]> {
        bytes_of(&self.text, &self.ends, code)
    }

    fn intern(&mut self, text: &str) -> u32 {
        let slot = slot(text.as_bytes());
        let cached = self.cache[slot];
        if self.get(cached).is_some_and(|t| t == text.as_bytes()) {
            return cached;
        }
        let code = match self.find(text.as_bytes()) {
            Some(code) => code,
            None => {
                // A batch has fewer rows than codes.
                let code = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
                self.text.push_str(text);
                self.ends.push(self.text.len());
                let (all, ends, hasher) = (&self.text, &self.ends, &self.hasher);
                let hash = |code: &u32| hasher.hash_one(bytes_of(all, ends, *code).unwrap_or_default());
                self.table.insert_unique(hasher.hash_one(text.as_bytes()), code, hash);
                code
            }
        };
        self.cache[slot] = code;
        code
    }

    /// Appends a text; says how many bytes the dictionary grew.
    pub(super) fn append(&mut self, text: &str) -> usize {
        let before = self.text.len();
        let code = self.intern(text);
        self.codes.append_value(i32::try_from(code).unwrap_or(i32::MAX));
        self.text.len() - before
    }

    /// Appends a code that [`Self::code`] gave.
    #[inline]
    pub(super) fn append_code(&mut self, code: i32) {
        self.codes.append_value(code);
    }

    /// Appends a null.
    #[inline]
    pub(super) fn append_null(&mut self) {
        self.codes.append_null();
    }

    /// The column; the next one begins with the declared values again.
    pub(super) fn finish(&mut self, next_rows: usize) -> ArrayRef {
        let codes = std::mem::replace(&mut self.codes, Int32Builder::with_capacity(next_rows)).finish();
        let values: ArrayRef = if self.ends.len() == self.declared {
            Arc::clone(&self.declared_values)
        } else {
            let texts = (0..self.ends.len()).map(|n| {
                let from = if n == 0 { 0 } else { self.ends[n - 1] };
                self.text.get(from..self.ends[n]).unwrap_or_default()
            });
            Arc::new(StringArray::from_iter_values(texts))
        };
        self.forget();
        match DictionaryArray::<Int32Type>::try_new(codes, values) {
            Ok(array) => Arc::new(array),
            Err(e) => panic!("a code outside its dictionary: {e}"),
        }
    }

    /// Back to the declared values.
    fn forget(&mut self) {
        if self.ends.len() > self.declared {
            let declared = self.declared;
            self.ends.truncate(declared);
            self.text.truncate(self.ends.last().copied().unwrap_or(0));
            self.text.shrink_to(1 << 10);
            self.table.retain(|code| (*code as usize) < declared);
        }
    }
}

/// Where in the cache a text is looked for. Short words differ in length, first or last letter.
#[inline]
fn slot(text: &[u8]) -> usize {
    let first = text.first().copied().unwrap_or(0);
    let last = text.last().copied().unwrap_or(0);
    (text.len() ^ (usize::from(first) << 1) ^ (usize::from(last) << 3)) % SLOTS
}

#[inline]
fn bytes_of<'a>(text: &'a str, ends: &[usize], code: u32) -> Option<&'a [u8]> {
    let code = code as usize;
    let to = *ends.get(code)?;
    let from = if code == 0 { 0 } else { ends[code - 1] };
    text.as_bytes().get(from..to)
}
