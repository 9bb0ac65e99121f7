//! `tributary config show`: every setting, its value, and who said so.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;
use tributary_core::settings::layers::Origin;
use tributary_core::settings::table;

use super::output;
use super::session::Session;

/// Settings: what they are and where they come from
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary config show
  tributary config show --changed       only what somebody set
  EVENTS_PER_SECOND=50 tributary config show generator
  tributary config show --json | jq '.[] | select(.origin != \"default\")'
  tributary config names                every setting with its names in the environment")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Every setting with its value and where the value came from; secrets are masked
    Show {
        /// Only settings whose name begins with this: kafka, pipeline, …
        #[arg(value_name = "PREFIX", default_value = "")]
        prefix: String,
        /// Only what somebody set
        #[arg(long = "changed")]
        changed: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Every setting with its names in the environment and what it is for
    Names {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(args: &Args, session: &Session) -> Result<ExitCode> {
    match &args.action {
        Action::Show { prefix, changed, json } => show(session, prefix, *changed, *json)?,
        Action::Names { json } => names(*json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(session: &Session, prefix: &str, changed: bool, as_json: bool) -> Result<()> {
    let mut shown = session.loaded.shown();
    shown.retain(|row| row.name.starts_with(prefix) && !(changed && row.origin == Origin::Default));
    if as_json {
        let rows = shown.iter().map(|row| json!({ "name": row.name, "value": row.value, "origin": row.origin.to_string() }));
        return output::print_json(&rows.collect::<Vec<_>>());
    }
    let rows = shown.into_iter().map(|row| vec![row.name, row.value.unwrap_or_else(|| "-".into()), row.origin.to_string()]);
    output::print(&output::table(&["SETTING", "VALUE", "ORIGIN"], rows.collect()))
}

fn names(as_json: bool) -> Result<()> {
    if as_json {
        let rows = table::TABLE.iter().map(|row| json!({ "name": row.name, "environment": row.env_names(), "help": row.help }));
        return output::print_json(&rows.collect::<Vec<_>>());
    }
    // The first name is the one to remember.
    let rows = table::TABLE.iter().map(|row| vec![row.name.into(), row.env_names().swap_remove(0), row.help.into()]);
    output::print(&output::table(&["SETTING", "ENVIRONMENT", "MEANING"], rows.collect()))
}
