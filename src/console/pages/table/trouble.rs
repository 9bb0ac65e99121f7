//! What keeps a table from being kept up to date: a broken model, a test that does not hold, or that nothing makes it any more.

use anyhow::Result;
use maud::{Markup, html};
use tributary_actors::serving::history::ModelTest;
use tributary_batch::models::Models;
use tributary_core::model::Model;

use super::super::super::lake_view::Seen;
use super::super::super::parts::{lines, shape};
use super::super::super::shared::Shared;
use super::super::super::shell::said_by;
use super::super::run::broken_test;
use crate::console::shell_word;
use crate::inspect::behind::{self, Published};
use crate::inspect::entries::nobody_makes;
use crate::inspect::tested;

/// What PostgreSQL knows of the table of a model.
#[derive(Default)]
pub(super) struct Known {
    /// How its tests went last.
    pub(super) tests: Vec<ModelTest>,
    /// What is published of it.
    published: Option<Published>,
}

impl Known {
    /// Nothing of a table that no model makes.
    pub(super) async fn of(shared: &Shared, table: &str) -> Result<Self> {
        let Some(model) = table.strip_prefix("gold.").map(str::to_owned) else { return Ok(Self::default()) };
        shared
            .ask(move |connection| {
                Box::pin(async move {
                    let tests = tested::last(connection, std::slice::from_ref(&model)).await?;
                    let published = behind::published(connection).await?.into_iter().find(|published| published.model == model);
                    Ok(Self { tests, published })
                })
            })
            .await
    }
}

/// All of it; nothing where all is well. Without the models nobody knows who makes a gold table.
pub(super) fn banner(
    shared: &Shared,
    seen: &Seen,
    models: Option<&Models>,
    model: Option<&Model>,
    known: &Result<Known>,
) -> Markup {
    let made = &shared.made;
    let problem = models.zip(seen.name.strip_prefix("gold.")).and_then(|(models, bare)| models.broken.get(bare));
    let orphan = nobody_makes(&seen.name, models, &made.streams);
    let tests = known.as_ref().map(|known| known.tests.as_slice()).unwrap_or_default();
    let published = known.as_ref().ok().and_then(|known| known.published.as_ref());
    html! {
        @if let Some(problem) = problem { (broken(problem)) }
        @if orphan { (left(&Left {
            name: &seen.name,
            version: seen.snapshot.version(),
            place: &shared.lake.catalog().place(&seen.name),
            models: &made.settings.batch.models_dir,
            streams: &made.settings.streams_dir,
            published,
        })) }
        (withheld(tests, model))
        @if let Err(error) = known { p.note { "How its tests went is not known: " (format!("{error:#}")) } }
    }
}

fn broken(problem: &str) -> Markup {
    html! {
        div.card.problem {
            h2 { "Its model is broken, so the table stays as it is" }
            (lines(problem))
            p { (said_by("tributary models check")) }
        }
    }
}

/// A table that nothing makes any more.
struct Left<'a> {
    name: &'a str,
    version: u64,
    place: &'a str,
    models: &'a str,
    streams: &'a str,
    published: Option<&'a Published>,
}

fn left(of: &Left<'_>) -> Markup {
    let (layer, bare) = of.name.split_once('.').unwrap_or(("", of.name));
    html! {
        div.banner data-state="warn" role="status" {
            (shape("warn"))
            div {
                @if layer == "gold" {
                    p { "No model makes this table any more: it is as it was at version " (of.version) "." }
                    p { "To have it kept up again, bring back " code { (of.models) "/" (bare) ".sql" } ". To be rid of it, delete its folder: " (said_by(&format!("rm -r {}", shell_word(of.place)))) }
                    @if let Some(Published { table_name, .. }) = of.published {
                        @let table = table_name.strip_prefix("gold.").unwrap_or(table_name);
                        p { "PostgreSQL still has it as " code { "gold." (table) } ": " code.command.sql data-copy { "DROP TABLE gold." (table) "; DELETE FROM ops.published WHERE table_name = '" (table_name) "'" } }
                    }
                } @else {
                    p { "No stream declares this table any more: it is as it was at version " (of.version) ", and nothing new comes to it." }
                    p { "To have it fed again, declare the stream in " code { (of.streams) } " and start Tributary again. Kafka may not have its records any more; where nobody needs them, delete its folder: " (said_by(&format!("rm -r {}", shell_word(of.place)))) }
                }
            }
        }
    }
}

/// Tests that do not hold, with rows that break them.
fn withheld(tests: &[ModelTest], model: Option<&Model>) -> Markup {
    let failed: Vec<&ModelTest> = tested::broken(tests, model).collect();
    html! {
        @if let Some(first) = failed.first() {
            div.card.problem {
                h2 { "It is not published, because of " @if failed.len() == 1 { "a test that does not hold" } @else { "tests that do not hold" } }
                @for test in &failed { (broken_test(test)) }
                p { "As of " a href={ "/runs/" (first.run_id) } { "run " (first.run_id) } ". Once the model or its source is mended, the next run tests it again and publishes it." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_nothing_makes_says_since_when_and_what_to_do() {
        let mut of = Left {
            name: "gold.old",
            version: 7,
            place: "/lake/gold/o'ld",
            models: "sql/models",
            streams: "streams",
            published: None,
        };
        let html = left(&of).into_string();
        assert!(html.contains("No model makes this table any more") && html.contains("version 7"), "{html}");
        assert!(html.contains("sql/models/old.sql") && html.contains("rm -r '/lake/gold/o"), "{html}");
        of.name = "silver.gone";
        assert!(left(&of).into_string().contains("No stream declares this table"));
    }

    #[test]
    fn a_test_that_does_not_hold_shows_its_rows() {
        let text =
            "-- materialize: by_day\n-- key: event_date\n-- test: unique(event_date)\nSELECT event_date FROM silver.user_events";
        let model = Model::parse(text, "kpi_dau.sql").unwrap();
        let bad = tested::tests::test("kpi_dau", "unique(event_date)", 7);
        let test = ModelTest { sample: vec!["2026-11-26, <b>".into()], ..bad };
        let html = withheld(&[test], Some(&model)).into_string();
        assert!(html.contains("not published") && html.contains("broken by 7 rows") && html.contains("&lt;b&gt;"), "{html}");
        assert_eq!(withheld(&[], Some(&model)).into_string(), "");
    }
}
