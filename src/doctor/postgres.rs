//! PostgreSQL: whether it answers, is new enough, has our schema, lets the dashboards read and has the same time.
//!
//! One connection for all of it. Reads only.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, PgConnection};
use tributary_actors::serving;
use tributary_actors::serving::schema::{Standing, standing};
use tributary_core::settings::postgres_url;

use super::{Check, Finding, Group, Patient, check};
use crate::words;

/// How long a question may take. Connecting gives up after five seconds by itself.
const LIMIT: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(5);
/// The oldest that this program is made for.
const OLDEST: i32 = 15;
const OWN: &str = "docs/RUN.md#your-own-postgresql";
const AWAY: &str = "docs/TROUBLESHOOTING.md#tributarypostgresaway";

const NAMES: [&str; 6] = ["version", "time zone", "schema", "role grafana", "clock", "connections"];

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let mut connection = None;
    let answers = check(Group::Postgresql, "answers", CONNECT + Duration::from_secs(1), async {
        let Some(url) = &patient.settings.serving.database_url else {
            return Finding::skipped("no PostgreSQL is configured; `tributary up` starts one of its own");
        };
        let at = postgres_url::masked(url);
        match serving::connect(url).await {
            Ok(made) => {
                connection = Some(made);
                Finding::ok(format!("{at} answers"))
            }
            Err(error) => {
                let found = format!("{at}: {:#}", anyhow::Error::from(error));
                let fix = fix_of(patient, &found);
                Finding::bad(found, fix).docs(AWAY)
            }
        }
    })
    .await;
    let mut checks = vec![answers];
    for name in NAMES {
        // A connection whose question was cut off is not asked again.
        let Some(mut asked) = connection.take() else {
            let skipped = Finding::skipped("PostgreSQL does not answer");
            checks.push(skipped.into_check(Group::Postgresql, name, Duration::ZERO));
            continue;
        };
        let look = async {
            let finding = look(name, &mut asked).await;
            connection = Some(asked);
            finding
                .unwrap_or_else(|error| Finding::bad(format!("cannot be asked: {error}"), "see the log of PostgreSQL").docs(AWAY))
        };
        checks.push(check(Group::Postgresql, name, LIMIT, look).await);
    }
    if let Some(connection) = connection {
        let _ = tokio::time::timeout(LIMIT, connection.close()).await;
    }
    checks
}

fn fix_of(patient: &Patient, found: &str) -> &'static str {
    match patient.loaded.settings.serving.database_url {
        Some(_) => "start it, or mind DATABASE_URL or POSTGRES_HOST, _USER and _PASSWORD (`tributary config show serving`)",
        None if patient.running.is_some() && found.contains("password authentication") => {
            "it runs, with another password than this shell knows: set POSTGRES_PASSWORD here as `up` has it"
        }
        None => "the embedded one starts again by itself; data/postgres/server.log says why it ended",
    }
}

async fn look(name: &str, connection: &mut PgConnection) -> anyhow::Result<Finding> {
    Ok(match name {
        "version" => {
            let number: String = sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut *connection).await?;
            let text: String = sqlx::query_scalar("SHOW server_version").fetch_one(connection).await?;
            version(number.parse().unwrap_or_default(), &text)
        }
        "time zone" => time_zone(connection).await?,
        "schema" => schema(standing(connection).await?),
        "role grafana" => role(connection).await?,
        "clock" => {
            let (before, began) = (Utc::now(), Instant::now());
            let theirs = serving::now(connection).await?;
            // Half of the way there and back.
            let ours = before + TimeDelta::from_std(began.elapsed() / 2).unwrap_or_default();
            clock(ours, theirs)
        }
        _ => connections(connection).await?,
    })
}

fn version(number: i32, text: &str) -> Finding {
    match number / 10_000 >= OLDEST {
        true => Finding::ok(format!("PostgreSQL {text}")),
        false => Finding::bad(format!("PostgreSQL {text} is older than {OLDEST}"), "use PostgreSQL 15 or newer").docs(OWN),
    }
}

