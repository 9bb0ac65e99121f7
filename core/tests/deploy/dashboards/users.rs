//! The panels that users of the platform before this one look for: none of them may go.

use serde_json::json;

use super::{Board, boards, list, text};

/// Title, type, what its queries mention.
const BUSINESS: [(&str, &str, &str); 12] = [
    ("Daily active users", "stat", "gold.daily_active_users"),
    ("Conversion rate", "stat", "gold.conversion_rate_daily"),
    ("Total purchases", "stat", "gold.conversion_rate_daily"),
    ("Total events (today / latest)", "stat", "gold.conversion_rate_daily"),
    ("Events per minute by type", "timeseries", "realtime.events_per_minute"),
    ("Logins per source", "timeseries", "realtime.logins_per_source"),
    ("Logins per source, sum", "bargauge", "realtime.logins_per_source"),
    ("Events by source", "piechart", "gold.events_per_source_daily"),
    ("Purchases per minute", "timeseries", "realtime.purchases_per_minute"),
    ("Top 10 pages by purchases", "barchart", "gold.purchases_per_page_daily"),
    ("Top 10 pages by purchases, table", "table", "gold.purchases_per_page_daily"),
    ("Daily active users per day", "timeseries", "gold.daily_active_users"),
];
/// Title, and where its colour changes.
const THRESHOLDS: [(&str, [f64; 2]); 2] = [("Daily active users", [50.0, 100.0]), ("Conversion rate", [10.0, 15.0])];

fn business() -> Vec<Board> {
    boards().into_iter().filter(|board| list(&board.json["tags"]).contains(&json!("business"))).collect()
}

#[test]
fn every_panel_that_users_know_is_on_a_business_dashboard() {
    let boards = business();
    for (title, kind, table) in BUSINESS {
        let there = boards.iter().flat_map(|board| board.panels()).any(|panel| {
            panel["title"] == title && panel["type"] == kind && text(&panel["targets"][0]["rawSql"]).contains(table)
        });
        assert!(there, "no {kind} {title:?} from {table}");
    }
}

#[test]
fn colours_change_where_users_know_it() {
    for board in business() {
        for (title, values) in THRESHOLDS {
            let panel = board.panels().into_iter().find(|panel| panel["title"] == title).unwrap_or_else(|| panic!("{title}"));
            let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]);
            let found: Vec<f64> = steps.iter().filter_map(|step| step["value"].as_f64()).collect();
            assert_eq!(found, values, "{}: {title}", board.path);
        }
    }
}

#[test]
fn the_live_dashboard_has_the_address_that_users_have_bookmarked() {
    assert!(boards().iter().any(|board| board.uid() == "lakehouse-overview" && board.path.ends_with("/business-live.json")));
}
