//! How fast and how often a broken pipeline is rebuilt: exponential backoff under a budget. Time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// First wait; doubles with each restart inside `period`.
    pub backoff: Duration,
    /// Longest wait.
    pub backoff_max: Duration,
    /// Restarts inside `period` before giving up.
    pub budget: u32,
    /// What "recently" means.
    pub period: Duration,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Rebuild after this long.
    Again(Duration),
    /// The budget is spent: stop the process, something outside must change.
    GiveUp,
}

/// Counts restarts against a [`Policy`].
#[derive(Debug)]
pub struct Restarts {
    policy: Policy,
    at: VecDeque<Duration>,
}

impl Restarts {
    /// Nothing broken yet.
    pub fn new(policy: Policy) -> Self {
        Self { policy, at: VecDeque::new() }
    }

    /// Something broke at `now` (time since any fixed start).
    pub fn broke(&mut self, now: Duration) -> Verdict {
        while self.at.front().is_some_and(|t| now.saturating_sub(*t) > self.policy.period) {
            self.at.pop_front();
        }
        self.at.push_back(now);
        let n = u32::try_from(self.at.len()).unwrap_or(u32::MAX);
        if n > self.policy.budget {
            return Verdict::GiveUp;
        }
        let doubled = self.policy.backoff.saturating_mul(1 << (n - 1).min(20));
        Verdict::Again(doubled.min(self.policy.backoff_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_the_budget_ends_it() {
        let policy = Policy {
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5),
            budget: 4,
            period: Duration::from_secs(600),
        };
        let mut r = Restarts::new(policy);
        let s = Duration::from_secs;
        let waits: Vec<_> = (0..5).map(|i| r.broke(s(i))).collect();
        assert_eq!(
            waits,
            [Verdict::Again(s(1)), Verdict::Again(s(2)), Verdict::Again(s(4)), Verdict::Again(s(5)), Verdict::GiveUp]
        );
    }

    #[test]
    fn an_old_restart_is_forgotten() {
        let policy = Policy {
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            budget: 2,
            period: Duration::from_secs(10),
        };
        let mut r = Restarts::new(policy);
        for i in 0..20 {
            assert_eq!(r.broke(Duration::from_secs(i * 11)), Verdict::Again(Duration::from_secs(1)));
        }
    }
}
