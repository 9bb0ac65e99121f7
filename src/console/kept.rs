//! Answers that are worth keeping for a while, because a page that somebody watches asks for them every two seconds.
//!
//! Bounded: the oldest goes when there are too many. Two that ask for the same at once may both find it out; that costs a little and
//! nobody waits for anybody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

/// What was found out, when, and how long that took.
#[derive(Debug)]
pub(crate) struct Found<T> {
    /// Until when it is good.
    until: Option<Instant>,
    at: Instant,
    what: Arc<T>,
}

/// Answers by what was asked.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    most: usize,
    /// None: for as long as there is room.
    time: Option<Duration>,
    found: Mutex<HashMap<String, Found<T>>>,
}

impl<T> Kept<T> {
    /// At most so many, each for so long; without a time as long as there is room.
    pub(crate) fn new(most: usize, time: Option<Duration>) -> Self {
        Self { most, time, found: Mutex::new(HashMap::new()) }
    }

    /// What is kept of it.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<T>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let found = found.get(key)?;
        found.until.is_none_or(|until| Instant::now() < until).then(|| Arc::clone(&found.what))
    }

    /// What is kept of it, or what comes of `find`. What took long to find out is kept longer: nine tenths of the time nothing is read.
    pub(crate) async fn or(&self, key: &str, find: impl Future<Output = Result<T>>) -> Result<Arc<T>> {
        if let Some(known) = self.get(key) {
            return Ok(known);
        }
        let begin = Instant::now();
        let what = Arc::new(find.await?);
        let (at, took) = (Instant::now(), begin.elapsed());
        let until = self.time.map(|time| at + time.max(took * 9));
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= self.most
            && !found.contains_key(key)
            && let Some(oldest) = found.iter().min_by_key(|(_, found)| found.at).map(|(key, _)| key.clone())
        {
            found.remove(&oldest);
        }
        found.insert(key.to_owned(), Found { until, at, what: Arc::clone(&what) });
        Ok(what)
    }

    /// Nothing is as it was.
    pub(crate) fn forget(&self) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_found_out_is_not_found_out_again_until_its_time_is_over() {
        let kept = Kept::new(2, Some(Duration::from_secs(60)));
        let found = kept.or("a", async { Ok(1) }).await.unwrap();
        assert_eq!((*found, *kept.or("a", async { panic!("it is known") }).await.unwrap()), (1, 1));
        kept.forget();
        assert!(kept.get("a").is_none());
        let at_once = Kept::new(2, Some(Duration::ZERO));
        let _ = at_once.or("a", async { Ok(1) }).await.unwrap();
        let again = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(2)
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(*at_once.or("a", again).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_and_an_error_is_not_kept() {
        let kept = Kept::new(2, None);
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] {
            let _ = kept.or(key, async { Ok(value) }).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!([kept.get("a").is_some(), kept.get("b").is_some(), kept.get("c").is_some()], [false, true, true]);
        assert!(kept.or("d", async { anyhow::bail!("away") }).await.is_err());
        assert_eq!(*kept.or("d", async { Ok(4) }).await.unwrap(), 4);
    }
}
