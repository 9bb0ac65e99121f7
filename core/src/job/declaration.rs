//! The language of `jobs/*.toml`: it says what is done and when, it computes nothing.
//!
//! Assumes only text. Promises a coherent [`Job`] or one [`DeclarationError`] that says what to write instead.

use std::ops::Range;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::order::order;
use super::schedule::{cron, next};
use super::{Job, Schedule, Task, Work};
use crate::declare::names::identifier;
use crate::declare::read::{Key, Reader, Said, document};
use crate::declare::{DeclarationError, Source, did_you_mean, units};

const TOP: [&str; 12] = [
    "name",
    "aliases",
    "description",
    "owner",
    "tags",
    "enabled",
    "catch_up",
    "retries",
    "retry_delay",
    "timeout",
    "schedule",
    "task",
];
const MAX_TASKS: usize = 200;
const MAX_RETRIES: i64 = 100;
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// What a task may run.
const WORK: [(&str, Work); 11] = [
    ("check_bronze", Work::CheckBronze),
    ("silver", Work::Silver),
    ("models", Work::Models(Vec::new())),
    ("checks", Work::Checks),
    ("publish", Work::Publish),
    ("checkpoint", Work::Checkpoint),
    ("clean_log", Work::CleanLog),
    ("compact", Work::Compact),
    ("vacuum", Work::Vacuum),
    ("retain_realtime", Work::RetainRealtime),
    ("retain_ops", Work::RetainOps),
];

/// Where in the text the names are that must be unique across jobs.
pub(super) type Names = Vec<(String, Range<usize>)>;

/// Reads one declaration.
pub(super) fn parse(source: Source<'_>) -> Result<(Job, Names), DeclarationError> {
    let document = document(source)?;
    let top = Reader::top(source, document.get_ref(), &TOP);
    top.only(&TOP)?;
    let name = top.text(Key("name", "name = \"nightly_report\""))?;
    identifier(&top, "name", &name)?;
    let mut names = vec![(name.value.to_owned(), name.span)];
    for alias in top.texts_if_any(Key("aliases", "aliases = [\"other_name\"]"))?.map(|said| said.value).unwrap_or_default() {
        identifier(&top, "aliases", &alias)?;
        if names.iter().any(|(taken, _)| taken == alias.value) {
            return Err(top.error("aliases", alias.span, format!("`{}` is named twice", alias.value), "name it once"));
        }
        names.push((alias.value.to_owned(), alias.span));
    }
    let line = |key: Key<'_>| Ok::<_, DeclarationError>(top.text_if_any(key)?.map_or("", |said| said.value).to_owned());
    let tags = top.texts_if_any(Key("tags", "tags = [\"finance\"]"))?.map(|said| said.value).unwrap_or_default();
    let job = Job {
        name: name.value.to_owned(),
        aliases: names.iter().skip(1).map(|(alias, _)| alias.clone()).collect(),
        file: source.file.to_owned(),
        description: line(Key("description", "description = \"one line\""))?,
        owner: line(Key("owner", "owner = \"who answers for it\""))?,
        tags: tags.iter().map(|tag| tag.value.to_owned()).collect(),
        schedule: schedule(&top)?,
        catch_up: top.flag(Key("catch_up", "catch_up = true"))?,
        enabled: top.flag_if_any(Key("enabled", "enabled = false"))?.is_none_or(|said| said.value),
        retries: retries(&top)?,
        retry_delay: duration(&top, Key("retry_delay", "retry_delay = \"2 min\""), 2 * MINUTE, Duration::ZERO)?,
        timeout: duration(&top, Key("timeout", "timeout = \"1 h\""), 60 * MINUTE, Duration::from_secs(1))?,
        tasks: tasks(&top)?,
    };
    Ok((job, names))
}

fn retries(top: &Reader<'_>) -> Result<u32, DeclarationError> {
    let Some(said) = top.integer_if_any(Key("retries", "retries = 2"))? else { return Ok(2) };
    match u32::try_from(said.value) {
        Ok(retries) if said.value <= MAX_RETRIES => Ok(retries),
        _ => {
            let help = format!("write how often a failed task is tried again, from 0 to {MAX_RETRIES}");
            Err(top.error("retries", said.span, format!("{} is not such a number", said.value), help))
        }
    }
}

