//! `tributary broker`: the embedded broker alone.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tributary_core::settings::layers::Flag;

use super::output;
use super::session::Session;
use super::up::signals::Signals;
use crate::embedded::broker::{Broker, Options};

/// Run the embedded broker alone: a log that speaks Kafka's protocol, on loopback
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tributary broker                                      on 127.0.0.1:29092, data in ./data/kafka
  tributary broker --port 0 --data /tmp/try             on any free port
  kcat -b 127.0.0.1:29092 -L                            what is there
  KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:29092 tributary up  use it from another process")]
pub(crate) struct Args {
    /// Port; 0: any free one [default: 29092]
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
}

impl Args {
    pub(crate) fn flags(&self) -> Vec<Flag> {
        self.port.iter().map(|port| super::globals::flag("--port", "kafka.embedded_port", port)).collect()
    }
}

pub(crate) fn run(_args: &Args, session: &Session) -> Result<ExitCode> {
    let options = Options {
        home: session.data_dir()?.join("kafka"),
        kafka: session.settings().kafka.clone(),
        port_pinned: !session.loaded.is_default("kafka.embedded_port"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let broker = Broker::start(&options)?;
        output::print(&format!("{}\n", broker.address()))?;
        let failed = async {
            loop {
                match broker.running().failure() {
                    Some(failure) => break failure,
                    None => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
                }
            }
        };
        tokio::select! {
            () = signals.first() => {}
            failure = failed => bail!("the broker stopped: {failure}"),
        }
        signals.exit_on_the_next();
        broker.stop()?;
        Ok(ExitCode::SUCCESS)
    })
}
