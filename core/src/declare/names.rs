//! Names that are safe to quote in SQL and in paths.

use super::error::DeclarationError;
use super::read::{Reader, Said};

/// `[a-z][a-z0-9_]{0,62}`: 63 bytes is what PostgreSQL keeps of a name.
pub(crate) fn is_identifier(text: &str) -> bool {
    let rest = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    text.len() <= 63 && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase()) && text.bytes().all(rest)
}

/// Refuses what is not a name.
pub(crate) fn identifier(r: &Reader<'_>, key: &str, said: &Said<&str>) -> Result<(), DeclarationError> {
    if is_identifier(said.value) {
        return Ok(());
    }
    let help =
        format!("names begin with a to z, go on with a to z, 0 to 9 and _, and have at most 63: \"{}\"", snake(said.value));
    Err(r.error(key, said.span.clone(), format!("`{}` is not a name", said.value), help))
}

/// The nearest name: `eventId` and `event-id` become `event_id`.
pub(crate) fn snake(text: &str) -> String {
    let mut name = String::new();
    let mut lower = false;
    for c in text.chars() {
        if c.is_ascii_uppercase() && lower {
            name.push('_');
        }
        lower = c.is_ascii_lowercase() || c.is_ascii_digit();
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ if name.ends_with('_') || name.is_empty() => {}
            _ => name.push('_'),
        }
    }
    let mut name = name.trim_end_matches('_').to_owned();
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        name.insert_str(0, "x_");
    }
    name.truncate(63);
    name
}
