//! The migrations that are compiled in, and what a database has of them.
//!
//! Reads only: whoever wants them run calls [`super::migrate`].

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::migrate::Migrator;

use super::ServingError;

/// Those of this program.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("../sql/migrations");

/// How a database's schema stands to this program's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Migrations that it has, by their numbers.
    pub applied: Vec<i64>,
    /// Of this program, and not run there yet.
    pub missing: Vec<String>,
    /// Run there, and unknown to this program: it is older than what made them.
    pub newer: Vec<i64>,
    /// Run there with another text than this program's.
    pub changed: Vec<String>,
    /// Begun there and not finished.
    pub unfinished: Vec<i64>,
}

/// Compares the database's list with ours; none: it has never been migrated.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn standing(connection: &mut PgConnection) -> Result<Option<Standing>, ServingError> {
    let doing = || ServingError::new("reading _sqlx_migrations");
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(doing())?;
    if !there {
        return Ok(None);
    }
    let rows: Vec<(i64, bool, Vec<u8>)> =
        sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version")
            .fetch_all(connection)
            .await
            .map_err(doing())?;
    let ours: BTreeMap<i64, (String, &[u8])> =
        MIGRATIONS.iter().map(|m| (m.version, (format!("{} {}", m.version, m.description), &*m.checksum))).collect();
    Ok(Some(compare(&ours, &rows)))
}

fn compare(ours: &BTreeMap<i64, (String, &[u8])>, rows: &[(i64, bool, Vec<u8>)]) -> Standing {
    let mut standing = Standing::default();
    for (version, success, checksum) in rows {
        standing.applied.push(*version);
        if !success {
            standing.unfinished.push(*version);
        }
        match ours.get(version) {
            None => standing.newer.push(*version),
            Some((name, text)) if *text != checksum.as_slice() => standing.changed.push(name.clone()),
            Some(_) => {}
        }
    }
    let missing = ours.iter().filter(|(version, _)| !standing.applied.contains(version));
    standing.missing = missing.map(|(_, (name, _))| name.clone()).collect();
    standing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_database_lacks_and_what_it_has_more_is_told_apart() {
        let ours = BTreeMap::from([(1, ("1 ops".to_owned(), &b"a"[..])), (2, ("2 batch".to_owned(), &b"b"[..]))]);
        let rows = [(1, true, b"x".to_vec()), (3, false, b"c".to_vec())];
        let found = compare(&ours, &rows);
        assert_eq!(found.applied, [1, 3]);
        assert_eq!(found.missing, ["2 batch"]);
        assert_eq!(found.newer, [3]);
        assert_eq!(found.changed, ["1 ops"]);
        assert_eq!(found.unfinished, [3]);
    }

    #[test]
    fn every_file_of_migrations_is_compiled_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sql/migrations");
        assert_eq!(MIGRATIONS.iter().count(), std::fs::read_dir(folder).unwrap().count());
    }
}
