//! Tables and queries over a lake that is there.

use std::fs;

use super::lake::{Lake, day};
use super::tributary;

#[test]
fn tables_are_listed_described_and_looked_into() {
    let lake = Lake::new();
    lake.bronze(&day(0), 0, 50);
    let version = lake.dau(&[(&day(2), 5), (&day(1), 6), (&day(0), 7)]);
    let say = |arguments: &[&str]| tributary(lake.folder(), "", arguments);

    let listed = say(&["tables", "list"]).says(&["bronze.user_events  50", "gold.kpi_dau", " ago"]);
    assert!(listed.out.contains(&format!("{} to {} (3)", day(2), day(0))), "{}", listed.out);
    let json = say(&["tables", "list", "--json"]).json();
    assert_eq!((&json[1]["table"], &json[1]["rows"], &json[1]["version"]), (&"gold.kpi_dau".into(), &3.into(), &version.into()));

    say(&["tables", "describe", "kpi_dau"]).says(&[
        "Distinct users per day",
        "data/lakehouse/gold/kpi_dau",
        "PostgreSQL: gold.daily_active_users",
        "dau_count   bigint  users with at least one valid event",
        "partitioned by event_date",
    ]);
    say(&["tables", "describe", "bronze.user_events"]).says(&[
        "status",
        "ok, or why the record is no valid event",
        "topic user-events",
    ]);

    let json = say(&["tables", "describe", "kpi_dau", "--json"]).json();
    assert_eq!((&json["table"], &json["version"]), (&"gold.kpi_dau".into(), &version.into()));
    assert_eq!(json["columns"][1]["name"], "dau_count");

    let files = say(&["tables", "files", "kpi_dau", "--limit", "2"]).says(&["FILE", &format!("event_date={}/", day(0)), " ago"]);
    assert!(files.out.lines().count() == 3 && files.err.contains("the newest 2 of 3"), "{} {}", files.out, files.err);
    let json = say(&["tables", "files", "kpi_dau", "--json"]).json();
    assert_eq!((json.as_array().map(Vec::len), &json[0]["rows"]), (Some(3), &1.into()));

    let history = say(&["tables", "history", "gold.kpi_dau", "--limit", "2"]).says(&["TEST", "+1"]);
    assert_eq!(history.out.lines().count(), 3);
    let json = say(&["tables", "history", "gold.kpi_dau", "--json"]).json();
    assert_eq!((&json[0]["version"], &json[0]["rows_added"]), (&version.into(), &1.into()));

    let preview = say(&["tables", "preview", "gold.kpi_dau", "--limit", "2", "-o", "csv"]);
    assert_eq!(
        preview.out.lines().collect::<Vec<_>>(),
        ["event_date,dau_count", &format!("{},7", day(0)), &format!("{},6", day(1))]
    );
    let older = (version - 1).to_string();
    let preview = say(&["tables", "preview", "gold.kpi_dau", "--version", &older, "-o", "csv"]);
    assert_eq!(preview.out.lines().count(), 3, "{}", preview.out);
    say(&["tables", "preview", "gold.kpi_dau", "--version", "99"]).refuses(1, &["version 99"]);
    say(&["tables", "describe", "gold.kpi_dua"]).refuses(2, &["did you mean `gold.kpi_dau`?"]);
}

#[test]
fn a_query_reads_pinned_versions_in_every_form() {
    let lake = Lake::new();
    let version = lake.dau(&[(&day(1), 6), (&day(0), 7)]);
    let say = |arguments: &[&str]| tributary(lake.folder(), "", arguments);
    let sum = "SELECT sum(dau_count) AS users FROM gold.kpi_dau";

    let said = say(&["query", sum]).says(&["users", "13"]);
    assert!(said.err.contains("1 row in ") && said.err.contains(&format!("gold.kpi_dau {version}")), "{}", said.err);
    let at = format!("gold.kpi_dau={}", version - 1);
    assert_eq!(say(&["query", sum, "--at", &at, "-o", "json"]).json()[0]["users"], 6);
    assert_eq!(say(&["query", sum, "-o", "csv"]).out, "users\n13\n");
    say(&["query", "SELECT * FROM kpi_dau ORDER BY event_date", "--limit", "1"]).says(&[&day(1)]);
    say(&["query", "SHOW TABLES"]).says(&["kpi_dau"]);

    let said = say(&["query", "SELECT * FROM gold.kpi_dau", "-o", "parquet", "--out", "dau.parquet"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    assert!(fs::read(lake.folder().join("dau.parquet")).unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_query_that_does_more_than_read_or_is_wrong_is_refused() {
    let lake = Lake::new();
    lake.dau(&[(&day(0), 7)]);
    for (sql, words) in [
        ("DROP TABLE gold.kpi_dau", "is not a SELECT"),
        ("INSERT INTO gold.kpi_dau SELECT * FROM gold.kpi_dau", "is not a SELECT"),
        ("COPY gold.kpi_dau TO 'x.csv'", "is not a SELECT"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "is not a SELECT"),
        ("SELECT dau FROM gold.kpi_dau", "dau"),
        ("SELECT * FROM gold.kpi_dua", "there are: gold.kpi_dau"),
        ("SELECT 1; SELECT 2", "write one SELECT"),
    ] {
        let said = tributary(lake.folder(), "", &["query", sql]).refuses(2, &[words]);
        assert_eq!(said.out, "", "{sql}");
    }
}
