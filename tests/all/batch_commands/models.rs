//! Models: checked with file and line, drawn, documented.

use std::fs;

use super::tributary;

#[test]
fn the_models_that_are_compiled_in_are_good_and_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let say = |arguments: &[&str]| tributary(folder.path(), "", arguments);
    let said = say(&["models", "check"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{}", said.err);
    assert!(said.err.contains("9 models are good") && said.err.contains(", 0 broken"), "{}", said.err);
    say(&["models", "graph"]).says(&["silver.user_events\n", "gold.kpi_dau → PostgreSQL gold.daily_active_users"]);
    say(&["models", "graph", "--format", "mermaid"]).says(&["flowchart LR", "gold_user_days --> gold_kpi_dau"]);
    say(&["models", "show", "gold.kpi_dau"]).says(&[
        "Distinct users per day",
        "gold.user_days",
        "unique(event_date)",
        "COUNT(DISTINCT user_id)",
    ]);
    let said = say(&["models", "docs", "--out", "docs"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let page = fs::read_to_string(folder.path().join("docs/kpi_dau.md")).unwrap();
    assert!(page.contains("[`gold.user_days`](user_days.md)") && page.contains("| `dau_count` | bigint |"), "{page}");
}

#[test]
fn a_broken_model_is_named_with_file_and_line_and_the_others_stay_good() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("sql/models/gold");
    fs::create_dir_all(&models).unwrap();
    let good = "-- materialize: by_day\nSELECT event_date, count(*) AS n FROM silver.user_events GROUP BY event_date\n";
    fs::write(models.join("good.sql"), good).unwrap();
    fs::write(
        models.join("bad.sql"),
        "-- materialize: by_day\nSELECT event_date,\n  nothing_of_that_name\nFROM silver.user_events\n",
    )
    .unwrap();
    let said = tributary(folder.path(), "", &["models", "check"]);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.out.contains("sql/models/gold/bad.sql, line 3") && said.out.contains("nothing_of_that_name"), "{}", said.out);
    assert!(said.err.contains("1 models are good") && said.err.contains("1 broken"), "{}", said.err);
    tributary(folder.path(), "", &["models", "show", "good"]).says(&["count(*) AS n"]);
    let said = tributary(folder.path(), "", &["why", "bad"]).says(&["bad.sql, line 3", "tributary models check"]);
    assert!(said.err.contains("PostgreSQL cannot be asked"), "{}", said.err);
}
