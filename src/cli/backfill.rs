//! `tributary backfill`: days of the past anew, in one run.
//!
//! Says first how much that is and how long it may take. The run takes the days in slices of bounded size, so that memory does not grow
//! with their number.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Result;
use chrono::NaiveDate;
use tributary_core::job::Job;

use super::desk::{self, with_history};
use super::output;
use super::run::say_if_paused;
use super::runs::follow_or_say;
use super::session::Session;
use crate::acts;
use crate::inspect::catalog::Catalog;
use crate::inspect::estimate::{self, Estimate, rates};
use crate::words;

/// Build days of the past anew, in one run
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary backfill lakehouse_bronze_to_gold --from 2026-11-01 --to 2026-11-24 --dry-run    how much, and how long
  tributary backfill lakehouse_bronze_to_gold --from 2026-11-01 --to yesterday --wait
  tributary backfill lakehouse_bronze_to_gold --from 2026-11-01 --to 2026-11-24 --yes        without being asked

These days of silver are made anew from bronze, then these days of every gold table; what passes its tests is published.
The number of the run goes to stdout. Exit status with --wait: 0 succeeded, 1 failed or cancelled")]
pub(crate) struct Args {
    /// Name or alias of the job
    #[arg(value_name = "JOB")]
    job: String,
    /// First day: 2026-11-25, today or yesterday
    #[arg(long, value_name = "DAY", value_parser = words::day)]
    from: NaiveDate,
    /// Last day, which is included
    #[arg(long, value_name = "DAY", value_parser = words::day)]
    to: NaiveDate,
    /// Publish days that shrank, too
    #[arg(long)]
    force: bool,
    /// Say how much it is, and do nothing
    #[arg(long, conflicts_with_all = ["wait", "yes"])]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Follow it to its end
    #[arg(long)]
    wait: bool,
    /// Print the estimate as JSON (with --dry-run)
    #[arg(long, requires = "dry_run")]
    json: bool,
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    let job = session.job(&args.job)?;
    acts::can_backfill(&job, args.from, args.to)?;
    let estimate = measure(session, &job, args)?;
    if args.json {
        output::print_json(&estimate)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = text(&estimate, args.from, args.to);
    if args.dry_run {
        output::print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    eprint!("{text}");
    if !output::confirm("Queue this run?", args.yes)? {
        eprintln!("nothing was queued");
        return Ok(ExitCode::FAILURE);
    }
    with_history(session, async |history| {
        let queued = acts::backfill(history.connection(), &session.who(), &job, args.from, args.to, args.force).await?;
        say_if_paused(&queued, &job);
        follow_or_say(history, queued.run, args.wait).await
    })
}

fn measure(session: &Session, job: &Job, args: &Args) -> Result<Estimate> {
    let rates = with_history(session, async |history| Ok(rates(history.connection(), &job.name).await?));
    let rates = rates.map_err(|error| eprintln!("how fast earlier runs were is not known: {error:#}")).unwrap_or_default();
    let catalog = Catalog::of(&session.reachable())?;
    desk::runtime()?.block_on(async {
        let plan = desk::plan(session, job).await?;
        let streams: Vec<String> = session.streams()?.into_iter().map(|stream| stream.name).collect();
        estimate::backfill(&catalog, &plan, &streams, (args.from, args.to), &rates).await
    })
}

fn text(estimate: &Estimate, from: NaiveDate, to: NaiveDate) -> String {
    let total = estimate.total();
    let mut text =
        format!("{from} to {to}: {}, {} of them with rows\n", words::plural(estimate.days_asked as u64, "day"), total.days);
    let rows = estimate
        .tasks
        .iter()
        .map(|(task, volume)| vec![task.clone(), volume.days.to_string(), words::count(volume.rows), words::bytes(volume.bytes)]);
    let sum = vec!["together".to_owned(), total.days.to_string(), words::count(total.rows), words::bytes(total.bytes)];
    text += &output::table(&["TASK", "DAYS", "ROWS READ", "BYTES"], rows.chain([sum]).collect());
    // Writing to a String cannot fail.
    let _ = writeln!(text, "expected time: {}", estimate.time_words());
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::inspect::estimate::Volume;

    #[test]
    fn an_estimate_says_what_it_does_not_know() {
        let day = |text: &str| words::day(text).unwrap();
        let volume = Volume { days: 2, rows: 1_200_000, bytes: 5 << 20 };
        let mut estimate = Estimate {
            days_asked: 24,
            tasks: BTreeMap::from([("kpi_dau".to_owned(), volume)]),
            time: None,
            unknown: vec!["kpi_dau".into()],
        };
        let said = |estimate: &Estimate| text(estimate, day("2026-11-01"), day("2026-11-24"));
        assert!(said(&estimate).starts_with("2026-11-01 to 2026-11-24: 24 days, 2 of them with rows\n"));
        assert!(said(&estimate).contains("1,200,000") && said(&estimate).contains("unknown: no run yet"));
        estimate.time = Some(Duration::from_secs(90));
        assert!(said(&estimate).contains("more than 1 min 30 s: kpi_dau never ran"));
        estimate.unknown.clear();
        assert!(said(&estimate).contains("expected time: 1 min 30 s, as fast as earlier runs"));
    }
}
