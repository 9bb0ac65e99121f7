//! What was run, what is to be run, and what came of it: the tables `ops.runs`, `ops.tasks`, `ops.logs`, `ops.schedules` and
//! `ops.model_tests`.
//!
//! - `words`, `rows`: what is in them, typed.
//! - `ask`: what anybody may do: ask for a run or for its end, pause a job. `look`: what anybody may see.
//! - `lead`, `attempts`: what the leader alone does, with runs and with their tasks. Each of these is one transaction that begins with
//!   [`Lease::check`](super::lease::Lease::check) and is refused when somebody else leads.
//! - `log_lines`: lines of runs, written in batches and read while they are written.
//!
//! Promises: a run that was asked for is a row until it is pruned, whoever dies; a job runs once at a time.

mod ask;
mod attempts;
mod lead;
mod log_lines;
mod look;
mod rows;
mod words;

pub use ask::{Asked, Enqueued, NewRun, Retried, cancel, enqueue, forget_missed, retry, set_paused};
pub use attempts::{NewTest, TaskEnd, end_task, lay_out, pass_over, record_tests, start_task};
pub use lead::{claim, end_run, enqueue_due, see_job, set_trigger, take_over, to_cancel};
pub use log_lines::{Level, Lines, NewLine, log, log_lines};
pub use look::{Which, durations, first_started, run, runs, schedules, tasks, tests};
pub use rows::{LogLine, ModelTest, Params, PlannedTask, Run, ScheduleRow, TaskAttempt, Versions};
pub use words::{RunState, TaskState, Trigger, UnknownWord};

// What the other tables of people are written and read with, too.
pub(in crate::serving) use log_lines::fit;
pub(in crate::serving) use rows::{json, json_text, word};
pub(in crate::serving) use words::words;
