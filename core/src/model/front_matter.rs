//! The comments above a model's SELECT, and where the SELECT begins.
//!
//! Assumes only text. Promises a [`Model`] whose names are safe to quote, or one [`DeclarationError`]. A line `-- word: …` is a key of
//! the language and must be one that exists; a line that is indented by three or more spaces goes on with the key above; every other
//! comment is for people. Below the first line of the SELECT no line may look like a key: somebody would believe that it holds.

use std::fmt::Write as _;
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::{Materialize, Model, Severity, Test, check};
use crate::declare::names::{is_identifier, snake};
use crate::declare::{DeclarationError, Source, did_you_mean};

const KEYS: [&str; 7] = ["description", "materialize", "key", "publish", "hidden", "column", "test"];
/// PostgreSQL's table gets this one by itself.
const ADDED_COLUMN: &str = "updated_at";

/// One key, its lines put together.
#[derive(Debug)]
struct Entry {
    key: String,
    /// `source` of `column source:`, `warn` of `test warn:`.
    of: Option<String>,
    value: String,
    line: usize,
    /// Where the key is.
    at: Range<usize>,
    /// Where its first line of value is.
    value_at: Range<usize>,
}

/// The entries, and where the SELECT begins: byte and line.
type Read = (Vec<Entry>, usize, usize);

pub(super) fn parse(text: &str, file: &str) -> Result<Model, DeclarationError> {
    let source = Source { file, text };
    let name = stem(file);
    if !is_identifier(name) {
        let help = format!("name the file with a to z, 0 to 9 and _, for example {}.sql", snake(name));
        return Err(source.error(0..0, "file name", format!("`{name}` is not a name for a table"), help));
    }
    let (entries, sql_at, sql_line) = read(source)?;
    let sql = text.get(sql_at..).unwrap_or_default().trim_end();
    let sql = sql.strip_suffix(';').unwrap_or(sql).trim_end();
    if sql.trim().is_empty() {
        let end = text.len();
        return Err(source.error(end..end, "SELECT", "is missing", "write one SELECT below the comments"));
    }

    let mut model = Model {
        name: name.to_owned(),
        file: file.to_owned(),
        description: String::new(),
        materialize: Materialize::ByDay,
        key: Vec::new(),
        publish: None,
        hidden: false,
        columns: Vec::new(),
        tests: Vec::new(),
        sql: sql.to_owned(),
        sql_line,
        hash: String::new(),
    };
    let mut materialize = None;
    for (n, entry) in entries.iter().enumerate() {
        let repeated = entries.iter().take(n).any(|e| e.key == entry.key && e.of == entry.of);
        if repeated && entry.key != "test" {
            return Err(source.error(entry.at.clone(), entry.place(), "is written twice", "keep one of the two"));
        }
        let wrong = |problem: String, help: &str| source.error(entry.value_at.clone(), entry.place(), problem, help);
        if entry.value.is_empty() {
            return Err(source.error(entry.at.clone(), entry.place(), "is empty", "write what it is, or remove the line"));
        }
        match entry.key.as_str() {
            "description" => model.description.clone_from(&entry.value),
            "materialize" => materialize = Some(how(source, entry)?),
            "key" => model.key = names(source, entry)?,
            "publish" => model.publish = Some(publish(source, entry)?),
            "hidden" => {
                model.hidden = match entry.value.as_str() {
                    "true" => true,
                    "false" => false,
                    other => return Err(wrong(format!("`{other}` is neither true nor false"), "write hidden: true")),
                }
            }
            "column" => model.columns.push((entry.of.clone().unwrap_or_default(), entry.value.clone())),
            _ => model.tests.push(test(source, entry)?),
        }
    }
    let Some(materialize) = materialize else {
        let help = "add -- materialize: by_day (each day from that day's rows) or -- materialize: rollup (from other models)";
        return Err(source.error(0..0, "materialize", "is missing", help));
    };
    model.materialize = materialize;
    coherent(source, &entries, &model)?;
    model.hash = hash(&model);
    Ok(model)
}

/// `sql/models/gold/kpi_dau.sql` is `kpi_dau`.
fn stem(file: &str) -> &str {
    let last = file.rsplit(['/', '\\']).next().unwrap_or(file);
    last.strip_suffix(".sql").unwrap_or(last)
}

