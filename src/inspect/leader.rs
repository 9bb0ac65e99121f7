//! Whether anybody runs jobs, by the lease in PostgreSQL.

use chrono::{DateTime, Utc};
use tributary_actors::serving::lease::Held;

use crate::words;

/// Why nobody takes queued runs, and what to do; none: somebody does.
pub(crate) fn nobody(held: Option<&Held>, now: DateTime<Utc>) -> Option<String> {
    let last = match held {
        Some(held) if held.alive => return None,
        Some(held) => format!("the last one was {}, until {}", held.holder, words::ago(held.expires_at, now)),
        None => "nobody ever did".into(),
    };
    Some(format!(
        "no process runs jobs now ({last}): start `tributary up`, or `tributary up --roles batch` beside others of this database"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_ran_out_is_said_with_what_to_do() {
        let now = chrono::Utc::now();
        let mut held = Held {
            name: "batch".into(),
            holder: "anvil".into(),
            epoch: 3,
            acquired_at: now,
            expires_at: now - chrono::TimeDelta::seconds(90),
            alive: false,
        };
        let said = nobody(Some(&held), now).unwrap();
        assert!(said.contains("anvil, until 90 s ago") && said.contains("tributary up"), "{said}");
        assert!(nobody(None, now).unwrap().contains("nobody ever did"));
        held.alive = true;
        assert_eq!(nobody(Some(&held), now), None);
    }
}