/// What the database says to everybody. Our own connections always ask in UTC; psql and dashboards take what is set here.
async fn time_zone(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let set: Option<String> = sqlx::query_scalar(
        "SELECT split_part(one, '=', 2) FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS one \
         JOIN pg_database d ON d.oid = s.setdatabase \
         WHERE d.datname = current_database() AND s.setrole = 0 AND lower(one) LIKE 'timezone=%' LIMIT 1",
    )
    .fetch_optional(&mut *connection)
    .await?;
    let name: String = sqlx::query_scalar("SELECT current_database()::text").fetch_one(connection).await?;
    let fix = format!("ALTER DATABASE \"{name}\" SET timezone TO 'UTC'");
    Ok(match set.as_deref() {
        Some("UTC" | "Etc/UTC" | "GMT" | "Etc/GMT") => Finding::ok("UTC, for every session of this database"),
        Some(other) => Finding::warn(format!("{other}: psql shows other times and days than the lake has, which are UTC"), fix),
        None => Finding::warn("the database sets none, so days may be cut by the server's own instead of UTC", fix),
    }
    .docs(OWN))
}

fn schema(standing: Option<Standing>) -> Finding {
    let Some(standing) = standing else {
        return Finding::warn("no tables of ours yet", "`tributary up` makes them").docs(OWN);
    };
    let numbers = |list: &[i64]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if !standing.unfinished.is_empty() {
        let found = format!("migration {} was begun and not finished", numbers(&standing.unfinished));
        return Finding::bad(found, "start `tributary up` and read what it says about it; a backup goes back before it")
            .docs(OWN);
    }
    if !standing.newer.is_empty() {
        let found =
            format!("a newer version of this program made migration {}, which this one does not know", numbers(&standing.newer));
        return Finding::bad(found, "run that version").docs(OWN);
    }
    if !standing.changed.is_empty() {
        let found = format!("another text than this program's was run as migration {}", standing.changed.join(", "));
        return Finding::bad(found, "run the version that made them, or begin with an empty database").docs(OWN);
    }
    match standing.missing.is_empty() {
        true => Finding::ok(format!("up to date, {}", words::plural(standing.applied.len() as u64, "migration"))),
        false => {
            Finding::warn(format!("to be run yet: {}", standing.missing.join(", ")), "start `tributary up`, which runs them")
                .docs(OWN)
        }
    }
}

/// That the dashboards' user may read everything and write nothing.
async fn role(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let superuser: Option<bool> =
        sqlx::query_scalar("SELECT rolsuper FROM pg_roles WHERE rolname = 'grafana'").fetch_optional(&mut *connection).await?;
    let Some(superuser) = superuser else { return Ok(judge_role(None, &[], &[])) };
    let tables: Vec<(String, bool, bool)> = sqlx::query_as(
        "SELECT n.nspname || '.' || c.relname, \
           has_schema_privilege('grafana', n.oid, 'USAGE') AND has_table_privilege('grafana', c.oid, 'SELECT'), \
           has_table_privilege('grafana', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname IN ('realtime', 'gold', 'ops') AND c.relkind IN ('r', 'v', 'm', 'p') ORDER BY 1",
    )
    .fetch_all(connection)
    .await?;
    let names = |wanted: fn(&(String, bool, bool)) -> bool| -> Vec<String> {
        tables.iter().filter(|table| wanted(table)).map(|table| table.0.clone()).collect()
    };
    Ok(judge_role(Some(superuser), &names(|(_, reads, _)| !reads), &names(|(_, _, writes)| *writes)))
}

fn judge_role(superuser: Option<bool>, unread: &[String], written: &[String]) -> Finding {
    let grants = "GRANT USAGE ON SCHEMA realtime, gold, ops TO grafana; \
                  GRANT SELECT ON ALL TABLES IN SCHEMA realtime, gold, ops TO grafana";
    let some = |names: &[String]| names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let docs = "docs/RUN.md#with-docker-compose";
    match superuser {
        None => {
            let fix = format!("CREATE ROLE grafana LOGIN PASSWORD '…'; {grants}");
            Finding::warn("there is no role `grafana`: dashboards cannot read", fix)
        }
        Some(true) => Finding::warn(
            "`grafana` is a superuser: whoever edits a panel may change everything",
            "ALTER ROLE grafana NOSUPERUSER",
        ),
        Some(false) if !written.is_empty() => {
            let fix = "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA realtime, gold, ops FROM grafana";
            Finding::warn(format!("`grafana` may change {} and should only read", some(written)), fix)
        }
        Some(false) if !unread.is_empty() => Finding::warn(format!("`grafana` may not read {}", some(unread)), grants),
        Some(false) => Finding::ok("`grafana` may read and change nothing"),
    }
    .docs(docs)
}

