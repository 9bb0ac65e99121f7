//! What may stand behind `-- test:`.
//!
//! Assumes one line of text. Promises a [`Check`] whose names are identifiers, or what to write instead.

use super::Check;
use crate::declare::did_you_mean;
use crate::declare::names::is_identifier;

/// What is wrong, and what to write instead.
pub(super) type Wrong = (String, String);

const EXAMPLES: [(&str, &str); 5] = [
    ("unique", "unique(event_date)"),
    ("not_null", "not_null(event_date, dau_count)"),
    ("accepted_values", "accepted_values(source, web, mobile)"),
    ("relationships", "relationships(user_id, gold.dim_users.user_id)"),
    ("row_count", "row_count(min=1)"),
];

/// Reads one test.
pub(super) fn parse(text: &str) -> Result<Check, Wrong> {
    let first: String = text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    if first.eq_ignore_ascii_case("select") || first.eq_ignore_ascii_case("with") {
        return Ok(Check::Sql(text.to_owned()));
    }
    let Some((name, example)) = EXAMPLES.into_iter().find(|(name, _)| *name == first) else {
        let names: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
        let help = format!(
            "{}tests are {} and a SELECT that must return no row",
            did_you_mean(&first, names.iter().copied()),
            names.join(", ")
        );
        return Err((format!("`{first}` is not a test"), help));
    };
    let write = || format!("write {example}");
    let inside = text.get(first.len()..).unwrap_or_default().trim().strip_prefix('(').and_then(|t| t.strip_suffix(')'));
    let arguments = inside.and_then(arguments).ok_or_else(|| (format!("`{name}` needs its arguments in brackets"), write()))?;
    if arguments.iter().any(String::is_empty) && name != "accepted_values" {
        return Err(("an argument is empty".to_owned(), write()));
    }
    let column = |text: &str| {
        if is_identifier(text) { Ok(text.to_owned()) } else { Err((format!("`{text}` is not the name of a column"), write())) }
    };
    Ok(match (name, arguments.as_slice()) {
        ("unique", columns) if !columns.is_empty() => Check::Unique(columns.iter().map(|c| column(c)).collect::<Result<_, _>>()?),
        ("not_null", columns) if !columns.is_empty() => {
            Check::NotNull(columns.iter().map(|c| column(c)).collect::<Result<_, _>>()?)
        }
        ("accepted_values", [of, values @ ..]) if !values.is_empty() => {
            Check::AcceptedValues { column: column(of)?, values: values.to_vec() }
        }
        ("relationships", [of, to]) => {
            let parts: Vec<&str> = to.split('.').collect();
            let [layer @ ("gold" | "silver"), table, to_column] = parts.as_slice() else {
                return Err((format!("`{to}` is not a column of a table"), write()));
            };
            if !is_identifier(table) {
                return Err((format!("`{table}` is not the name of a table"), write()));
            }
            Check::Relationships { column: column(of)?, to_table: format!("{layer}.{table}"), to_column: column(to_column)? }
        }
        ("row_count", bounds) if !bounds.is_empty() => row_count(bounds).ok_or_else(|| {
            (format!("`{}` are not bounds", bounds.join(", ")), "write row_count(min=1), row_count(max=1000) or both".to_owned())
        })?,
        _ => return Err((format!("`{name}` needs other arguments"), write())),
    })
}

fn row_count(bounds: &[String]) -> Option<Check> {
    let (mut min, mut max) = (None, None);
    for bound in bounds {
        let (side, number) = bound.split_once('=')?;
        let number: u64 = number.trim().parse().ok()?;
        let side = match side.trim() {
            "min" => &mut min,
            "max" => &mut max,
            _ => return None,
        };
        if side.replace(number).is_some() {
            return None;
        }
    }
    let contradict = min.zip(max).is_some_and(|(min, max)| min > max);
    (!contradict).then_some(Check::RowCount { min, max })
}

/// Splits at commas; what is in single or double quotes is taken as it is, a doubled quote stands for one.
fn arguments(text: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Some(all);
    }
    loop {
        let (argument, after) = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => quoted(rest.get(1..)?, quote)?,
            _ => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest.get(..end)?.trim().to_owned(), rest.get(end..)?)
            }
        };
        all.push(argument);
        match after.trim_start() {
            "" => return Some(all),
            more => rest = more.strip_prefix(',')?.trim_start(),
        }
    }
}

fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            value.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            value.push(quote);
        } else {
            return Some((value, text.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn every_kind_of_test_reads() {
        assert_eq!(parse("unique(event_date, source)"), Ok(Check::Unique(texts(&["event_date", "source"]))));
        assert_eq!(parse("not_null( a )"), Ok(Check::NotNull(texts(&["a"]))));
        assert_eq!(
            parse("accepted_values(source, web, 'mo''bile, old', \"\")"),
            Ok(Check::AcceptedValues { column: "source".into(), values: texts(&["web", "mo'bile, old", ""]) })
        );
        assert_eq!(
            parse("relationships(user_id, gold.dim_users.user_id)"),
            Ok(Check::Relationships { column: "user_id".into(), to_table: "gold.dim_users".into(), to_column: "user_id".into() })
        );
        assert_eq!(parse("row_count(min=1, max = 5)"), Ok(Check::RowCount { min: Some(1), max: Some(5) }));
        assert_eq!(parse("select 1"), Ok(Check::Sql("select 1".into())));
        assert_eq!(parse("WITH a AS (SELECT 1) SELECT * FROM a"), Ok(Check::Sql("WITH a AS (SELECT 1) SELECT * FROM a".into())));
    }

    #[test]
    fn what_is_no_test_is_refused_with_an_example() {
        for (text, problem, help) in [
            ("uniqe(a)", "`uniqe` is not a test", "did you mean `unique`?"),
            ("unique", "needs its arguments in brackets", "unique(event_date)"),
            ("unique()", "needs other arguments", "unique(event_date)"),
            ("unique(a b)", "`a b` is not the name of a column", "unique(event_date)"),
            ("not_null(a,)", "an argument is empty", "not_null("),
            ("accepted_values(source)", "needs other arguments", "accepted_values(source, web, mobile)"),
            ("accepted_values(source, 'open)", "needs its arguments in brackets", "accepted_values("),
            ("relationships(a, bronze.b.c)", "is not a column of a table", "gold.dim_users.user_id"),
            ("row_count(5)", "are not bounds", "row_count(min=1)"),
            ("row_count(min=2, max=1)", "are not bounds", "row_count(min=1)"),
            ("DELETE FROM gold.a", "`DELETE` is not a test", "a SELECT that must return no row"),
        ] {
            let (said, advice) = parse(text).unwrap_err();
            assert!(said.contains(problem), "{text}: {said}");
            assert!(advice.contains(help), "{text}: {advice}");
        }
    }
}
