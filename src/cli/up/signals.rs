//! Ctrl-C and `kill`: the first asks for an orderly end, the second gets an immediate one.

use std::process;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, once this exists.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Returns when the person wants an end.
    pub(crate) async fn first(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => tracing::info!("interrupted; stopping in order (again: at once)"),
            _ = self.terminate.recv() => tracing::info!("asked to end; stopping in order (again: at once)"),
        }
    }

    /// Spends itself on waiting, on a thread of its own: a shutdown that blocks must not keep a person waiting.
    pub(crate) fn exit_on_the_next(self) {
        let Self { mut interrupt, mut terminate } = self;
        let wait = move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            let code = runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                }
            });
            eprintln!("stopped at once; nothing that was confirmed is lost");
            process::exit(code);
        };
        if let Err(error) = std::thread::Builder::new().name("signals".into()).spawn(wait) {
            tracing::warn!("a second signal will not be heard: {error}");
        }
    }
}
