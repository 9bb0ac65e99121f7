//! Takes values out of a TOML table, each with its place, and refuses what is not there, not known or of the wrong type.
//!
//! Assumes a table that the `toml` crate parsed. Promises that an error points at the value that is wrong, or at the header of the
//! table where one is missing.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{DeclarationError, Source, did_you_mean};

/// The file as TOML.
pub(crate) fn document(source: Source<'_>) -> Result<Spanned<DeTable<'_>>, DeclarationError> {
    DeTable::parse(source.text).map_err(|e| {
        let end = source.text.len();
        source.error(e.span().unwrap_or(end..end), "TOML", e.message(), "the file must be valid TOML: https://toml.io")
    })
}

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Said<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// One table of a declaration.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    pub(crate) source: Source<'a>,
    table: &'a DeTable<'a>,
    /// Where to point when something is missing: the table's header.
    header: Range<usize>,
    /// What to call it: `field amount`. Empty for the file itself.
    pub(crate) place: String,
    /// The keys outside of all brackets. TOML takes them for keys of the table above when they come later.
    top: &'a [&'a str],
}

/// A key and an example of what to write, for the message when it is missing or of the wrong type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'k>(pub(crate) &'k str, pub(crate) &'k str);

impl<'a> Reader<'a> {
    /// A reader of the whole file, whose keys outside of all brackets are `top`.
    pub(crate) fn top(source: Source<'a>, table: &'a DeTable<'a>, top: &'a [&'a str]) -> Self {
        Self { source, table, header: 0..0, place: String::new(), top }
    }

    /// A reader of a table in this one, which is called `place` in messages and whose header is at `header`.
    fn inner(&self, table: &'a DeTable<'a>, header: Range<usize>, place: impl Into<String>) -> Self {
        Self { source: self.source, table, header, place: place.into(), top: self.top }
    }

    /// The place of one of this table's keys.
    pub(crate) fn place_of(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}: {key}", self.place) }
    }

    /// An error about a key, at a span.
    pub(crate) fn error(
        &self,
        key: &str,
        span: Range<usize>,
        problem: impl Into<String>,
        help: impl Into<String>,
    ) -> DeclarationError {
        self.source.error(span, self.place_of(key), problem, help)
    }

    /// An error about the table as a whole, at its header.
    pub(crate) fn missing(&self, key: &str, problem: impl Into<String>, help: impl Into<String>) -> DeclarationError {
        self.error(key, self.header.clone(), problem, help)
    }

