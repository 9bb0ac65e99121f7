//! Streams into which nothing comes: that may be as it should be, so it is said and no trouble.

use maud::{Markup, html};

use super::super::super::flow::Rates;
use super::super::super::parts::shape;
use super::super::super::shared::Shared;
use crate::words;

/// For how long nothing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Silence {
    minutes: u64,
    /// It may be longer: nobody has looked before.
    or_longer: bool,
}

impl Silence {
    /// In what was seen of a stream. Less than a minute is none.
    fn of(course: &[Rates]) -> Option<Self> {
        let came = course.iter().rev().find(|rates| rates.kafka > 0.0);
        let since = came.or(course.first())?.at;
        let minutes = u64::try_from((course.last()?.at - since).num_minutes()).unwrap_or(0);
        (minutes > 0).then_some(Self { minutes, or_longer: came.is_none() })
    }

    fn words(self) -> String {
        format!("for {}{}", words::plural(self.minutes, "minute"), if self.or_longer { " or longer" } else { "" })
    }
}

/// The streams of this process that are quiet.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    streams: Vec<(String, Silence)>,
    /// No other one is there.
    all: bool,
}

pub(super) fn find(shared: &Shared) -> Quiet {
    let own: Vec<String> = shared.made.boards.iter().map(|board| board.read().stream).collect();
    let silent = own.iter().filter_map(|name| Some((name.clone(), Silence::of(&shared.flow.of(name))?)));
    let streams: Vec<_> = silent.collect();
    Quiet { all: !streams.is_empty() && streams.len() == own.len(), streams }
}

/// That all is well, and what is quiet.
pub(super) fn all_is_well(quiet: &Quiet) -> Markup {
    let since = |(name, silence): &(String, Silence)| format!("to {name} {}", silence.words());
    let said = match quiet.streams.iter().map(|(_, silence)| *silence).min() {
        None => "All is well: records flow into every store, and nothing waits for a person.".to_owned(),
        Some(shortest) => {
            let streams = quiet.streams.iter().map(since).collect::<Vec<_>>().join(", ");
            let since = if quiet.all { shortest.words() } else { streams };
            format!("All is well, and nothing waits for a person. No records have come {since}.")
        }
    };
    let state = if quiet.all { "idle" } else { "ok" };
    html! { div.banner data-state=(state) role="status" { (shape(state)) p { (said) } } }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn course(kafka: &[f64]) -> Vec<Rates> {
        let at = |minute: usize| DateTime::<Utc>::from_timestamp(minute as i64 * 60, 0).unwrap();
        kafka.iter().enumerate().map(|(n, kafka)| Rates { at: at(n), kafka: *kafka, bronze: 0.0, serving: 0.0 }).collect()
    }

    #[test]
    fn silence_is_counted_from_the_last_record_that_was_seen() {
        let of = |kafka: &[f64]| Silence::of(&course(kafka)).map(Silence::words);
        assert_eq!(of(&[0.0, 5.0, 0.0, 0.0]).as_deref(), Some("for 2 minutes"));
        assert_eq!(of(&[0.0, 0.0]).as_deref(), Some("for 1 minute or longer"));
        assert_eq!([of(&[]), of(&[0.0]), of(&[0.0, 5.0])], [None, None, None]);
    }

    #[test]
    fn a_quiet_topic_is_a_note_and_no_trouble() {
        let silence = |minutes| Silence { minutes, or_longer: false };
        let said = |quiet: &Quiet| all_is_well(quiet).into_string();
        assert!(said(&Quiet::default()).contains("data-state=\"ok\"") && said(&Quiet::default()).contains("records flow"));
        let one = Quiet { streams: vec![("orders".into(), silence(4))], all: false };
        assert!(said(&one).contains("data-state=\"ok\"") && said(&one).contains("to orders for 4 minutes"), "{}", said(&one));
        let all = Quiet { streams: vec![("orders".into(), silence(4)), ("a".into(), silence(9))], all: true };
        assert!(said(&all).contains("data-state=\"idle\"") && said(&all).contains("have come for 4 minutes."), "{}", said(&all));
    }
}
