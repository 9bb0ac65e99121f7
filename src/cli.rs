//! The command line: one file per subcommand, and what they share.
//!
//! A subcommand is a file with `Args` (its flags and examples), a `run` that takes them and a [`Session`], and a line in
//! [`Command`] and [`dispatch`]. Rules for all: data on stdout, messages on stderr; exit status 0 done, 1 failed or differs, 2 called
//! wrongly; an error says why and what to do next; colour only on a terminal that wants it.

mod activity;
mod audit;
mod backfill;
mod broker;
mod config;
mod deadletters;
mod debug;
pub(crate) mod declared;
mod desk;
mod doctor;
mod follow;
mod generate;
mod globals;
mod heal;
mod health;
mod jobs;
mod logging;
mod models;
mod output;
pub(crate) mod page;
mod query;
mod repair;
mod rows;
mod run;
mod runs;
mod session;
mod status;
mod tables;
mod topic;
mod up;
mod version;
mod when;
mod why;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use globals::Globals;
use session::Session;

/// The streaming lakehouse in one binary: Kafka to Delta Lake and PostgreSQL, exactly once
#[derive(Debug, Parser)]
#[command(
    name = "tributary",
    version,
    propagate_version = true,
    max_term_width = 110,
    after_help = "\
Examples:
  tributary up                      everything, on this machine, with demo traffic
  tributary up --no-generator       the same, waiting for your events on the embedded broker
  tributary status                  what runs, where, and how far it is
  tributary doctor                  what is wrong here, and what to do about it
  tributary runs list               what was computed from it, and how that went
  tributary query \"SELECT * FROM gold.kpi_dau\"
  tributary why gold.daily_active_users
  tributary audit                   prove that nothing is missing and nothing is there twice
  tributary config show             every setting, its value and where it came from

Settings come from flags, then the environment, then tributary.toml, then defaults.
Exit status: 0 done, 1 failed or differs, 2 called wrongly"
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Up(up::Args),
    Status(status::Args),
    Health(health::Args),
    Doctor(doctor::Args),
    Jobs(jobs::Args),
    Run(run::Args),
    Runs(runs::Args),
    Backfill(backfill::Args),
    Activity(activity::Args),
    Tables(tables::Args),
    Models(models::Args),
    Query(query::Args),
    Why(why::Args),
    Audit(audit::Args),
    Generate(generate::Args),
    Topic(topic::Args),
    Deadletters(deadletters::Args),
    Heal(heal::Args),
    Config(config::Args),
    Debug(debug::Args),
    Broker(broker::Args),
    Version(version::Args),
}

/// Reads the command line, runs what it asks for, and says what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let colour = cli.globals.colour();
    dispatch(cli).unwrap_or_else(|error| output::explain(&error, colour))
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    let globals = &cli.globals;
    match cli.command {
        Command::Version(args) => version::run(&args, globals),
        Command::Up(args) => up::run(&args, &Session::begin(globals, args.flags())?),
        Command::Status(args) => status::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Health(args) => health::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Doctor(args) => doctor::run(&args, globals),
        Command::Jobs(args) => jobs::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Run(args) => run::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Runs(args) => runs::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Backfill(args) => backfill::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Activity(args) => activity::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Tables(args) => tables::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Models(args) => models::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Query(args) => query::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Why(args) => why::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Audit(args) => {
            let session = Session::begin(globals, Vec::new())?;
            audit::run(&args, &session.reachable(), session.streams()?)
        }
        Command::Generate(args) => generate::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Topic(args) => topic::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Deadletters(args) => deadletters::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Heal(args) => heal::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Config(args) => config::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Debug(args) => debug::run(&args, &Session::begin(globals, Vec::new())?),
        Command::Broker(args) => broker::run(&args, &Session::begin(globals, args.flags())?),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_coherent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_leads_its_help_with_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{} has no examples", command.get_name());
        }
    }
}