    /// Refuses the first key that is not among `known`.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), DeclarationError> {
        let unknown = self.table.keys().filter(|k| !known.contains(&k.get_ref().as_ref()));
        match unknown.min_by_key(|k| k.span().start) {
            None => Ok(()),
            Some(key) => {
                let written = key.get_ref();
                let meant = if !self.place.is_empty() && self.top.contains(&written.as_ref()) {
                    format!("`{written}` belongs above the first line in brackets; ")
                } else {
                    did_you_mean(written, known.iter().copied())
                };
                let help = format!("{meant}the keys here are {}", known.join(", "));
                Err(self.error(written, key.span(), "is not a key of the language", help))
            }
        }
    }

    fn get(&self, key: Key<'_>) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key.0)
    }

    fn wrong_type(&self, key: Key<'_>, value: &Spanned<DeValue<'_>>, expected: &str) -> DeclarationError {
        let problem = format!("is {}, expected {expected}", type_name(value.get_ref()));
        self.error(key.0, value.span(), problem, format!("write {}", key.1))
    }

    /// A text that may be left out.
    pub(crate) fn text_if_any(&self, key: Key<'_>) -> Result<Option<Said<&'a str>>, DeclarationError> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => self.as_text(key, value).map(Some),
        }
    }

    /// A text that must be there.
    pub(crate) fn text(&self, key: Key<'_>) -> Result<Said<&'a str>, DeclarationError> {
        match self.text_if_any(key)? {
            Some(said) => Ok(said),
            None => Err(self.missing(key.0, "is missing", format!("add {}", key.1))),
        }
    }

    fn as_text(&self, key: Key<'_>, value: &'a Spanned<DeValue<'a>>) -> Result<Said<&'a str>, DeclarationError> {
        match value.get_ref() {
            DeValue::String(s) => Ok(Said { value: s.as_ref(), span: value.span() }),
            _ => Err(self.wrong_type(key, value, "a text in quotes")),
        }
    }

    /// true or false; false when left out.
    pub(crate) fn flag(&self, key: Key<'_>) -> Result<bool, DeclarationError> {
        Ok(self.flag_if_any(key)?.is_some_and(|said| said.value))
    }

    /// true or false, or left out.
    pub(crate) fn flag_if_any(&self, key: Key<'_>) -> Result<Option<Said<bool>>, DeclarationError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Boolean(b) => Ok(Some(Said { value: *b, span: value.span() })),
            _ => Err(self.wrong_type(key, value, "true or false without quotes")),
        }
    }

    /// An integer that may be left out.
    pub(crate) fn integer_if_any(&self, key: Key<'_>) -> Result<Option<Said<i64>>, DeclarationError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                Ok(n) => Ok(Some(Said { value: n, span: value.span() })),
                Err(_) => Err(self.error(key.0, value.span(), "does not fit into 64 bits", format!("write {}", key.1))),
            },
            _ => Err(self.wrong_type(key, value, "an integer without quotes")),
        }
    }

    /// A list of texts that may be left out; a plain text is a list of one.
    pub(crate) fn texts_if_any(&self, key: Key<'_>) -> Result<Option<Said<Vec<Said<&'a str>>>>, DeclarationError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let texts = match value.get_ref() {
            DeValue::String(_) => vec![self.as_text(key, value)?],
            DeValue::Array(values) => values.iter().map(|v| self.as_text(key, v)).collect::<Result<_, _>>()?,
            _ => return Err(self.wrong_type(key, value, "a list of texts")),
        };
        Ok(Some(Said { value: texts, span: value.span() }))
    }

    /// [`Self::texts_if_any`] for a key that the language does not fix (a field's name under `where`).
    pub(crate) fn texts_at(&self, key: &str, example: &str) -> Result<Option<Said<Vec<Said<&'a str>>>>, DeclarationError> {
        self.texts_if_any(Key(key, example))
    }

    /// A table that may be left out.
    pub(crate) fn table_if_any(&self, key: Key<'_>, place: impl Into<String>) -> Result<Option<Reader<'a>>, DeclarationError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match value.get_ref() {
            DeValue::Table(table) => Ok(Some(self.inner(table, value.span(), place))),
            _ => Err(self.wrong_type(key, value, "a table")),
        }
    }

    /// All `[[key]]` tables, in their order; each is called by its `called` key, else by its number.
    pub(crate) fn tables(&self, key: Key<'_>, called: &str) -> Result<Vec<Reader<'a>>, DeclarationError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let DeValue::Array(values) = value.get_ref() else {
            return Err(self.wrong_type(key, value, "a list of tables"));
        };
        let each = values.iter().enumerate().map(|(n, v)| match v.get_ref() {
            DeValue::Table(table) => {
                let name = table.get(called).and_then(|c| c.get_ref().as_str());
                let place = name.map_or_else(|| format!("{} number {}", key.0, n + 1), |name| format!("{} {name}", key.0));
                Ok(self.inner(table, v.span(), place))
            }
            _ => Err(self.wrong_type(key, v, "a table")),
        });
        each.collect()
    }

    /// All keys and values, in the order in which they were written.
    pub(crate) fn entries(&self) -> Vec<Said<&'a str>> {
        let mut keys: Vec<_> = self.table.keys().map(|k| Said { value: k.get_ref().as_ref(), span: k.span() }).collect();
        keys.sort_by_key(|k| k.span.start);
        keys
    }
}

/// What a person would call the type of a value.
fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
