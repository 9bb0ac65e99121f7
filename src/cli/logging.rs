//! The log: lines on stderr, for a person or for a machine.
//!
//! Promises that what is asked for is heard: rooms by the names that metrics give them, and no word that means nothing.

use std::io::stderr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tributary_core::settings::{Log, LogFormat};

use super::output::Usage;

/// Libraries that say too much at `info`.
const QUIETER: [&str; 8] =
    ["sqlx", "actix", "actix_server", "buoyant_kernel", "buoyant_kernel_engine", "deltalake", "hyper", "rustls"];

/// Switches the log on. May be called once per process.
pub(crate) fn begin(log: &Log, colour: bool) -> Result<(), Usage> {
    let filter =
        EnvFilter::try_new(directives(&log.filter)?).map_err(|error| Usage(format!("log.filter `{}`: {error}", log.filter)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colour);
    let begun = match log.format {
        LogFormat::Pretty => builder.compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    begun.map_err(|error| Usage(format!("cannot begin the log: {error}")))
}

/// What a person asked for, as the library reads it: the last that it reads of a target holds.
fn directives(asked: &str) -> Result<String, Usage> {
    // Who wants everything wants the libraries, too.
    if asked.trim() == "trace" {
        return Ok("trace".into());
    }
    let mut all = vec!["info".to_owned()];
    all.extend(QUIETER.map(|library| format!("{library}=warn")));
    for part in asked.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        // The library takes any other word for the name of a target, and says nothing of all others.
        if !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err() {
            return Err(Usage(format!(
                "log.filter `{asked}`: `{part}` is no level; there are off, error, warn, info, debug, trace; of one room or library: \
                 info,delta_writer=debug"
            )));
        }
        // A room is a module; some lines of it bear its bare name.
        if let Some((room, level)) = part.split_once('=')
            && !room.contains("::")
        {
            all.push(format!("tributary_actors::{room}={level}"));
        }
        all.push(part.to_owned());
    }
    Ok(all.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_speaks_by_its_name_and_the_rest_as_before() {
        let said = directives("delta_writer=debug").unwrap();
        assert!(said.starts_with("info,sqlx=warn,"), "{said}");
        assert!(said.ends_with(",tributary_actors::delta_writer=debug,delta_writer=debug"), "{said}");
        let said = directives("warn, sqlx=debug").unwrap();
        assert!(said.contains(",warn,") && said.ends_with(",sqlx=debug"), "what comes later holds: {said}");
        assert_eq!(directives("trace").unwrap(), "trace");
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_those_that_are() {
        for wrong in ["loud", "info,delta_writer", "debug,trase"] {
            assert!(directives(wrong).unwrap_err().0.contains("is no level; there are off, error"), "{wrong}");
        }
        for right in ["OFF", "info", "debug,tributary_actors::gate=trace", "warn,[partition]=debug", ""] {
            assert!(EnvFilter::try_new(directives(right).unwrap()).is_ok(), "{right}");
        }
    }
}
