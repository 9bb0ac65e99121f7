//! The language of `streams/*.toml`: it declares, it does not compute.
//!
//! Assumes only text. Promises a coherent [`Stream`] or one [`DeclarationError`] that says what to write instead: names are safe to
//! quote in SQL and in paths, no column is declared twice or is one that every bronze table has anyway, and `id`, `event_time` and
//! `key` name fields that can serve as such.

use std::ops::Range;

use super::{Field, Kind, Limits, Stream, windows};
use crate::batch::RESERVED_COLUMNS;
use crate::declare::names::{identifier, is_identifier, snake};
use crate::declare::read::{Key, Reader, Said, document};
use crate::declare::{DeclarationError, Source, did_you_mean, units};

/// The keys of a declaration outside of all brackets.
const TOP: [&str; 9] = ["name", "topic", "description", "id", "event_time", "key", "limits", "field", "window"];

const MAX_FIELDS: usize = 256;
const MAX_ALLOWED: usize = 1_000;
/// Longest key of a JSON object, and longest allowed value, in bytes.
const MAX_NAME_BYTES: usize = 128;
const MAX_LIMIT_MS: i64 = 100_000 * 86_400_000;
const MAX_EVENT_BYTES: u64 = 256 << 20;

/// Where in the text the names are that must be unique across streams.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) name: Range<usize>,
    pub(super) topic: Range<usize>,
    pub(super) tables: Vec<Range<usize>>,
}

/// Reads one declaration.
pub(super) fn parse(source: Source<'_>) -> Result<(Stream, Names), DeclarationError> {
    let document = document(source)?;
    let top = Reader::top(source, document.get_ref(), &TOP);
    top.only(&TOP)?;

    let name = top.text(Key("name", "name = \"user_events\""))?;
    identifier(&top, "name", &name)?;
    let topic = top.text(Key("topic", "topic = \"user-events\""))?;
    kafka_topic(&top, &topic)?;
    let description = top.text_if_any(Key("description", "description = \"one line\""))?.map_or("", |d| d.value);

    let readers = top.tables(Key("field", "[[field]] before each field"), "name")?;
    if readers.is_empty() {
        return Err(top.missing("field", "a stream needs fields", "add [[field]] with name = … and type = …"));
    }
    if readers.len() > MAX_FIELDS {
        return Err(top.missing("field", format!("{} fields", readers.len()), format!("declare at most {MAX_FIELDS}")));
    }
    let mut fields: Vec<Field> = Vec::with_capacity(readers.len());
    for reader in &readers {
        let next = field(reader, &fields)?;
        fields.push(next);
    }

    let id = role(&top, Key("id", "id = \"event_id\""), &fields)?;
    serves(&top, "id", &id, &fields, &[Kind::Text, Kind::Integer], true)?;
    let event_time = role(&top, Key("event_time", "event_time = \"timestamp\""), &fields)?;
    serves(&top, "event_time", &event_time, &fields, &[Kind::Timestamp], true)?;
    let key = role(&top, Key("key", "key = \"user_id\""), &fields)?;
    serves(&top, "key", &key, &fields, &[Kind::Text, Kind::Integer], false)?;

    let limits = match top.table_if_any(Key("limits", "[limits] on a line of its own"), "limits")? {
        None => Limits::default(),
        Some(reader) => limits(&reader)?,
    };
    let (windows, tables) = windows::parse(&top, &fields)?;
    for (at, field) in fields.iter_mut().enumerate() {
        let used = windows.iter().any(|w| w.group_by.contains(&at) || w.filter.iter().any(|(f, _)| *f == at));
        field.symbol = field.kind == Kind::Text && (used || !field.allowed.is_empty());
    }

    let stream = Stream {
        name: name.value.to_owned(),
        topic: topic.value.to_owned(),
        description: description.to_owned(),
        fields,
        id: id.value,
        event_time: event_time.value,
        key: key.value,
        windows,
        limits,
    };
    Ok((stream, Names { name: name.span, topic: topic.span, tables }))
}

