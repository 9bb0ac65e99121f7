//! The table as it is in PostgreSQL, and what a model's columns ask of it.
//!
//! A column more is added, and the rows stay until they are overwritten. Anything else (a column less, another type, another key)
//! empties the table and changes it in place: grants, comments and whatever else hangs on the table stay; a view over a column
//! that goes is PostgreSQL's refusal, which is passed on. Readers see none of it before the new rows are there.

use sqlx::{Executor, PgConnection};

use super::stage::Staged;
use super::{PublishError, Scope, Table, copy};
use crate::serving::ServingError;
use crate::serving::sql::gold::{Column, Shape};

/// How a table and a model fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fit {
    exists: bool,
    updated_at: bool,
    /// Columns that the model has and the table has not, or has with another type.
    add: Vec<Column>,
    /// Columns that the table has and the model has not, or has with another type.
    drop: Vec<String>,
    /// The key is another one. Its constraint, if there is one.
    other_key: bool,
    constraint: Option<String>,
}

impl Fit {
    /// Compares what is there with what is wanted.
    pub(super) async fn of(connection: &mut PgConnection, table: &Table) -> Result<Self, PublishError> {
        let doing = || ServingError::new("looking at a table of schema gold");
        let wanted = columns(table)?;
        let there: Option<String> = sqlx::query_scalar(
            "SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'gold' AND c.relname = $1",
        )
        .bind(&table.name)
        .fetch_optional(&mut *connection)
        .await
        .map_err(doing())?;
        match there.as_deref() {
            None => return Ok(Self::missing(wanted)),
            Some("r" | "p") => {}
            Some(_) => {
                return Err(refused(table, "is there and is no table; rename it, or publish the model under another name"));
            }
        }
        let found: Vec<(String, String)> = sqlx::query_as(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
             JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'gold' AND c.relname = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
        )
        .bind(&table.name)
        .fetch_all(&mut *connection)
        .await
        .map_err(doing())?;
        let key: Option<(String, Vec<String>)> = sqlx::query_as(
            "SELECT k.conname::text, array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS p(num, place) \
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.num ORDER BY p.place) \
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'gold' AND c.relname = $1 AND k.contype = 'p'",
        )
        .bind(&table.name)
        .fetch_optional(connection)
        .await
        .map_err(doing())?;
        Ok(Self::compare(wanted, found, key, &table.key))
    }

    fn missing(add: Vec<Column>) -> Self {
        Self { exists: false, updated_at: true, add, drop: Vec::new(), other_key: false, constraint: None }
    }

    fn compare(
        wanted: Vec<Column>,
        found: Vec<(String, String)>,
        key: Option<(String, Vec<String>)>,
        wanted_key: &[String],
    ) -> Self {
        let (constraint, key) = key.map_or((None, Vec::new()), |(name, key)| (Some(name), key));
        let updated_at = found.iter().any(|(name, _)| name == "updated_at");
        let other = |name: &str| wanted.iter().all(|w| w.name != name);
        let changed = |name: &str, kind: &str| wanted.iter().any(|w| w.name == name && w.kind != kind);
        let drop: Vec<String> = found
            .iter()
            .filter(|(name, kind)| name != "updated_at" && (other(name) || changed(name, kind)))
            .map(|(name, _)| name.clone())
            .collect();
        let kept = |name: &String| found.iter().any(|(f, _)| f == name) && !drop.contains(name);
        let other_key = key != wanted_key || key.iter().any(|k| drop.contains(k));
        let add = wanted.into_iter().filter(|w| !kept(&w.name)).collect();
        Self { exists: true, updated_at, add, drop, other_key, constraint }
    }

    fn is_rebuilt(&self) -> bool {
        !self.drop.is_empty() || self.other_key
    }

    /// Why days alone would not do.
    pub(super) fn needs_all(&self) -> Option<String> {
        if !self.exists {
            return Some("is not there".to_owned());
        }
        let names = self.add.iter().map(|c| c.name.as_str()).chain(self.drop.iter().map(String::as_str));
        let mut names: Vec<&str> = names.collect();
        names.dedup();
        match (names.is_empty(), self.other_key) {
            (true, false) => None,
            (true, true) => Some("has another key".to_owned()),
            (false, _) => Some(format!("gets other columns ({})", names.join(", "))),
        }
    }

    /// Makes or changes the table.
    pub(super) async fn apply(&self, transaction: &mut PgConnection, staged: &Staged) -> Result<(), PublishError> {
        if let (Some(why), Scope::Days(_)) = (self.needs_all(), &staged.scope) {
            return Err(PublishError::NeedsAll { table: staged.table.name.clone(), why });
        }
        let shape = &staged.shape;
        let add: Vec<&Column> = self.add.iter().collect();
        let drop: Vec<&str> = self.drop.iter().map(String::as_str).collect();
        let mut statements = match (self.exists, self.is_rebuilt()) {
            (false, _) => shape.create(),
            (true, false) => shape.add(&add),
            // A key whose column goes is gone with it, so it goes first.
            (true, true) => shape.rebuild(&drop, &add, self.constraint.as_deref()),
        };
        if !self.updated_at {
            statements.push(shape.add_updated_at());
        }
        for statement in statements {
            transaction.execute(statement).await.map_err(|error| refusal(&staged.table, error))?;
        }
        Ok(())
    }
}

