//! The pipeline under `up`: handed the settings with every address filled in, stopped by the first signal.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tributary_core::settings::Role;
use tributary_core::stream::Stream;

use super::parts::Parts;
use super::signals::Signals;

/// Runs until a signal or a failure that no restart mends.
pub(crate) fn run(_parts: &Parts, _roles: BTreeSet<Role>, _streams: Vec<Stream>, mut signals: Signals) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(signals.first());
    signals.exit_on_the_next();
    Ok(ExitCode::SUCCESS)
}
