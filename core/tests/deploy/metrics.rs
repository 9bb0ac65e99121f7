//! `docs/METRICS.md` is the registry, written out. `make docs` writes it; this test says when that was forgotten.

use std::fmt::Write;

use tributary_core::metric::{self, Metric, Type, Unit};

use super::files;

const FILE: &str = "docs/METRICS.md";

const HEAD: &str = "\
# Metrics

Written by `make docs` from `core/src/metric.rs`, which is the one list of them: change that.

Every process of Tributary shows these at `http://<http.listen>/metrics` (8082 by default), in Prometheus's text format. A process shows
what it does: the leader of the batch layer its jobs, a generator its events. Names begin with `tributary_`, units are seconds and bytes,
counters end in `_total` and begin at 0 with the process. Timestamps are seconds since 1970: `time() - x` is an age. What is counted is
counted when it is durable, unless its line says otherwise. A partition that was revoked leaves no series behind.

Prometheus adds `job` and `instance` to each; the job of the batch layer is therefore called `job_name`. Labels take few values: streams,
legs (`bronze`, `serving`), actors, partitions, tables, jobs, tasks, models and the words that are listed.

Beside these there are `process_*` of the process itself, by the conventions of Prometheus's client libraries: CPU, memory, threads, open
files, start time.

What you may look for and not find: a pool of connections to PostgreSQL, because each room has a connection of its own; the time of single
statements, because whole transactions are timed; the time that an actor is blocked, because all wait at one door, the gate; the allocator's
own numbers, because it counts the gibibytes of addresses that it reserves, while `process_resident_memory_bytes` has what is used. An event
that is late is counted like any other: windows take it whenever it comes.

*Reference*: no dashboard and no alert needs it.
";

#[test]
fn the_document_is_what_the_registry_says() {
    let wanted = document();
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(files::root().join(FILE), &wanted).unwrap();
    }
    assert!(files::text(FILE) == wanted, "{FILE} is not what core/src/metric.rs says: run `make docs`");
}

fn document() -> String {
    let mut text = String::from(HEAD);
    text.push_str("\n| Metric | Type | Unit | Labels | |\n|---|---|---|---|---|\n");
    for m in metric::ALL {
        let labels: Vec<String> = m.labels.iter().map(|label| format!("`{label}`")).collect();
        let help = m.help.trim();
        let reference = if m.reference { " *Reference.*" } else { "" };
        writeln!(text, "| `{}` | {} | {} | {} | {help}{reference} |", m.name, kind(m), unit(m.unit), labels.join(", ")).unwrap();
    }
    text.push_str("\n## Buckets\n\n| Histogram | Upper bounds |\n|---|---|\n");
    for m in metric::ALL {
        if let Type::Histogram(bounds) = m.kind {
            let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
            writeln!(text, "| `{}` | {} |", m.name, bounds.join(" ")).unwrap();
        }
    }
    text
}

fn kind(m: &Metric) -> &'static str {
    match m.kind {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Histogram(_) => "histogram",
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "",
        Unit::Seconds => "seconds",
        Unit::Bytes => "bytes",
        Unit::Flag => "1 or 0",
    }
}
