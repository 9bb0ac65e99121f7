//! Laws of the traffic: shares, sameness, pace, and a truth that an independent count of the bytes confirms.

mod decoder;
mod pace;
mod records;
mod recount;

use super::*;
use crate::stream::Limits;

/// 2026-11-20T10:30:00Z
const START_US: i64 = 1_795_170_600_000_000;
const HOUR_US: i64 = 3_600_000_000;

fn plan(count: u64) -> Plan {
    Plan {
        count,
        seed: 7,
        start_us: START_US,
        span_us: HOUR_US,
        population: Population { num_users: 100, growth_per_hour: 10.0 },
        profile: Profile::Plain,
        malformed: 0.0,
        late: 0.0,
        duplicate: 0.0,
        unusual: 0.0,
        oversized: 0,
    }
}

fn mixed(count: u64) -> Plan {
    Plan { malformed: 0.02, late: 0.05, duplicate: 0.03, unusual: 0.04, ..plan(count) }
}

/// Key, payload and meaning of a record, owned.
type Owned = (Vec<u8>, Option<Vec<u8>>, Made);

fn all(plan: &Plan) -> Vec<Owned> {
    let (mut records, mut all) = (plan.records(), Vec::new());
    while let Some(record) = records.next() {
        all.push((record.key.to_vec(), record.payload.map(<[u8]>::to_vec), record.made));
    }
    all
}

fn events(plan: &Plan) -> Vec<Event> {
    all(plan)
        .into_iter()
        .filter_map(|(.., made)| match made {
            Made::Valid { event, .. } => Some(event),
            Made::Flawed(_) => None,
        })
        .collect()
}

#[test]
fn a_plan_whose_events_would_not_be_valid_is_refused() {
    let limits = Limits::default();
    let (plan, end) = (plan(10), START_US + HOUR_US);
    assert_eq!(plan.check(end, &limits), Ok(()));
    assert_eq!(plan.check(end - 600_000_000, &limits), Ok(()));
    assert_eq!(plan.check(end - 601_000_000, &limits), Err(PlanError::Future(601, 600)));
    let day = 24 * HOUR_US;
    assert_eq!(plan.check(START_US + 399 * day, &limits), Ok(()));
    assert!(matches!(plan.check(START_US + 400 * day, &limits), Err(PlanError::Ancient(401, 400))));
    let late = Plan { late: 0.1, ..plan.clone() };
    assert!(matches!(late.check(START_US + 399 * day, &limits), Err(PlanError::Ancient(..))));
    assert_eq!(Plan { malformed: 0.6, late: 0.6, ..plan.clone() }.check(end, &limits), Err(PlanError::Shares));
    assert_eq!(Plan { late: -0.1, ..plan.clone() }.check(end, &limits), Err(PlanError::Shares));
    assert_eq!(Plan { late: f64::NAN, ..plan.clone() }.check(end, &limits), Err(PlanError::Shares));
    assert_eq!(Plan { span_us: 0, ..plan.clone() }.check(end, &limits), Err(PlanError::Span));
    let oversized = Plan { oversized: 11, ..plan };
    assert_eq!(oversized.check(end, &limits), Err(PlanError::Oversized { oversized: 11, count: 10 }));
}
