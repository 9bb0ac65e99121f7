//! The words of the history: how a run is, how an attempt is, why a run is. The same in the database, in JSON and on the screen.
//!
//! The macro makes such an enum for other tables, too.

/// A word in the database that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a word of this version; a newer one may have written it")]
pub struct UnknownWord(String);

impl UnknownWord {
    pub(crate) fn new(word: &str) -> Self {
        Self(word.to_owned())
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$what])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word in the database, in JSON and on the screen.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::serving::history::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word).ok_or_else(|| Self::Err::new(word))
            }
        }
    };
}
pub(crate) use words;

words! {
    /// How a run is.
    RunState {
        /// Asked for.
        Queued = "queued",
        /// A leader is at it, or died at it and the next one will go on.
        Running = "running",
        /// All its tasks are done.
        Succeeded = "succeeded",
        /// A task failed for good.
        Failed = "failed",
        /// A person, or its timeout, ended it.
        Cancelled = "cancelled",
        /// There was nothing to do.
        Skipped = "skipped",
    }
}

words! {
    /// How an attempt of a task is.
    TaskState {
        /// Its turn is yet to come.
        Queued = "queued",
        /// It is under way.
        Running = "running",
        /// It is done.
        Succeeded = "succeeded",
        /// It failed, and there is no further attempt.
        Failed = "failed",
        /// The run was ended.
        Cancelled = "cancelled",
        /// There was nothing to do, or the run was asked for without it.
        Skipped = "skipped",
        /// It failed, and there is a further attempt.
        Retrying = "retrying",
        /// Something that it comes after failed.
        UpstreamFailed = "upstream_failed",
        /// Its leader died or lost the lease; the next one makes a further attempt.
        Interrupted = "interrupted",
    }
}

words! {
    /// Why a run is.
    Trigger {
        /// It was due.
        Schedule = "schedule",
        /// A person asked.
        Manual = "manual",
        /// A person asked for an earlier one again.
        Retry = "retry",
        /// A person asked for days of the past.
        Backfill = "backfill",
        /// Rows of closed days came in.
        LateData = "late_data",
    }
}

impl RunState {
    /// Whether nothing will change it any more.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl TaskState {
    /// Whether nothing will change this attempt any more.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}
