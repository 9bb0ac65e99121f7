//! Reads `tributary.toml` into dotted names, each with its line.
//!
//! Knows nothing of what exists: [`layers`](super::layers) refuses unknown names. Promises the line of the *key*, one-based.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One `name = value` of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Dotted: `pipeline.bronze_flush`.
    pub name: String,
    /// As text, whatever its TOML type was.
    pub value: String,
    /// Line of the key, from 1.
    pub line: usize,
}

/// What is wrong, and in which line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// From 1.
    pub line: usize,
    /// What to change.
    pub message: String,
}

/// All entries of the file in its order.
pub fn parse(text: &str) -> Result<Vec<Entry>, Malformed> {
    let table = DeTable::parse(text).map_err(|error| Malformed {
        line: error.span().map_or(1, |span| line_of(text, span.start)),
        message: error.message().to_owned(),
    })?;
    let mut entries = Vec::new();
    walk(text, "", table.get_ref(), &mut entries)?;
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn walk(text: &str, prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) -> Result<(), Malformed> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        let line = line_of(text, key.span().start);
        if let DeValue::Table(inner) = value.get_ref() {
            walk(text, &name, inner, entries)?;
            continue;
        }
        let value = scalar(value).map_err(|message| Malformed { line, message: format!("{name}: {message}") })?;
        entries.push(Entry { name, value, line });
    }
    Ok(())
}

/// A list stands for its members with commas: `roles = ["bronze", "serving"]`.
fn scalar(value: &Spanned<DeValue<'_>>) -> Result<String, String> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| "is not a whole number".to_owned()),
        DeValue::Array(members) => Ok(members.iter().map(scalar).collect::<Result<Vec<_>, _>>()?.join(",")),
        DeValue::Datetime(_) => Err("is a date; write it in quotes".into()),
        DeValue::Table(_) => Err("is a table; write a value".into()),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_toml_becomes_a_dotted_name_with_its_line() {
        let text = "instance = 'a'\n\n[kafka]\npartitions = 1_2\nbootstrap_servers = ['a:1', 'b:2']\n\
                    [kafka.properties]\nsasl.username = 'u'\n'ssl.ca.location' = '/ca'\n[generator]\nevents_per_second = 0.5\n";
        let entries: Vec<_> = parse(text).unwrap().into_iter().map(|e| (e.line, e.name, e.value)).collect();
        let expected = [
            (1, "instance", "a"),
            (4, "kafka.partitions", "12"),
            (5, "kafka.bootstrap_servers", "a:1,b:2"),
            (7, "kafka.properties.sasl.username", "u"),
            (8, "kafka.properties.ssl.ca.location", "/ca"),
            (10, "generator.events_per_second", "0.5"),
        ];
        assert_eq!(entries, expected.map(|(line, name, value)| (line, name.to_owned(), value.to_owned())));
    }

    #[test]
    fn broken_toml_names_its_line() {
        assert_eq!(parse("a = 1\nb = \n").unwrap_err().line, 2);
    }
}
