//! The log: lines on stderr, for a person or for a machine.

use std::io::stderr;

use tracing_subscriber::EnvFilter;
use tributary_core::settings::{Log, LogFormat};

use super::output::Usage;

/// Libraries that say too much at `info`.
const QUIETER: [&str; 8] =
    ["sqlx", "actix", "actix_server", "buoyant_kernel", "buoyant_kernel_engine", "deltalake", "hyper", "rustls"];

/// Switches the log on. May be called once per process.
pub(crate) fn begin(log: &Log, colour: bool) -> Result<(), Usage> {
    let own = log.filter.clone();
    // Whoever names targets knows what they want.
    let filter = match own.contains(['=', ',']) {
        true => own,
        false if own == "trace" => own,
        false => QUIETER.iter().fold(own, |filter, library| format!("{filter},{library}=warn")),
    };
    let filter = EnvFilter::try_new(&filter).map_err(|error| Usage(format!("log.filter `{}`: {error}", log.filter)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colour);
    let begun = match log.format {
        LogFormat::Pretty => builder.compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| Usage(format!("cannot begin the log: {error}")))
}
