//! The lake: whether it is there, may be written to, has room, and whether every table's log can be read.
//!
//! Writes nothing, not even a file to try it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use object_store::ObjectStoreExt;
use tributary_actors::lake::snapshot::Snapshot;

use super::{Check, Finding, Group, Patient, check, check_blocking};
use crate::inspect::catalog::Catalog;
use crate::inspect::fits::misfits;
use crate::words;

const LIMIT: Duration = Duration::from_secs(3);
/// Many tables, or a far store.
const TABLES: Duration = Duration::from_secs(5);
/// Tables that are read at once.
const AT_ONCE: usize = 4;
/// Less free than this is soon nothing.
const LITTLE: u64 = 2 << 30;
/// As the alerts have them: TributarySmallFiles and TributaryLogLong.
const MANY_FILES: u64 = 20_000;
const SMALL: u64 = 1 << 20;
const LONG_LOG: u64 = 2_000;

/// What is known of a table.
#[derive(Debug, Clone, Default)]
struct Table {
    name: String,
    version: u64,
    committed: Option<DateTime<Utc>>,
    files: u64,
    bytes: u64,
    /// Versions since the checkpoint that the log points to.
    since_checkpoint: u64,
}

pub(super) async fn checks(patient: &Patient) -> Vec<Check> {
    let folder = folder(&patient.settings.lake.url);
    let (place, space) = match folder {
        Some(folder) => {
            let (one, other, floor) = (folder.clone(), folder, patient.settings.pipeline.min_free_bytes);
            let place = check_blocking(Group::Lake, "place", LIMIT, move || local(&one)).await;
            (place, check_blocking(Group::Lake, "space", LIMIT, move || space(&other, floor)).await)
        }
        None => {
            let place = check(Group::Lake, "place", TABLES, remote(patient)).await;
            let space = Finding::skipped("object storage has no end").into_check(Group::Lake, "space", Duration::ZERO);
            (place, space)
        }
    };
    let mut read = Vec::new();
    let tables = check(Group::Lake, "tables", TABLES, async {
        let (finding, tables) = tables(patient).await;
        read = tables;
        finding
    })
    .await;
    let columns = check(Group::Lake, "columns", TABLES, columns(patient)).await;
    let upkeep = check(Group::Lake, "upkeep", LIMIT, async { upkeep(&read) }).await;
    vec![place, space, tables, columns, upkeep]
}

/// The lake's folder; none: it is no folder of this machine.
fn folder(url: &str) -> Option<PathBuf> {
    match url.split_once("://") {
        Some(("file", _)) => url::Url::parse(url).ok()?.to_file_path().ok(),
        Some(_) => None,
        None => std::path::absolute(url).ok(),
    }
}

