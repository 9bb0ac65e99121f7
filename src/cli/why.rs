//! `tributary why`: one screen from a number back to Kafka.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tributary_batch::models::read_folder;
use tributary_core::model::Model;

use super::desk::{self, with_history};
use super::output;
use super::session::Session;
use crate::inspect::behind::Lag;
use crate::inspect::catalog::Catalog;
use crate::inspect::tested;
use crate::inspect::why::{Behind, Hop, Known, Question, Why, why};
use crate::words;

/// Why a number is as it is: from it back to Kafka, and what it waits for
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary why gold.daily_active_users       a table of PostgreSQL
  tributary why kpi_conversion_rate           a model
  tributary why silver.user_events            a table of the lake
  tributary why gold.daily_active_users --json | jq '.waits_for'

Each line is a hop: how much it has, since when, by which run, and what it lacks of the one below it.")]
pub(crate) struct Args {
    /// A table of PostgreSQL's schema gold, a model, or a table of the lake
    #[arg(value_name = "NAME")]
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let settings = session.reachable();
    let streams: Vec<Arc<_>> = session.streams()?.into_iter().map(Arc::new).collect();
    let files = read_folder(session.settings().batch.models_dir.as_ref())?;
    let written: Vec<Model> = files.iter().filter_map(|(file, text)| Model::parse(text, file).ok()).collect();
    let names = tested::names(&written);
    let history = with_history(session, async |history| Known::read(history.connection(), &names).await);
    let history = history.map_err(|error| eprintln!("PostgreSQL cannot be asked: {error:#}")).ok();
    let engine = desk::engine(session, None)?;
    let answer = desk::runtime()?.block_on(async {
        let question = Question {
            catalog: &Catalog::of(&settings)?,
            stores: &super::audit::stores(&settings),
            streams: &streams,
            models: &desk::models(session, &engine).await?,
            written: &written,
            jobs: &session.jobs()?,
            history: history.as_ref(),
        };
        why(&question, &args.name).await
    })?;
    match args.json {
        true => output::print_json(&answer)?,
        false => output::print(&text(&answer, Utc::now()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(answer: &Why, now: DateTime<Utc>) -> String {
    let mut text = format!("{}\n\n", answer.asked);
    let rows = answer.hops.iter().map(|hop| row(hop, now)).collect();
    text += &output::table(&["WHERE", "WHAT", "ROWS", "NEWEST", "VERSION", "SINCE", "RUN", "BEHIND"], rows);
    text += "\n";
    if answer.waits_for.is_empty() {
        return text + "waits for nothing\n";
    }
    text += "waits for:\n";
    for wait in &answer.waits_for {
        text += &format!("  {}\n", wait.what);
        if let Some(command) = &wait.command {
            text += &format!("    {command}\n");
        }
    }
    text
}

fn row(hop: &Hop, now: DateTime<Utc>) -> Vec<String> {
    let or = |text: Option<String>| text.unwrap_or_else(|| words::NOTHING.into());
    let newest = hop.newest_record_at.map(|time| words::ago(time, now)).or_else(|| hop.newest_day.clone());
    vec![
        hop.store.to_owned(),
        hop.name.clone(),
        or(hop.rows.map(words::count)),
        or(newest),
        or(hop.version.map(|version| version.to_string())),
        or(hop.at.map(|time| words::ago(time, now))),
        or(hop.run.map(|run| run.to_string())),
        behind(hop),
    ]
}

fn behind(hop: &Hop) -> String {
    if let Some(problem) = &hop.problem {
        return words::first_line(problem, 60);
    }
    match &hop.behind {
        Behind::Source => words::NOTHING.into(),
        Behind::Unknown => "?".into(),
        Behind::Rows(0) | Behind::Table(Lag::Nothing) => "nothing".into(),
        Behind::Rows(rows) => words::plural(*rows, "row"),
        Behind::Table(Lag::Everything(why)) => format!("everything: {why}"),
        Behind::Table(Lag::Days(days)) => {
            let list: Vec<i32> = days.iter().copied().collect();
            format!("{}: {}", words::plural(days.len() as u64, "day"), words::days(&list))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::why::Wait;

    fn hop(store: &'static str, behind: Behind) -> Hop {
        Hop {
            store,
            name: "x".into(),
            from: Vec::new(),
            version: Some(17),
            at: None,
            run: Some(4),
            rows: Some(12_345),
            newest_day: Some("2026-11-25".into()),
            newest_record_at: None,
            behind,
            problem: None,
        }
    }

    #[test]
    fn each_hop_says_what_it_lacks() {
        assert_eq!(behind(&hop("silver", Behind::Rows(1))), "1 row");
        assert_eq!(behind(&hop("gold", Behind::Table(Lag::Days([0].into())))), "1 day: 1970-01-01");
        assert_eq!(behind(&hop("gold", Behind::Table(Lag::Nothing))), "nothing");
        let broken = Hop { problem: Some("line 3\nmore".into()), ..hop("gold", Behind::Unknown) };
        assert_eq!(behind(&broken), "line 3…");
    }

    #[test]
    fn what_is_waited_for_comes_with_the_command_that_helps() {
        let wait = Wait { what: "the job is paused".into(), command: Some("tributary jobs resume x".into()) };
        let mut answer = Why { asked: "gold.a".into(), hops: vec![hop("gold", Behind::Rows(0))], waits_for: vec![wait] };
        let said = text(&answer, Utc::now());
        assert!(said.contains("waits for:\n  the job is paused\n    tributary jobs resume x\n"), "{said}");
        assert!(said.contains("12,345  2026-11-25"), "{said}");
        answer.waits_for.clear();
        assert!(text(&answer, Utc::now()).ends_with("waits for nothing\n"));
    }
}
