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
/// A colour, and from where on.
type Step = (&'static str, Option<f64>);
/// Title, and its colours from the lowest value to the highest.
const THRESHOLDS: [(&str, [Step; 3]); 2] = [
    ("Daily active users", [("red", None), ("yellow", Some(50.0)), ("green", Some(100.0))]),
    ("Conversion rate", [("red", None), ("yellow", Some(10.0)), ("green", Some(15.0))]),
];

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
        for (title, wanted) in THRESHOLDS {
            let panel = board.panels().into_iter().find(|panel| panel["title"] == title).unwrap_or_else(|| panic!("{title}"));
            let steps = list(&panel["fieldConfig"]["defaults"]["thresholds"]["steps"]);
            let found: Vec<(&str, Option<f64>)> =
                steps.iter().map(|step| (text(&step["color"]), step["value"].as_f64())).collect();
            assert_eq!(found, wanted, "{}: {title}", board.path);
        }
    }
}

#[test]
fn the_live_dashboard_has_the_address_that_users_have_bookmarked() {
    assert!(boards().iter().any(|board| board.uid() == "lakehouse-overview" && board.path.ends_with("/business-live.json")));
}
