//! What jobs came to: runs that failed and that nothing has mended since, and tables that are not published because a test does not hold.
//!
//! One connection for both. Reads only.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tributary_actors::serving;
use tributary_core::model::Model;

use super::{Check, Finding, Group, Patient, check};
use crate::cli::declared;
use crate::inspect::tables::front_matter;
use crate::inspect::{failed, tested};
use crate::words;

/// How long each may take, with connecting.
const LIMIT: Duration = Duration::from_secs(6);
const RUNS: &str = "docs/TROUBLESHOOTING.md#tributaryrunfailed";
const TESTS: &str = "docs/TROUBLESHOOTING.md#tributarymodeltestfailed";

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let Some(url) = &patient.settings.serving.database_url else { return Vec::new() };
    // One that does not answer is said where PostgreSQL is looked at.
    let Ok(mut connection) = serving::connect(url).await else { return Vec::new() };
    let runs = async { known(runs(patient, &mut connection).await) };
    let runs = check(Group::Postgresql, "runs", LIMIT, runs).await;
    let models = front_matter(&patient.settings);
    let tests = async { known(of_tests(&models, &mut connection).await) };
    let tests = check(Group::Postgresql, "tests", LIMIT, tests).await;
    let _ = tokio::time::timeout(LIMIT, connection.close()).await;
    vec![runs, tests]
}

/// A schema of another version has no such tables, which is said where the schema is looked at.
fn known(finding: anyhow::Result<Finding>) -> Finding {
    finding.unwrap_or_else(|error| Finding::skipped(format!("not known: {error:#}")))
}

async fn runs(patient: &Patient, connection: &mut PgConnection) -> anyhow::Result<Finding> {
    let folder = patient.settings.batch.jobs_dir.as_ref();
    let declared = declared::each_job(folder, patient.loaded.is_default("batch.jobs_dir"))?;
    let unmended = failed::unmended(connection, &declared.jobs).await?;
    let Some(first) = unmended.first() else {
        return Ok(Finding::ok("no run that failed is left as it is"));
    };
    let found: Vec<String> = unmended.iter().map(failed::Unmended::words).collect();
    let fix = match first.by_person {
        true => format!("tributary runs show {}, and once it is mended {}", first.run.id, first.retry()),
        false => first.retry(),
    };
    Ok(Finding::warn(found.join("; "), fix).docs(RUNS))
}

async fn of_tests(models: &[Model], connection: &mut PgConnection) -> anyhow::Result<Finding> {
    let results = tested::last(connection, &tested::names(models)).await?;
    let broken: Vec<_> = tested::broken(&results, models).collect();
    let Some(first) = broken.first() else {
        let held = words::plural(results.iter().filter(|test| test.passed).count() as u64, "test");
        return Ok(Finding::ok(format!("{held} of the models held when they were run last")));
    };
    let found: Vec<String> = broken.iter().map(|test| tested::consequence(test)).collect();
    let fix = format!("tributary runs show {} shows the rows; correct the model or its source, then run the job", first.run_id);
    Ok(Finding::warn(found.join("; "), fix).docs(TESTS))
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::machine::tests::patient;
    use super::*;

    #[tokio::test]
    async fn without_postgresql_there_is_nothing_to_say() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(checks(&patient(&[])).await.is_empty());
        assert!(checks(&patient(&[("DATABASE_URL", &format!("postgres://me:hush@{free}/serving"))])).await.is_empty());
    }

    #[test]
    fn what_cannot_be_known_is_skipped() {
        assert_eq!(known(Err(anyhow::anyhow!("no table ops.runs"))).state, State::Skipped);
    }
}
