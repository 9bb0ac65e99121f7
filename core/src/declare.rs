//! What the languages of `streams/*.toml` and `jobs/*.toml` share: values with their places, and errors that a person can mend.
//!
//! - `error`: [`DeclarationError`]: file, line, what is wrong, what to write instead.
//! - `read`: takes values out of TOML tables. `names`, `units`: names, sizes and durations as people write them.

mod error;
pub(crate) mod names;
pub(crate) mod read;
pub(crate) mod units;

pub(crate) use error::Source;
pub use error::{DeclarationError, Place, did_you_mean};
