//! What PostgreSQL says of runs and of what is published, read at once.

use anyhow::Result;
use sqlx::{PgConnection, Row};
use tributary_actors::serving::history::{self, Which};
use tributary_actors::serving::lease;

use super::{Counted, Known, Maker};
use crate::inspect::{behind, tested};

/// Runs that are looked through for the last one of a job.
const RUNS: u32 = 50;

impl Known {
    /// Everything that the way of a number needs; these are the names of the models.
    pub(crate) async fn read(connection: &mut PgConnection, models: &[String]) -> Result<Self> {
        Ok(Self {
            published: behind::published(connection).await?,
            schedules: history::schedules(connection).await?,
            lease: lease::held(connection, lease::BATCH).await?,
            runs: history::runs(connection, &Which { limit: RUNS, ..Which::default() }).await?,
            tests: tested::last(connection, models).await?,
            tables: tables(connection).await?,
            makers: makers(connection).await?,
        })
    }
}

/// Rows and newest day of every table in `gold`. The names are data, so PostgreSQL itself puts the statements together and quotes them.
async fn tables(connection: &mut PgConnection) -> Result<Vec<Counted>> {
    let rows = sqlx::query(
        "SELECT table_name::text AS name, \
         (xpath('/row/rows/text()', counted))[1]::text::bigint AS rows, (xpath('/row/day/text()', counted))[1]::text AS day \
         FROM (SELECT t.table_name, query_to_xml(format('SELECT count(*) AS rows, %s AS day FROM gold.%I', \
             CASE WHEN EXISTS (SELECT FROM information_schema.columns c WHERE c.table_schema = 'gold' \
                 AND c.table_name = t.table_name AND c.column_name = 'event_date') THEN 'max(event_date)' ELSE 'NULL' END, \
             t.table_name), false, true, '') AS counted \
           FROM information_schema.tables t WHERE t.table_schema = 'gold' AND t.table_type = 'BASE TABLE') all_tables",
    );
    let rows = rows.fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok(Counted { name: row.try_get("name")?, rows: row.try_get("rows")?, newest_day: row.try_get("day")? }))
        .collect()
}

/// The newest run that wrote each version of each table, over the tasks of the newest runs.
async fn makers(connection: &mut PgConnection) -> Result<Vec<Maker>> {
    let rows = sqlx::query(
        "SELECT v.key AS name, v.value::bigint AS version, min(t.run_id) AS run \
         FROM (SELECT run_id, versions_out FROM ops.tasks WHERE state = 'succeeded' AND versions_out IS NOT NULL \
             ORDER BY id DESC LIMIT 2000) t, jsonb_each_text(t.versions_out) v \
         WHERE v.value ~ '^[0-9]{1,18}$' GROUP BY v.key, v.value",
    );
    let rows = rows.fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let version: i64 = row.try_get("version")?;
            Ok(Maker { table: row.try_get("name")?, version: u64::try_from(version)?, run: row.try_get("run")? })
        })
        .collect()
}