fn read(source: Source<'_>) -> Result<Read, DeclarationError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = false;
    let mut at = 0;
    let mut number = 0;
    for line in source.text.split_inclusive('\n') {
        number += 1;
        let body = line.trim();
        if let Some(comment) = body.strip_prefix("--") {
            let indent = comment.len() - comment.trim_start().len();
            let goes_on = open && (indent >= 3 || comment.starts_with('\t')) && !comment.trim().is_empty();
            match entries.last_mut().filter(|_| goes_on) {
                Some(above) => {
                    if !above.value.is_empty() {
                        above.value.push(' ');
                    }
                    above.value.push_str(comment.trim());
                }
                None => {
                    let found = entry(source, line, at, number)?;
                    open = found.is_some();
                    entries.extend(found);
                }
            }
        } else if !body.is_empty() {
            below(source, at, number)?;
            return Ok((entries, at, number));
        }
        at += line.len();
    }
    Ok((entries, at, number))
}

/// Refuses a key in the SELECT, which begins here.
fn below(source: Source<'_>, mut at: usize, first: usize) -> Result<(), DeclarationError> {
    let lines = source.text.get(at..).unwrap_or_default().split_inclusive('\n');
    for (line, number) in lines.zip(first..) {
        if line.trim_start().starts_with("--")
            && let Ok(Some(key)) = entry(source, line, at, number)
        {
            let help = "write it above the SELECT, where it counts; a comment for people has no colon after its first word";
            return Err(source.error(key.at.clone(), key.place(), "stands below the SELECT", help));
        }
        at += line.len();
    }
    Ok(())
}

/// The key on this line, if it is one.
fn entry(source: Source<'_>, line: &str, line_at: usize, number: usize) -> Result<Option<Entry>, DeclarationError> {
    let comment = line.find("--").map_or(0, |n| n + 2);
    let text = line.get(comment..).unwrap_or_default();
    let Some(colon) =
        text.find(':').filter(|n| text.get(n + 1..).is_some_and(|t| t.is_empty() || t.starts_with(char::is_whitespace)))
    else {
        return Ok(None);
    };
    let (head, value) = (text.get(..colon).unwrap_or_default(), text.get(colon + 1..).unwrap_or_default());
    let start = line_at + comment + (head.len() - head.trim_start().len());
    let at = start..start + head.trim().len();
    let value_start = line_at + comment + colon + 1 + (value.len() - value.trim_start().len());
    let value = value.trim();
    let value_at = value_start..value_start + value.len();
    let words: Vec<&str> = head.split_whitespace().collect();
    let (key, of) = match words.as_slice() {
        [key] if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => (*key, None),
        [key, of] if KEYS.contains(key) || !did_you_mean(key, ["column", "test"]).is_empty() => (*key, Some(*of)),
        _ => return Ok(None),
    };
    let refuse = |problem: &str, help: String| Err(source.error(at.clone(), head.trim(), problem, help));
    match (key, of) {
        ("column", None) => return refuse("does not say which", "write -- column event_date: what it holds".to_owned()),
        ("column", Some(name)) if !is_identifier(name) => {
            return refuse("is not the name of a column", format!("write -- column {}: what it holds", snake(name)));
        }
        ("test", Some(severity)) if !["warn", "fail"].contains(&severity) => {
            let meant = did_you_mean(severity, ["warn", "fail"]);
            return refuse("is not a severity", format!("{meant}write -- test warn: … or -- test fail: …"));
        }
        ("column" | "test", _) => {}
        (key, None) if KEYS.contains(&key) => {}
        (key, None) => {
            let meant = did_you_mean(key, KEYS);
            return refuse(
                "is not a key of the language",
                format!("{meant}the keys are {}; a comment for people has no colon after its first word", KEYS.join(", ")),
            );
        }
        (key, Some(_)) => {
            let meant = did_you_mean(key, ["column", "test"]);
            return refuse("is not a key of the language", format!("{meant}write -- column name: … or -- test warn: …"));
        }
    }
    let of = of.map(str::to_owned);
    Ok(Some(Entry { key: key.to_owned(), of, value: value.to_owned(), line: number, at, value_at }))
}

impl Entry {
    fn place(&self) -> String {
        match &self.of {
            Some(of) => format!("{} {of}", self.key),
            None => self.key.clone(),
        }
    }
}

fn how(source: Source<'_>, entry: &Entry) -> Result<Materialize, DeclarationError> {
    match entry.value.as_str() {
        "by_day" => Ok(Materialize::ByDay),
        "rollup" => Ok(Materialize::Rollup),
        other => {
            let help = format!(
                "{}write by_day (each day from that day's rows) or rollup (the whole table, from other models)",
                did_you_mean(other, ["by_day", "rollup"])
            );
            Err(source.error(entry.value_at.clone(), "materialize", format!("`{other}` is not a way to keep a table"), help))
        }
    }
}