/// One `[[field]]`, given those before it.
fn field(r: &Reader<'_>, before: &[Field]) -> Result<Field, DeclarationError> {
    r.only(&["name", "column", "type", "required", "allowed", "minimum"])?;
    let name = r.text(Key("name", "name = \"the key in the JSON object\""))?;
    if name.value.is_empty() || name.value.len() > MAX_NAME_BYTES || name.value.chars().any(char::is_control) {
        let help = format!("write the key as it is in the JSON object, 1 to {MAX_NAME_BYTES} bytes");
        return Err(r.error("name", name.span, "cannot be the key of a JSON object", help));
    }
    if before.iter().any(|f| f.name == name.value) {
        return Err(r.error("name", name.span, "is declared twice", "remove one of the two [[field]] tables"));
    }

    let declared = r.text_if_any(Key("column", "column = \"event_timestamp\""))?;
    let column = declared.clone().unwrap_or_else(|| name.clone());
    if declared.is_none() && !is_identifier(name.value) {
        let help = format!("add column = \"{}\" (a to z, 0 to 9 and _; the JSON key stays as it is)", snake(name.value));
        return Err(r.error("name", name.span, "is fine as a JSON key but not as a column", help));
    }
    identifier(r, "column", &column)?;
    let after_table = ["window_start", "window_end", "updated_at"];
    if RESERVED_COLUMNS.contains(&column.value) || after_table.contains(&column.value) {
        let problem = format!("`{}` is a column that Tributary adds itself", column.value);
        return Err(r.error("column", column.span, problem, format!("add column = \"event_{}\" or the like", column.value)));
    }
    if before.iter().any(|f| f.column == column.value) {
        let problem = format!("`{}` is already the column of another field", column.value);
        return Err(r.error("column", column.span, problem, "give one of the two another column = \"…\""));
    }

    let kind = kind(r, &r.text(Key("type", "type = \"text\""))?)?;
    let required = r.flag(Key("required", "required = true"))?;
    let allowed = match r.texts_if_any(Key("allowed", "allowed = [\"web\", \"mobile\"]"))? {
        None => Vec::new(),
        Some(list) => allowed(r, kind, &list)?,
    };
    let minimum = r.integer_if_any(Key("minimum", "minimum = 1"))?;
    if let Some(minimum) = &minimum
        && kind != Kind::Integer
    {
        return Err(r.error(
            "minimum",
            minimum.span.clone(),
            "only an integer has a minimum",
            "remove it, or write type = \"integer\"",
        ));
    }
    Ok(Field {
        name: name.value.to_owned(),
        column: column.value.to_owned(),
        kind,
        required,
        allowed,
        minimum: minimum.map(|m| m.value),
        symbol: false, // known once the windows are
    })
}

fn kind(r: &Reader<'_>, said: &Said<&str>) -> Result<Kind, DeclarationError> {
    let names = ["text", "integer", "number", "boolean", "timestamp"];
    Ok(match said.value {
        "text" => Kind::Text,
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "boolean" => Kind::Boolean,
        "timestamp" => Kind::Timestamp,
        other => {
            // What other systems call them.
            let meant = match other.to_lowercase().as_str() {
                "string" | "str" | "varchar" | "char" | "uuid" | "utf8" => "did you mean `text`? ".to_owned(),
                "int" | "int32" | "int64" | "i64" | "long" | "bigint" => "did you mean `integer`? ".to_owned(),
                "float" | "float64" | "f64" | "double" | "decimal" | "numeric" => "did you mean `number`? ".to_owned(),
                "bool" => "did you mean `boolean`? ".to_owned(),
                "datetime" | "date" | "time" | "timestamptz" => "did you mean `timestamp`? ".to_owned(),
                _ => did_you_mean(other, names),
            };
            let help = format!("{meant}types are {}", names.join(", "));
            return Err(r.error("type", said.span.clone(), format!("`{other}` is not a type"), help));
        }
    })
}

fn allowed(r: &Reader<'_>, kind: Kind, list: &Said<Vec<Said<&str>>>) -> Result<Vec<String>, DeclarationError> {
    if kind != Kind::Text {
        return Err(r.error(
            "allowed",
            list.span.clone(),
            "only a text has allowed values",
            "remove it, or write type = \"text\"",
        ));
    }
    if list.value.is_empty() {
        return Err(r.error("allowed", list.span.clone(), "allows nothing", "list the valid values, or remove it to allow all"));
    }
    if list.value.len() > MAX_ALLOWED {
        let help = format!("list at most {MAX_ALLOWED}, or remove it to allow all");
        return Err(r.error("allowed", list.span.clone(), format!("{} values", list.value.len()), help));
    }
    let mut values: Vec<String> = Vec::with_capacity(list.value.len());
    for said in &list.value {
        let value = said.value;
        if value.len() > MAX_NAME_BYTES || value.contains('\0') {
            let help = format!("write a text of at most {MAX_NAME_BYTES} bytes without NUL");
            return Err(r.error("allowed", said.span.clone(), "cannot be a value", help));
        }
        if values.iter().any(|v| v == value) {
            return Err(r.error("allowed", said.span.clone(), format!("`{value}` is listed twice"), "list it once"));
        }
        values.push(value.to_owned());
    }
    Ok(values)
}