fn clock(ours: DateTime<Utc>, theirs: DateTime<Utc>) -> Finding {
    let apart = (theirs - ours).abs().to_std().unwrap_or_default();
    let found = format!("{} apart from this machine's", words::duration(apart));
    let fix = "let both machines take their time from NTP (timedatectl set-ntp true)";
    match apart.as_secs_f64() {
        seconds if seconds > 30.0 => Finding::bad(found, fix),
        seconds if seconds > 2.0 => Finding::warn(found, fix),
        _ => Finding::ok(found),
    }
}

async fn connections(connection: &mut PgConnection) -> sqlx::Result<Finding> {
    let (used, most): (i64, i64) = sqlx::query_as(
        // pg_stat_activity shows other users' sessions to some only; these numbers are everybody's.
        "SELECT (SELECT sum(numbackends)::bigint FROM pg_stat_database), \
                current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint",
    )
    .fetch_one(connection)
    .await?;
    Ok(judge_connections(used, most))
}

fn judge_connections(used: i64, most: i64) -> Finding {
    let found = format!("{used} of {most} are in use");
    let fix = "SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1 says whose; end some, or raise max_connections";
    match (used * 100).checked_div(most).unwrap_or(100) {
        95.. => Finding::bad(found, fix),
        80.. => Finding::warn(found, fix),
        _ => Finding::ok(found),
    }
    .docs(AWAY)
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::machine::tests::patient;
    use super::*;

    #[tokio::test]
    async fn nobody_who_answers_is_bad_without_the_password_and_the_rest_is_skipped() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let url = format!("postgres://me:hush@{free}/serving");
        let found = checks(&patient(&[("DATABASE_URL", &url)])).await;
        assert_eq!(found[0].state, State::Bad);
        assert!(!found[0].found.contains("hush") && found[0].found.contains(&free.to_string()), "{found:?}");
        assert!(found[1..].iter().all(|check| check.state == State::Skipped) && found.len() == NAMES.len() + 1);
    }

    #[test]
    fn an_old_version_and_a_clock_that_is_off_are_said() {
        assert_eq!(version(150_004, "15.4").state, State::Ok);
        assert_eq!(version(140_012, "14.12").state, State::Bad);
        let now = Utc::now();
        let off = |seconds: i64| clock(now, now - TimeDelta::seconds(seconds)).state;
        assert_eq!([off(0), off(-1), off(5), off(-60)], [State::Ok, State::Ok, State::Warn, State::Bad]);
    }

    #[test]
    fn a_schema_is_behind_or_ahead_or_as_it_should_be() {
        let good = Standing { applied: vec![1, 2, 3], ..Standing::default() };
        assert_eq!(schema(Some(good.clone())).state, State::Ok);
        assert_eq!(schema(None).state, State::Warn);
        assert_eq!(schema(Some(Standing { missing: vec!["3 replay".into()], ..good.clone() })).state, State::Warn);
        assert_eq!(schema(Some(Standing { newer: vec![9], ..good.clone() })).state, State::Bad);
        assert_eq!(schema(Some(Standing { unfinished: vec![3], ..good })).state, State::Bad);
    }

    #[test]
    fn dashboards_that_may_write_or_cannot_read_are_a_warning() {
        assert_eq!(judge_role(Some(false), &[], &[]).state, State::Ok);
        assert_eq!(judge_role(None, &[], &[]).state, State::Warn);
        assert!(judge_role(Some(false), &["gold.a".into()], &[]).found.contains("gold.a"));
        assert!(judge_role(Some(false), &[], &["ops.runs".into()]).fix.unwrap().starts_with("REVOKE"));
        assert_eq!(
            [judge_connections(5, 97).state, judge_connections(80, 97).state, judge_connections(97, 97).state],
            [State::Ok, State::Warn, State::Bad]
        );
    }
}