/// What of it is there already: it is made below that.
fn nearest(folder: &Path) -> &Path {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

fn local(folder: &Path) -> Finding {
    let there = nearest(folder);
    let shown = folder.display();
    let docs = "docs/RUN.md#where-data-lives";
    if !there.is_dir() {
        let fix = "take it away, or choose another place: --data, or LAKEHOUSE_PATH";
        return Finding::bad(format!("{} is a file, and {shown} has to be a folder", there.display()), fix).docs(docs);
    }
    let rights = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    if let Err(error) = rustix::fs::access(there, rights) {
        let fix = format!("give it to whom this runs as (sudo chown -R $(id -u) {}), or choose another: --data", there.display());
        return Finding::bad(format!("{} cannot be written to: {error}", there.display()), fix).docs(docs);
    }
    match there == folder {
        true => Finding::ok(format!("{shown} may be written to")),
        false => Finding::ok(format!("{shown} is not there yet and can be made in {}", there.display())),
    }
}

fn space(folder: &Path, floor: u64) -> Finding {
    match rustix::fs::statvfs(nearest(folder)) {
        Ok(disk) => judge_space(disk.f_bavail.saturating_mul(disk.f_frsize), floor),
        Err(error) => Finding::skipped(format!("the disk does not say: {error}")),
    }
}

fn judge_space(free: u64, floor: u64) -> Finding {
    let found = format!("{} are free", words::bytes(free));
    let fix = "free some (`du -sh data/*`, `tributary tables list`; never delete files of a table), or use a larger disk";
    match free {
        _ if free < floor => {
            let found = format!("{found}, less than pipeline.min_free_bytes ({}): bronze waits", words::bytes(floor));
            Finding::bad(found, fix).docs("docs/TROUBLESHOOTING.md#tributarydiskfull")
        }
        _ if free < LITTLE => Finding::warn(found, fix).docs("docs/TROUBLESHOOTING.md#tributarydiskwillfill"),
        _ => Finding::ok(found),
    }
}

async fn remote(patient: &Patient) -> Finding {
    let url = tributary_core::settings::postgres_url::masked(&patient.settings.lake.url);
    let listed = match Catalog::of(&patient.settings) {
        Ok(catalog) => catalog.names().await,
        Err(error) => Err(error),
    };
    match listed {
        Ok(names) => Finding::ok(format!("{url} can be listed: {}", words::plural(names.len() as u64, "table"))),
        Err(error) => {
            let fix = "mind LAKEHOUSE_PATH, lake.options and the credentials (`tributary config show lake`)";
            Finding::bad(format!("{url}: {error:#}"), fix).docs("docs/RUN.md#where-data-lives")
        }
    }
}

async fn tables(patient: &Patient) -> (Finding, Vec<Table>) {
    let fix = "tributary audit says more; a file that a log names is data, so restore what is missing from a backup";
    let docs = "docs/TROUBLESHOOTING.md#back-up-and-restore";
    let listed = match Catalog::of(&patient.settings) {
        Ok(catalog) => catalog.names().await.map(|names| (catalog, names)),
        Err(error) => Err(error),
    };
    let (catalog, names) = match listed {
        Ok(both) => both,
        Err(error) => return (Finding::bad(format!("{error:#}"), "mind lake.url and lake.options").docs(docs), Vec::new()),
    };
    let mut looks = futures::stream::iter(names.iter().map(|name| table(&catalog, name))).buffered(AT_ONCE);
    let (mut read, mut broken) = (Vec::new(), Vec::new());
    while let Some(look) = looks.next().await {
        match look {
            Ok(Some(table)) => read.push(table),
            Ok(None) => {}
            Err(problem) => broken.push(problem),
        }
    }
    let finding = match (broken.is_empty(), read.is_empty()) {
        (false, _) => Finding::bad(broken.join("; "), fix).docs(docs),
        (true, true) => Finding::ok("no tables yet; `tributary up` makes them"),
        (true, false) => Finding::ok(all(&read, Utc::now())),
    };
    (finding, read)
}

async fn columns(patient: &Patient) -> Finding {
    let Ok(catalog) = Catalog::of(&patient.settings) else { return Finding::skipped("the tables cannot be read") };
    let misfits = misfits(&catalog, patient.streams.iter()).await;
    match misfits.is_empty() {
        true => Finding::ok("every stream fits the table that it has"),
        false => Finding::bad(misfits.join("; "), "as it says; `up` does not start as it is")
            .docs("docs/STREAMS.md#changing-a-declaration"),
    }
}

async fn table(catalog: &Catalog, name: &str) -> Result<Option<Table>, String> {
    let wrong = |error: anyhow::Error| format!("{name} cannot be read: {error:#}");
    let Some(found) = catalog.find(name).await.map_err(wrong)? else { return Ok(None) };
    Ok(Some(Table {
        name: name.to_owned(),
        version: found.version(),
        committed: words::from_millis(found.committed_ms()),
        files: found.files().len() as u64,
        bytes: found.files().values().map(|file| file.size).sum(),
        since_checkpoint: match checkpoint(&found).await {
            Some(at) => found.version().saturating_sub(at),
            None => found.version().saturating_add(1),
        },
    }))
}

/// The version of the checkpoint that the log points to.
async fn checkpoint(table: &Snapshot) -> Option<u64> {
    let store = table.store();
    let hint = store.object_store(None).get(&store.log_path().clone().join("_last_checkpoint")).await.ok()?;
    let hint: serde_json::Value = serde_json::from_slice(&hint.bytes().await.ok()?).ok()?;
    hint["version"].as_u64()
}

fn all(tables: &[Table], now: DateTime<Utc>) -> String {
    let each = tables.iter().map(|table| {
        let age = words::ago_or(table.committed, now, "age unknown");
        format!("{} version {} ({age})", table.name, table.version)
    });
    format!("{} can be read: {}", words::plural(tables.len() as u64, "table"), each.collect::<Vec<_>>().join(", "))
}

fn upkeep(tables: &[Table]) -> Finding {
    let (mut problems, mut docs) = (Vec::new(), "docs/TROUBLESHOOTING.md#tributarysmallfiles");
    for table in tables {
        if table.files > MANY_FILES && table.bytes / table.files < SMALL {
            problems.push(format!("{} has {} files of less than 1 MiB on average", table.name, words::count(table.files)));
        }
        if table.since_checkpoint > LONG_LOG {
            docs = "docs/TROUBLESHOOTING.md#tributaryloglong";
            problems.push(format!("{} had {} commits since its checkpoint", table.name, words::count(table.since_checkpoint)));
        }
    }
    match (tables.is_empty(), problems.is_empty()) {
        (true, _) => Finding::skipped("no table was read"),
        (false, true) => Finding::ok("no table has too many small files, or too long a log"),
        (false, false) => Finding::warn(problems.join("; "), "tributary run lakehouse_maintenance --wait").docs(docs),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::machine::tests::patient;
    use super::*;

    #[tokio::test]
    async fn a_lake_that_is_not_there_is_fine_and_is_not_made() {
        let home = tempfile::tempdir().unwrap();
        let lake = home.path().join("data/lakehouse");
        let mut patient = patient(&[]);
        patient.settings.lake.url = lake.display().to_string();
        let found = checks(&patient).await;
        assert!(found.iter().all(|check| check.state <= State::Ok || check.name == "space"), "{found:?}");
        assert!(found[0].found.contains("not there yet"), "{found:?}");
        assert!(!home.path().join("data").exists(), "looking made it");
    }

    #[tokio::test]
    async fn a_table_whose_log_is_broken_is_named() {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("gold/kpi_dau/_delta_log");
        std::fs::create_dir_all(&log).unwrap();
        std::fs::write(log.join("00000000000000000000.json"), "nonsense\n").unwrap();
        let mut patient = patient(&[]);
        patient.settings.lake.url = home.path().display().to_string();
        let (found, _) = tables(&patient).await;
        assert!(found.state == State::Bad && found.found.contains("gold.kpi_dau"), "{found:?}");
    }

    #[test]
    fn a_file_where_a_folder_should_be_and_a_full_disk_are_bad() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("data"), "").unwrap();
        assert_eq!(local(&home.path().join("data/lakehouse")).state, State::Bad);
        let floor = 64 << 20;
        assert_eq!(
            [judge_space(1 << 20, floor).state, judge_space(1 << 30, floor).state, judge_space(1 << 40, floor).state],
            [State::Bad, State::Warn, State::Ok]
        );
    }

    #[test]
    fn only_what_is_absurd_is_a_warning() {
        let table = Table { name: "bronze.a".into(), files: 500, bytes: 500, since_checkpoint: 900, ..Table::default() };
        assert_eq!(upkeep(std::slice::from_ref(&table)).state, State::Ok);
        assert_eq!(upkeep(&[Table { files: 30_000, ..table.clone() }]).state, State::Warn);
        assert!(upkeep(&[Table { since_checkpoint: 3_000, ..table }]).docs.unwrap().ends_with("loglong"));
        assert_eq!(upkeep(&[]).state, State::Skipped);
    }
}
