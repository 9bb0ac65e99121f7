//! Flags that every subcommand takes.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::ArgAction;
use tributary_core::settings::layers::Flag;

/// Flags that every subcommand takes, before or after its name.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Globals {
    /// Settings file [default: tributary.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "TRIBUTARY_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// One setting by its dotted name; may be repeated (`config show` lists them)
    #[arg(long = "set", global = true, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// Folder of everything embedded, and of the lake [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Folder of the declared streams [default: streams]
    #[arg(long, global = true, value_name = "DIR")]
    streams: Option<String>,
    /// Form of the log: pretty or json
    #[arg(long, global = true, value_name = "FORM")]
    log_format: Option<String>,
    /// Log more (-vv: still more)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// No colour (also: NO_COLOR)
    #[arg(long, global = true)]
    no_color: bool,
}

impl Globals {
    /// As settings; the error is a flag that cannot be read.
    pub(crate) fn flags(&self) -> Result<Vec<Flag>, String> {
        let mut flags = Vec::new();
        for pair in &self.set {
            let (name, value) = pair.split_once('=').ok_or_else(|| format!("--set {pair}: write NAME=VALUE"))?;
            flags.push(flag("--set", name.trim(), value.trim()));
        }
        let volume = match (self.quiet, self.verbose) {
            (true, _) => Some(("--quiet", "warn")),
            (false, 0) => None,
            (false, 1) => Some(("--verbose", "debug")),
            (false, _) => Some(("--verbose", "trace")),
        };
        let named = [
            ("--data", "data_dir", self.data.as_deref()),
            ("--streams", "streams_dir", self.streams.as_deref()),
            ("--log-format", "log.format", self.log_format.as_deref()),
        ];
        flags.extend(named.into_iter().filter_map(|(written, name, value)| Some(flag(written, name, value?))));
        flags.extend(volume.map(|(written, level)| flag(written, "log.filter", level)));
        Ok(flags)
    }

    /// Whether to colour what goes to stderr.
    pub(crate) fn colour(&self) -> bool {
        let refused = self.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        !refused && std::io::stderr().is_terminal()
    }
}

/// A setting as a flag gives it.
pub(crate) fn flag(written: &str, name: &str, value: &str) -> Flag {
    Flag { flag: written.into(), name: name.into(), value: value.into() }
}
