//! Words to a person: results on stdout, everything else on stderr; and the questions that are asked back.
//!
//! Promises that a reader who stops reading (`| head`) is no error, and that an error shows its whole chain of causes.

use std::io::{BufRead, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Error, Result};
use serde::Serialize;
use tributary_core::settings::layers::Refused;

use crate::acts::{self, Kind};
use crate::inspect::catalog::NoTable;
use crate::inspect::why::NothingOfThatName;
use crate::words;

/// The person asked for something that cannot be meant: exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// Writes text to stdout as it is.
pub(crate) fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(()),
    }
}

/// Writes JSON to stdout, for people and `jq` alike.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&(serde_json::to_string_pretty(value).context("cannot write JSON")? + "\n"))
}

/// A table without lines, aligned: `cut`, `awk` and eyes read it.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header).add_rows(rows);
    let text = table.to_string();
    text.lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned() + "\n").collect()
}

/// Says what went wrong, why, and with which exit status to end.
pub(crate) fn explain(error: &Error, colour: bool) -> ExitCode {
    let title = if colour { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
    if let Some(refused) = error.downcast_ref::<Refused>() {
        for mistake in &refused.0 {
            eprintln!("{title} {mistake}");
        }
        return ExitCode::from(2);
    }
    eprintln!("{title} {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    // What only stands in the way now is no mistake of whoever called.
    let makes_no_sense = error.downcast_ref::<acts::Refused>().is_some_and(|refused| refused.kind != Kind::Conflict);
    let called_wrongly = makes_no_sense || error.is::<Usage>() || error.is::<NoTable>() || error.is::<NothingOfThatName>();
    ExitCode::from(if called_wrongly { 2 } else { 1 })
}

/// Somebody named what is not there: says what is.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Usage {
    Usage(words::unknown(what, name, known))
}

/// Asks on a terminal. Where nobody can answer, the answer must have been given by a flag.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Usage("nobody can be asked here: say --yes".into()).into());
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
