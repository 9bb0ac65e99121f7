//! What a person sees while records are sent: a bar on a terminal, a line every few seconds elsewhere.
//!
//! Assumes to be told often. Promises to write to stderr only.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(5);
const BAR_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    started: Instant,
    shown: Instant,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:32} {human_pos} of {human_len}  {per_sec}  {eta} left  {msg}");
            ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, total, started: Instant::now(), shown: Instant::now() }
    }

    /// So many have arrived; `trouble` is what stands in the way, if anything does.
    pub(super) fn show(&mut self, arrived: u64, trouble: Option<&str>) {
        let every = if self.bar.is_some() { BAR_EVERY } else { LINE_EVERY };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        match &self.bar {
            Some(bar) => {
                bar.set_position(arrived);
                bar.set_message(trouble.unwrap_or_default().to_owned());
            }
            None => {
                let per_second = arrived as f64 / self.started.elapsed().as_secs_f64();
                let trouble = trouble.map(|trouble| format!(", {trouble}")).unwrap_or_default();
                eprintln!("{arrived} of {} acknowledged, {per_second:.0}/s{trouble}", self.total);
            }
        }
    }

    /// The last word.
    pub(super) fn finish(self, arrived: u64, line: &str) {
        if let Some(bar) = self.bar {
            bar.set_position(arrived);
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        eprintln!("{arrived} records acknowledged in {seconds:.2} s ({:.0}/s){line}", arrived as f64 / seconds.max(1e-9));
    }
}