/// A length of time from `least` to a year, or `otherwise` when it is left out.
fn duration(r: &Reader<'_>, key: Key<'_>, otherwise: Duration, least: Duration) -> Result<Duration, DeclarationError> {
    let Some(said) = r.text_if_any(key)? else { return Ok(otherwise) };
    let read = units::millis(said.value).and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
    match read.filter(|time| (least..=YEAR).contains(time)) {
        Some(time) => Ok(time),
        None => {
            let help = format!("write {}, from {} to 366 days", units::DURATIONS, units::show_millis(least.as_millis()));
            Err(r.error(key.0, said.span, format!("`{}` is not such a duration", said.value), help))
        }
    }
}

fn schedule(top: &Reader<'_>) -> Result<Schedule, DeclarationError> {
    let Some(r) = top.table_if_any(Key("schedule", "[schedule] on a line of its own"), "schedule")? else {
        return Ok(Schedule::Manual);
    };
    r.only(&["every", "only_new_data", "cron", "timezone"])?;
    let every = r.text_if_any(Key("every", "every = \"5 min\""))?;
    let cron = r.text_if_any(Key("cron", "cron = \"0 3 * * *\""))?;
    let only_new_data = r.flag_if_any(Key("only_new_data", "only_new_data = true"))?;
    let timezone = r.text_if_any(Key("timezone", "timezone = \"Europe/Berlin\""))?;
    match (every, cron) {
        (Some(_), None) => {
            if let Some(timezone) = timezone {
                let help = "remove it, or write cron = \"…\" in place of every";
                return Err(r.error("timezone", timezone.span, "an interval is the same everywhere", help));
            }
            let interval = duration(&r, Key("every", "every = \"5 min\""), MINUTE, Duration::from_secs(1))?;
            Ok(Schedule::Every { interval, only_new_data: only_new_data.is_some_and(|said| said.value) })
        }
        (None, Some(pattern)) => {
            if let Some(said) = only_new_data {
                let help = "remove it, or write every = \"…\" in place of cron";
                return Err(r.error("only_new_data", said.span, "a job by the clock runs by the clock", help));
            }
            cron_schedule(&r, &pattern, timezone)
        }
        (Some(_), Some(cron)) => Err(r.error("cron", cron.span, "a job has one schedule", "keep every or cron")),
        (None, None) => {
            let help =
                "add every = \"5 min\" or cron = \"0 3 * * *\"; remove [schedule] for a job that runs when somebody says so";
            Err(r.missing("every", "the schedule says nothing", help))
        }
    }
}

fn cron_schedule(r: &Reader<'_>, pattern: &Said<&str>, timezone: Option<Said<&str>>) -> Result<Schedule, DeclarationError> {
    const FIELDS: &str = "write minute, hour, day, month, weekday, for example \"0 3 * * *\" or \"30 6 * * MON-FRI\"";
    let place = timezone.as_ref().map_or("UTC", |said| said.value);
    if pattern.value.split_whitespace().count() != 5 {
        return Err(r.error("cron", pattern.span.clone(), format!("`{}` has not five fields", pattern.value), FIELDS));
    }
    let Ok(zone) = place.parse::<Tz>() else {
        let known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let help = format!("{}write a name of the IANA list, for example \"Europe/Berlin\"", did_you_mean(place, known));
        let span = timezone.map_or(0..0, |said| said.span);
        return Err(r.error("timezone", span, format!("no place is called `{place}`"), help));
    };
    let cron = cron(pattern.value).map_err(|why| r.error("cron", pattern.span.clone(), why, FIELDS))?;
    // Any moment will do; this one is fixed, so that what is accepted is so for ever.
    let from = DateTime::<Utc>::from_timestamp(820_454_400, 0).unwrap_or_default();
    if next(&cron, zone, from).is_none() {
        let help = "choose a day that exists in the month";
        return Err(r.error("cron", pattern.span.clone(), format!("`{}` never happens", pattern.value), help));
    }
    Ok(Schedule::Cron { pattern: pattern.value.to_owned(), timezone: place.to_owned() })
}

