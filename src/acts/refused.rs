//! What is not done because it makes no sense: why, in words for a person, and of which kind, for exit and HTTP statuses.

use crate::words;

/// Why it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// There is nothing of that name or number.
    NotFound,
    /// It cannot be meant, whenever it is asked.
    Wrong,
    /// It cannot be done as things are now.
    Conflict,
}

/// Something that was asked for and is not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub(crate) struct Refused {
    /// Why.
    pub(crate) kind: Kind,
    /// The same in words, with what to do instead.
    pub(crate) words: String,
}

impl Refused {
    /// It cannot be meant.
    pub(crate) fn wrong(words: impl Into<String>) -> Self {
        Self { kind: Kind::Wrong, words: words.into() }
    }

    /// It cannot be done now.
    pub(crate) fn conflict(words: impl Into<String>) -> Self {
        Self { kind: Kind::Conflict, words: words.into() }
    }

    /// Somebody named what is not there: says what is.
    pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        Self { kind: Kind::NotFound, words: words::unknown(what, name, known) }
    }

    /// There is no run of that number.
    pub(crate) fn no_run(id: i64) -> Self {
        let words = format!("there is no run {id}; `tributary runs list` shows what there is");
        Self { kind: Kind::NotFound, words }
    }
}