/// The field that `id`, `event_time` or `key` names.
fn role(top: &Reader<'_>, key: Key, fields: &[Field]) -> Result<Said<usize>, DeclarationError> {
    let said = top.text(key)?;
    let at = position(top, key.0, &said, fields)?;
    Ok(Said { value: at, span: said.span })
}

/// The field of that name.
pub(super) fn position(r: &Reader<'_>, key: &str, said: &Said<&str>, fields: &[Field]) -> Result<usize, DeclarationError> {
    if let Some(at) = fields.iter().position(|f| f.name == said.value) {
        return Ok(at);
    }
    let names: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
    let meant = match fields.iter().find(|f| f.column == said.value) {
        // A person who thinks of the column.
        Some(f) => format!("did you mean `{}`, whose column that is? ", f.name),
        None => did_you_mean(said.value, names.iter().copied()),
    };
    let help = format!("{meant}the fields are {}", names.join(", "));
    Err(r.error(key, said.span.clone(), format!("no field is named `{}`", said.value), help))
}

fn serves(
    top: &Reader<'_>,
    key: &str,
    at: &Said<usize>,
    fields: &[Field],
    kinds: &[Kind],
    required: bool,
) -> Result<(), DeclarationError> {
    let Some(field) = fields.get(at.value) else { return Ok(()) };
    if !kinds.contains(&field.kind) {
        let names: Vec<&str> = kinds.iter().map(|k| k.as_str()).collect();
        let problem = format!("field `{}` is of type {}", field.name, field.kind.as_str());
        let help = format!("name a field of type {}", names.join(" or "));
        return Err(top.error(key, at.span.clone(), problem, help));
    }
    if required && !field.required {
        let problem = format!("field `{}` may be missing", field.name);
        return Err(top.error(key, at.span.clone(), problem, format!("add required = true to field {}", field.name)));
    }
    Ok(())
}

fn limits(r: &Reader<'_>) -> Result<Limits, DeclarationError> {
    r.only(&["max_event_bytes", "max_ahead", "max_age"])?;
    let mut limits = Limits::default();
    if let Some(said) = r.text_if_any(Key("max_event_bytes", "max_event_bytes = \"1 MiB\""))? {
        match units::bytes(said.value).filter(|n| (1..=MAX_EVENT_BYTES).contains(n)).and_then(|n| usize::try_from(n).ok()) {
            Some(n) => limits.max_event_bytes = n,
            None => {
                let help = format!("write {}, from 1 B to {} MiB", units::SIZES, MAX_EVENT_BYTES >> 20);
                return Err(r.error("max_event_bytes", said.span, format!("`{}` is not such a size", said.value), help));
            }
        }
    }
    let durations = [
        (Key("max_ahead", "max_ahead = \"10 min\""), &mut limits.max_ahead_ms),
        (Key("max_age", "max_age = \"400 days\""), &mut limits.max_age_ms),
    ];
    for (key, limit) in durations {
        if let Some(said) = r.text_if_any(key)? {
            match units::millis(said.value).filter(|n| (0..=MAX_LIMIT_MS).contains(n)) {
                Some(n) => *limit = n,
                None => {
                    let help = format!("write {}, at most 100000 days", units::DURATIONS);
                    return Err(r.error(key.0, said.span, format!("`{}` is not such a duration", said.value), help));
                }
            }
        }
    }
    Ok(limits)
}

/// Kafka's own rules.
fn kafka_topic(r: &Reader<'_>, said: &Said<&str>) -> Result<(), DeclarationError> {
    let t = said.value;
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if !t.is_empty() && t.len() <= 249 && t != "." && t != ".." && t.bytes().all(legal) {
        return Ok(());
    }
    let help = "write 1 to 249 of a to z, A to Z, 0 to 9, . _ -";
    Err(r.error("topic", said.span.clone(), format!("Kafka does not take `{t}` as a topic"), help))
}