fn names(source: Source<'_>, entry: &Entry) -> Result<Vec<String>, DeclarationError> {
    let mut names: Vec<String> = Vec::new();
    for name in entry.value.split(',').map(str::trim) {
        let wrong = |problem: &str| {
            let problem = format!("`{name}` {problem}");
            Err(source.error(
                entry.value_at.clone(),
                entry.place(),
                problem,
                "write columns with commas: key: event_date, source",
            ))
        };
        if !is_identifier(name) {
            return wrong("is not the name of a column");
        }
        if names.iter().any(|n| n == name) {
            return wrong("is written twice");
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn publish(source: Source<'_>, entry: &Entry) -> Result<String, DeclarationError> {
    let table = entry.value.strip_prefix("gold.").unwrap_or(&entry.value);
    if is_identifier(table) {
        return Ok(table.to_owned());
    }
    let problem = format!("`{}` is not a table of PostgreSQL's schema gold", entry.value);
    Err(source.error(entry.value_at.clone(), "publish", problem, "write publish: gold.daily_active_users"))
}

fn test(source: Source<'_>, entry: &Entry) -> Result<Test, DeclarationError> {
    let severity = if entry.of.as_deref() == Some("warn") { Severity::Warn } else { Severity::Fail };
    let check = check::parse(&entry.value)
        .map_err(|(problem, help)| source.error(entry.value_at.clone(), entry.place(), problem, help))?;
    Ok(Test { check, severity, line: entry.line, text: entry.value.clone() })
}

/// What one key says of another.
fn coherent(source: Source<'_>, entries: &[Entry], model: &Model) -> Result<(), DeclarationError> {
    let at = |key: &str| entries.iter().find(|e| e.key == key).map_or(0..0, |e| e.at.clone());
    if model.publish.is_some() && model.key.is_empty() {
        let help = "add -- key: and the columns that make a row unique: PostgreSQL's table gets them as its primary key";
        return Err(source.error(at("publish"), "publish", "needs a key", help));
    }
    if model.publish.is_some() && model.hidden {
        return Err(source.error(at("hidden"), "hidden", "is said of a published table", "remove one of the two lines"));
    }
    if let Some(entry) = entries.iter().find(|e| e.key == "column" && e.of.as_deref() == Some(ADDED_COLUMN))
        && model.publish.is_some()
    {
        let help = "choose another name: the published table gets updated_at by itself";
        return Err(source.error(entry.at.clone(), entry.place(), "is a column that Tributary adds itself", help));
    }
    Ok(())
}

/// Line ends and blanks at their ends are an editor's business: they decide nothing.
fn hash(model: &Model) -> String {
    let mut hasher = Sha256::new();
    for line in model.sql.lines() {
        hasher.update(line.trim_end());
        hasher.update("\n");
    }
    let how = match model.materialize {
        Materialize::ByDay => "by_day",
        Materialize::Rollup => "rollup",
    };
    hasher.update(format!("\0{how}\0{}", model.key.join(",")));
    hexadecimal(hasher)
}

impl Model {
    /// Identifies the tests: a table that passed others has to pass these.
    pub fn tests_hash(&self) -> String {
        let mut hasher = Sha256::new();
        for test in &self.tests {
            hasher.update(format!("{:?} {}\n", test.severity, test.text));
        }
        hexadecimal(hasher)
    }
}

fn hexadecimal(hasher: Sha256) -> String {
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::Check;
    use super::*;

    const DAU: &str = "-- description: Distinct users per day
-- materialize: by_day
-- key: event_date
-- publish: gold.daily_active_users
--
-- Whatever else there is to say. For people, not for the machine
-- column event_date: the UTC day
-- column dau_count: distinct users
--    with at least one valid event
-- test: not_null(event_date, dau_count)
-- test warn: row_count(min=1)
-- test: SELECT * FROM gold.kpi_dau
--       WHERE dau_count < 0

SELECT event_date, COUNT(DISTINCT user_id) AS dau_count
FROM silver.user_events -- test: this is a comment of the SELECT
GROUP BY event_date;
";

    fn parse(text: &str) -> Result<Model, DeclarationError> {
        Model::parse(text, "sql/models/gold/kpi_dau.sql")
    }

    #[test]
    fn everything_above_the_select_is_read() {
        let model = parse(DAU).unwrap();
        assert_eq!((model.name.as_str(), model.table().as_str()), ("kpi_dau", "gold.kpi_dau"));
        assert_eq!(model.description, "Distinct users per day");
        assert_eq!((model.materialize, model.hidden), (Materialize::ByDay, false));
        assert_eq!((model.key, model.publish), (vec!["event_date".to_owned()], Some("daily_active_users".to_owned())));
        let columns = [("event_date", "the UTC day"), ("dau_count", "distinct users with at least one valid event")];
        assert_eq!(model.columns, columns.map(|(a, b)| (a.to_owned(), b.to_owned())));
        let tests: Vec<(usize, Severity)> = model.tests.iter().map(|t| (t.line, t.severity)).collect();
        assert_eq!(tests, [(10, Severity::Fail), (11, Severity::Warn), (12, Severity::Fail)]);
        assert_eq!(model.tests[2].check, Check::Sql("SELECT * FROM gold.kpi_dau WHERE dau_count < 0".to_owned()));
        assert_eq!(model.sql_line, 15);
        assert!(model.sql.starts_with("SELECT event_date") && model.sql.ends_with("GROUP BY event_date"), "{}", model.sql);
    }

    #[test]
    fn what_decides_the_rows_decides_the_hash() {
        let hash = parse(DAU).unwrap().hash;
        assert_eq!(hash.len(), 64);
        for same in [
            DAU.replace("Distinct users", "Users"),
            DAU.replace("-- test warn: row_count(min=1)\n", ""),
            DAU.replace('\n', "\r\n"),
            DAU.replace("GROUP BY event_date;", "GROUP BY event_date  \n"),
            DAU.replace("daily_active_users", "dau"),
        ] {
            assert_eq!(parse(&same).unwrap().hash, hash, "{same}");
        }
        for other in [
            DAU.replace("COUNT(DISTINCT user_id)", "COUNT(user_id)"),
            DAU.replace("by_day", "rollup"),
            DAU.replace("key: event_date", "key: event_date, dau_count"),
        ] {
            assert_ne!(parse(&other).unwrap().hash, hash, "{other}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_to_write() {
        for (from, to, line, says) in [
            ("-- materialize: by_day", "-- materialise: by_day", 2, "did you mean `materialize`?"),
            ("-- materialize: by_day", "-- materialize: daily", 2, "`daily` is not a way to keep a table"),
            ("-- materialize: by_day", "-- by_day", 1, "add -- materialize: by_day"),
            ("-- key: event_date\n", "", 3, "needs a key"),
            ("-- key: event_date", "-- key: event_date,", 3, "`` is not the name of a column"),
            ("-- key: event_date", "-- key:", 3, "is empty"),
            ("-- key: event_date", "-- key: event_date, event_date", 3, "is written twice"),
            ("gold.daily_active_users", "public.dau", 4, "`public.dau` is not a table of PostgreSQL's schema gold"),
            ("--\n", "-- hidden: yes\n", 5, "`yes` is neither true nor false"),
            ("--\n", "-- hidden: true\n", 5, "is said of a published table"),
            ("--\n", "-- description: again\n", 5, "is written twice"),
            ("-- column event_date", "-- column", 7, "does not say which"),
            ("-- column event_date", "-- column eventDate", 7, "write -- column event_date"),
            ("-- column event_date", "-- colum event_date", 7, "did you mean `column`?"),
            ("-- column event_date", "-- column updated_at", 7, "is a column that Tributary adds itself"),
            ("-- test warn:", "-- test wran:", 11, "did you mean `warn`?"),
            ("row_count(min=1)", "row_count(1)", 11, "write row_count(min=1)"),
            ("-- test: not_null(event_date, dau_count)", "-- test: notnull(a)", 10, "did you mean `not_null`?"),
            ("FROM silver.user_events", "FROM silver.user_events\n  -- test: not_null(a)", 17, "stands below the SELECT"),
        ] {
            assert!(DAU.contains(from), "{from}");
            let error = parse(&DAU.replacen(from, to, 1)).unwrap_err();
            assert_eq!(error.line(), line, "{from} -> {to}: {error}");
            assert!(error.to_string().contains(says), "{from} -> {to}: {error}");
        }
        let error = Model::parse("-- materialize: by_day\n;\n", "a.sql").unwrap_err();
        assert!(error.to_string().contains("write one SELECT"), "{error}");
        let error = Model::parse(DAU, "gold/My KPI.sql").unwrap_err();
        assert!(error.to_string().contains("for example my_kpi.sql"), "{error}");
    }

    #[test]
    fn comments_in_the_select_are_for_people() {
        let text = DAU.replace("FROM silver", "-- todo: with or without robots?\n-- every event\nFROM silver");
        assert_eq!(parse(&text).unwrap().tests.len(), parse(DAU).unwrap().tests.len());
    }

    #[test]
    fn an_error_inside_the_select_points_into_the_file() {
        let error = parse(DAU).unwrap().error_in_sql((2, 6, 18), "there is no table `silver.user_events`", "help");
        assert_eq!(error.line(), 16);
        let text = error.to_string();
        assert!(text.starts_with("sql/models/gold/kpi_dau.sql, line 16: gold.kpi_dau: there is no table"), "{text}");
        assert!(text.contains("\n16 | FROM silver.user_events"), "{text}");
        assert!(text.contains("\n   |      ^^^^^^^^^^^^^^^^^^\n"), "{text}");
    }
}
