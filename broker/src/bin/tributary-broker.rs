//! The broker as a process of its own, for the tests that kill it. People use `tributary broker`.
//!
//! `tributary-broker DIR [ADDRESS]` prints the address it listens on and serves until SIGTERM or SIGINT.

use std::io::Write;

use tokio::signal::unix::{SignalKind, signal};
use tributary_broker::{Broker, Config};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: tributary-broker DIR [ADDRESS]")?;
    let mut config = Config::new(dir);
    if let Some(address) = args.next() {
        config.listen = address.parse()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let broker = Broker::start(config)?;
        writeln!(std::io::stdout(), "{}", broker.addr())?;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = broker.ended() => {}
        }
        broker.shutdown().await?;
        Ok(())
    })
}
