//! A panel as a person sees it: what it is called, what it says when something is bad or missing, its unit, colours and legend.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{boards, each_panel, list, nothing_wrong, text, when};

/// The panel types that are used; all come with Grafana itself.
const TYPES: [&str; 8] = ["stat", "timeseries", "barchart", "bargauge", "piechart", "table", "heatmap", "state-timeline"];
/// The units that are used, as Grafana names them. What is not known to Grafana is shown as a suffix.
const UNITS: [&str; 14] = [
    "none",
    "short",
    "locale",
    "string",
    "percent",
    "percentunit",
    "bytes",
    "Bps",
    "s",
    "recps",
    "rowsps",
    "cpm",
    "dateTimeFromNow",
    "dateTimeAsLocalNoDateIfToday",
];

/// Values of a property that overrides give, with the field that it is for.
fn overrides<'a>(panel: &'a Value, id: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    list(&panel["fieldConfig"]["overrides"]).iter().flat_map(move |one| {
        let properties = list(&one["properties"]).iter().filter(move |property| property["id"] == id);
        properties.map(|property| (text(&one["matcher"]["options"]), &property["value"]))
    })
}

#[test]
fn every_panel_has_a_type_that_grafana_brings() {
    each_panel(|_, panel| when(!TYPES.contains(&text(&panel["type"])), format!("{} is not known", panel["type"])));
}

#[test]
fn every_panel_says_what_bad_looks_like_and_what_to_do_then() {
    each_panel(|_, panel| {
        let (title, says) = (text(&panel["title"]), text(&panel["description"]));
        let mut found = when(title.is_empty(), "no title");
        found.extend(when(!says.contains("Bad"), "its description does not say what bad looks like"));
        found.extend(when(!says.contains("o: ") && !says.contains("what to do"), "its description does not say what to do"));
        found
    });
}

#[test]
fn every_panel_has_a_unit_that_grafana_knows() {
    each_panel(|_, panel| {
        let units = overrides(panel, "unit").map(|(_, unit)| unit).chain([&panel["fieldConfig"]["defaults"]["unit"]]);
        units.filter(|unit| !UNITS.contains(&text(unit))).map(|unit| format!("unit {unit}")).collect()
    });
}

#[test]
fn every_panel_says_something_when_there_is_nothing() {
    each_panel(|_, panel| when(text(&panel["fieldConfig"]["defaults"]["noValue"]).is_empty(), "no text for no value"));
}

/// Are these steps the first one without a value, then ascending?
fn ascending(thresholds: &Value) -> bool {
    let mut steps = list(&thresholds["steps"]).iter();
    let first = steps.next().is_some_and(|step| step["value"].is_null());
    let rest: Option<Vec<f64>> = steps.map(|step| step["value"].as_f64()).collect();
    first && rest.is_some_and(|values| values.windows(2).all(|pair| pair[0] < pair[1]))
}

#[test]
fn thresholds_ascend() {
    each_panel(|_, panel| {
        let all = overrides(panel, "thresholds").map(|(_, value)| value).chain([&panel["fieldConfig"]["defaults"]["thresholds"]]);
        all.filter(|thresholds| !ascending(thresholds)).map(|thresholds| format!("thresholds {thresholds}")).collect()
    });
}

#[test]
fn the_same_thing_has_the_same_colour_everywhere() {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    let boards = boards();
    let panels = boards.iter().flat_map(|board| board.panels().into_iter().map(|panel| (board.at(panel), panel)));
    let colours = panels.flat_map(|(at, panel)| overrides(panel, "color").map(move |(name, colour)| (at.clone(), name, colour)));
    nothing_wrong(colours.filter_map(|(at, name, colour)| {
        let first = known.entry(name.to_owned()).or_insert_with(|| colour.clone());
        (first != colour).then(|| format!("{at}: {name} is {colour} here, {first} elsewhere"))
    }));
}

#[test]
fn types_of_events_and_sources_have_colours_of_their_own() {
    let boards = boards();
    let fixed = |wanted: &str| {
        let panels = boards.iter().flat_map(|board| board.panels());
        panels.flat_map(|panel| overrides(panel, "color")).find(|(name, _)| *name == wanted).map(|(_, colour)| colour.to_string())
    };
    let mut colours =
        ["login", "click", "purchase", "logout", "mobile", "web"].map(|name| fixed(name).unwrap_or_else(|| panic!("{name}")));
    colours.sort();
    assert!(colours.windows(2).all(|pair| pair[0] != pair[1]), "{colours:?}");
}

#[test]
fn a_panel_with_several_lines_has_a_table_with_the_last_and_the_largest_value() {
    each_panel(|_, panel| {
        let legend = &panel["options"]["legend"];
        let wanted = legend["displayMode"] == "table"
            && ["lastNotNull", "max"].iter().all(|calculation| list(&legend["calcs"]).contains(&json!(calculation)));
        when(panel["type"] == "timeseries" && legend["showLegend"] == true && !wanted, format!("legend {legend}"))
    });
}

#[test]
fn numbers_have_a_fixed_count_of_decimals() {
    each_panel(|_, panel| {
        let words = ["state-timeline", "heatmap"].contains(&text(&panel["type"]));
        let times = overrides(panel, "unit").any(|(_, unit)| text(unit).starts_with("dateTime"));
        when(!words && !times && panel["fieldConfig"]["defaults"]["decimals"].is_null(), "no decimals")
    });
}

#[test]
fn both_business_dashboards_say_how_old_their_data_is() {
    for board in boards().iter().filter(|board| list(&board.json["tags"]).contains(&json!("business"))) {
        let first = board.panels()[0];
        let query = text(&first["targets"][0]["rawSql"]);
        assert!(
            query.contains("\"data as of\"") && query.contains("\"ago\""),
            "{}: its first panel is not how old the data is",
            board.path
        );
        assert!(overrides(first, "thresholds").any(|(name, _)| name == "ago"), "{}: no age is bad", board.path);
    }
}