fn tasks(top: &Reader<'_>) -> Result<Vec<Task>, DeclarationError> {
    let readers = top.tables(Key("task", "[[task]] before each task"), "name")?;
    if readers.is_empty() {
        return Err(top.missing("task", "a job needs tasks", "add [[task]] with run = \"…\""));
    }
    if readers.len() > MAX_TASKS {
        return Err(top.missing("task", format!("{} tasks", readers.len()), format!("declare at most {MAX_TASKS}")));
    }
    let mut tasks: Vec<Task> = Vec::with_capacity(readers.len());
    let mut after: Vec<Vec<Said<&str>>> = Vec::with_capacity(readers.len());
    for r in &readers {
        let (task, comes_after, name) = task(r)?;
        if tasks.iter().any(|earlier| earlier.name == task.name) {
            let problem = format!("there are two tasks `{}`", task.name);
            return Err(r.error("name", name, problem, "give one of the two another name = \"…\""));
        }
        tasks.push(task);
        after.push(comes_after);
    }
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let mut positions: Vec<Vec<usize>> = Vec::with_capacity(tasks.len());
    for (r, said) in readers.iter().zip(&after) {
        let mut before = Vec::new();
        for name in said {
            let Some(at) = names.iter().position(|known| *known == name.value) else {
                let help = format!("{}the tasks are {}", did_you_mean(name.value, names.iter().copied()), names.join(", "));
                return Err(r.error("after", name.span.clone(), format!("no task is called `{}`", name.value), help));
            };
            before.push(at);
        }
        positions.push(before);
    }
    match order(&positions) {
        Ok(order) => Ok(order.into_iter().map(|n| tasks[n].clone()).collect()),
        Err(circle) => {
            let around: Vec<&str> = circle.0.iter().chain(circle.0.first()).map(|n| names[*n]).collect();
            let at = circle.0.first().copied().unwrap_or_default();
            let span = after[at].first().map_or(0..0, |said| said.span.clone());
            let help = "remove one of these `after`: each of them waits for the others";
            Err(readers[at].error("after", span, format!("the tasks go round in a circle: {}", around.join(" → ")), help))
        }
    }
}

/// A task, what it comes after, and where its name is written.
type Read<'a> = (Task, Vec<Said<&'a str>>, Range<usize>);

fn task<'a>(r: &Reader<'a>) -> Result<Read<'a>, DeclarationError> {
    r.only(&["name", "run", "models", "after"])?;
    let run = r.text(Key("run", "run = \"silver\""))?;
    let name = r.text_if_any(Key("name", "name = \"silver\""))?.unwrap_or_else(|| run.clone());
    let Some((_, mut work)) = WORK.into_iter().find(|(word, _)| *word == run.value) else {
        let words: Vec<&str> = WORK.iter().map(|(word, _)| *word).collect();
        let help = format!("{}a task runs {}", did_you_mean(run.value, words.iter().copied()), words.join(", "));
        return Err(r.error("run", run.span, format!("nothing is called `{}`", run.value), help));
    };
    identifier(r, "name", &name)?;
    if let Some(models) = r.texts_if_any(Key("models", "models = [\"kpi_dau\"]"))? {
        let Work::Models(named) = &mut work else {
            let help = "remove it, or write run = \"models\"";
            return Err(r.error("models", models.span, "only a task that runs models names some", help));
        };
        if models.value.is_empty() {
            return Err(r.error("models", models.span, "names none", "name some, or remove it to run all"));
        }
        named.extend(models.value.iter().map(|said| said.value.to_owned()));
    }
    let after = r.texts_if_any(Key("after", "after = [\"silver\"]"))?.map(|said| said.value).unwrap_or_default();
    let task = Task { name: name.value.to_owned(), work, after: after.iter().map(|said| said.value.to_owned()).collect() };
    Ok((task, after, name.span))
}
