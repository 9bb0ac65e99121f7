//! How long a table takes to open: its newest version, with every live file and its statistics, read from the log as it lies there.
//! Prints one JSON line.
//!
//! `open_table LAKE TABLE [TIMES]`, as in `open_table data/lake bronze.user_events`
#![allow(clippy::print_stdout)] // the line is the result

use std::time::Instant;

use tributary_actors::lake::{self, snapshot::Snapshot};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(lake), Some(table)) = (arguments.next(), arguments.next()) else {
        return Err("usage: open_table LAKE TABLE [TIMES]".into());
    };
    let times: usize = arguments.next().map_or(Ok(20), |times| times.parse())?;
    let store = lake::table(&lake::lake_url(&lake)?, &table, [])?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut opens_ms = Vec::new();
    let mut opened = None;
    for _ in 0..times {
        let begun = Instant::now();
        opened = Some(runtime.block_on(Snapshot::open(&store))?);
        opens_ms.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let (version, files) = opened.map_or((0, 0), |table| (table.version(), table.files().len()));
    println!("{}", serde_json::json!({"version": version, "files": files, "opens_ms": opens_ms}));
    Ok(())
}
