//! Where in event time the records of a plan are.
//!
//! Assumes that records are asked for in order. Promises a course that begins at the plan's start, never goes back and stays within
//! its span.

use super::model::Profile;
use super::plan::Plan;

const HOUR_US: i64 = 3_600_000_000;

/// Where in event time each record is: evenly, or by the rhythm of the day. Whole numbers only, so that all machines agree.
#[derive(Debug)]
pub(super) struct Course {
    profile: Profile,
    count: u128,
    total: u128,
    end_us: i64,
    /// The stretch of constant weight that the stream is in: its beginning, and the traffic before it.
    from_us: i64,
    before: u128,
}

impl Course {
    /// The course of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let end_us = plan.start_us.saturating_add(plan.span_us.max(1));
        let mut course = Self {
            profile: plan.profile,
            count: u128::from(plan.count.max(1)),
            total: 0,
            end_us,
            from_us: plan.start_us,
            before: 0,
        };
        let mut from = plan.start_us;
        while from < end_us {
            let to = course.stretch_end(from);
            course.total += course.traffic(from, to);
            from = to;
        }
        course
    }

    fn stretch_end(&self, from_us: i64) -> i64 {
        match self.profile {
            Profile::Plain => self.end_us,
            Profile::Realistic => (from_us.div_euclid(HOUR_US) * HOUR_US).saturating_add(HOUR_US).min(self.end_us),
        }
    }

    fn traffic(&self, from_us: i64, to_us: i64) -> u128 {
        (to_us - from_us) as u128 * u128::from(self.profile.weight(from_us))
    }

    /// Event time of this record; numbers must not go back.
    pub(super) fn at(&mut self, number: u64) -> i64 {
        let target = self.total * u128::from(number) / self.count;
        loop {
            let to = self.stretch_end(self.from_us);
            let traffic = self.traffic(self.from_us, to);
            if target < self.before + traffic || to >= self.end_us {
                let into = (target - self.before) / u128::from(self.profile.weight(self.from_us).max(1));
                return self.from_us + into as i64;
            }
            self.before += traffic;
            self.from_us = to;
        }
    }
}