/// The columns that a model wants.
pub(super) fn columns(table: &Table) -> Result<Vec<Column>, PublishError> {
    let mut columns = Vec::with_capacity(table.schema.fields().len());
    for field in table.schema.fields() {
        if field.name() == "updated_at" {
            return Err(refused(
                table,
                "the model has a column updated_at, which every published table has by itself; rename it",
            ));
        }
        let Some(kind) = copy::kind(field.data_type()) else {
            let why = format!(
                "column {} is {}, for which PostgreSQL has no type; cast it in the model",
                field.name(),
                field.data_type()
            );
            return Err(refused(table, why));
        };
        columns.push(Column { name: field.name().clone(), kind: kind.to_owned() });
    }
    if table.key.is_empty() {
        return Err(refused(table, "the model has no key; add a line `-- key: …`"));
    }
    if let Some(key) = table.key.iter().find(|key| columns.iter().all(|c| c.name != **key)) {
        return Err(refused(table, format!("the key names {key}, which the model does not select")));
    }
    Ok(columns)
}

/// The table's shape, with rows staged under that name.
pub(super) fn shape(table: &Table, staged: String) -> Result<Shape, PublishError> {
    Ok(Shape { table: table.name.clone(), columns: columns(table)?, key: table.key.clone(), staged })
}

pub(super) fn refused(table: &Table, why: impl Into<String>) -> PublishError {
    PublishError::Refused { table: table.name.clone(), why: why.into() }
}

/// What PostgreSQL says of keys and of things that depend on a column is for a person; the rest is its trouble.
pub(super) fn refusal(table: &Table, error: sqlx::Error) -> PublishError {
    let said = error.as_database_error().and_then(|e| e.try_downcast_ref::<sqlx::postgres::PgDatabaseError>());
    let detail = said.and_then(|e| e.detail()).unwrap_or_default();
    match said.map(|e| (e.code(), e.message())) {
        Some(("23505", _)) => refused(table, format!("the model has two rows of one key: {detail}")),
        Some(("23502", message)) => refused(table, format!("a column of the key is null: {message}")),
        Some(("2BP01", message)) => refused(table, format!("{message}: {detail}. Drop that, or keep the column in the model")),
        _ => ServingError::new("publishing")(error).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str) -> Column {
        Column { name: name.into(), kind: kind.into() }
    }

    fn fit(found: &[(&str, &str)], key: &[&str]) -> Fit {
        let wanted = vec![column("event_date", "date"), column("page", "text"), column("n", "bigint")];
        let found = found.iter().map(|(n, k)| ((*n).to_owned(), (*k).to_owned())).collect();
        let key = (!key.is_empty()).then(|| ("pk".to_owned(), key.iter().map(|k| (*k).to_owned()).collect()));
        Fit::compare(wanted, found, key, &["event_date".to_owned(), "page".to_owned()])
    }

    const TIME: (&str, &str) = ("updated_at", "timestamp with time zone");

    #[test]
    fn what_fits_needs_nothing() {
        let fits = fit(&[("n", "bigint"), ("event_date", "date"), TIME, ("page", "text")], &["event_date", "page"]);
        assert_eq!((fits.needs_all(), fits.is_rebuilt(), fits.add.len()), (None, false, 0));
    }

    #[test]
    fn a_column_more_is_added_and_the_rest_stays() {
        let more = fit(&[("event_date", "date"), ("page", "text"), TIME], &["event_date", "page"]);
        assert_eq!((more.is_rebuilt(), more.add.clone()), (false, vec![column("n", "bigint")]));
        assert_eq!(more.needs_all().unwrap(), "gets other columns (n)");
    }

    #[test]
    fn another_type_a_column_less_or_another_key_rebuilds() {
        let both = ["event_date", "page"];
        let kind = fit(&[("event_date", "date"), ("page", "text"), ("n", "double precision"), TIME], &both);
        assert_eq!(
            (kind.drop.clone(), kind.add.clone(), kind.is_rebuilt()),
            (vec!["n".to_owned()], vec![column("n", "bigint")], true)
        );
        let less = fit(&[("event_date", "date"), ("page", "text"), ("n", "bigint"), ("old", "text"), TIME], &both);
        assert_eq!((less.drop.clone(), less.add.len(), less.is_rebuilt()), (vec!["old".to_owned()], 0, true));
        let key = fit(&[("event_date", "date"), ("page", "text"), ("n", "bigint"), TIME], &["event_date"]);
        assert!(key.is_rebuilt() && key.needs_all().unwrap() == "has another key");
        let no_key = fit(&[("event_date", "date"), ("page", "text"), ("n", "bigint"), TIME], &[]);
        assert!(no_key.is_rebuilt() && no_key.constraint.is_none());
    }
}
