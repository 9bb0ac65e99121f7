"""The batch layer: everything from bronze to PostgreSQL at once, beside DuckDB from Python at the same work; then 10,000 new events.

(a) a coordinator in a process of its own makes silver, all gold tables and PostgreSQL's four from 10,000,000 events of ten days; (b)
duckdb_batch.py makes the same from the same files on the same machine; alternating, fresh tables each time. (c) 10,000 events of a new
day, again and again for thirty days: what a run costs at the beginning and at the end. No figure is printed when the recount of the
tables from bronze (tests/verify/batch.py) or the audit fails.
"""

import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from drain import cpu_seconds
from batch_lab import JOB, BatchLab
from procs import Failure, memory

FLOOR_RATIO, FLOOR_RSS, FLOOR_SECONDS, FLOOR_GROWTH = 3.0, 3 << 29, 3.0, 1.5
DAYS, HISTORY, NEW = 10, 30, 10_000
HERE = pathlib.Path(__file__).resolve().parent


def full(lab):
    """(a): silver and gold from nothing, PostgreSQL's gold from nothing."""
    name = "batch"
    if lab.coordinator(name).runs():
        lab.coordinator(name).leave()
    for layer in ("silver", "gold"):
        shutil.rmtree(lab.lake / layer, ignore_errors=True)
    with lab.postgres.connect() as connection:
        for table, in connection.execute("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'gold'").fetchall():
            connection.execute(f"TRUNCATE {table}")
        if connection.execute("SELECT to_regclass('ops.published')").fetchone()[0]:
            connection.execute("TRUNCATE ops.published CASCADE")
    lab.begin(name)
    pid = lab.coordinator(name).pid
    cpu, begun = cpu_seconds(pid), time.monotonic()
    lab.command("run", JOB, "--wait", seconds=900)
    seconds = time.monotonic() - begun
    run = lab.newest(JOB)
    tasks = lab.ask("SELECT task, extract(epoch FROM ended_at - started_at)::float8 FROM ops.tasks WHERE run_id = %s ORDER BY id", run)
    return {"seconds": seconds, "cpu_seconds": cpu_seconds(pid) - cpu, "rss_peak": memory(pid)[2], "tasks": dict(tasks)}


def duckdb(lab, turn):
    """(b)"""
    out = lab.dir / f"duckdb-{turn}"
    done = subprocess.run([sys.executable, HERE / "duckdb_batch.py", "--lake", lab.lake, "--out", out, "--pg", lab.postgres.url],
                          capture_output=True, text=True, timeout=900)
    if done.returncode:
        raise Failure(f"duckdb_batch.py: {done.stderr}")
    shutil.rmtree(out)
    return json.loads(done.stdout)


def same_tables(lab):
    """Both sides must have published the same: a faster answer to another question is none."""
    with lab.postgres.connect() as connection:
        for table, in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'duckdb' ORDER BY 1").fetchall():
            columns = [name for name, in connection.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_schema = 'duckdb' AND table_name = %s ORDER BY ordinal_position",
                [table])]
            names = ", ".join(f"round({name}, 6)" if name == "conversion_rate" else name for name in columns)
            for left, right in (("duckdb", "gold"), ("gold", "duckdb")):
                sql = f"SELECT count(*) FROM (SELECT {names} FROM {left}.{table} EXCEPT ALL SELECT {names} FROM {right}.{table}) d"
                if connection.execute(sql).fetchone()[0]:
                    raise Failure(f"{left}.{table} has rows that {right}.{table} does not have; no figure is printed")


def increment(lab, days_ago, seed):
    """(c): 10,000 events of one day, and the run that takes them: its own seconds, and those that a person waits for the command."""
    lab.make(NEW, seed, days_ago=days_ago, hours=20, flaws=("--duplicate", "1%"))
    begun = time.monotonic()
    lab.command("run", JOB, "--wait", seconds=300)
    waited = time.monotonic() - begun
    # The command looks four times a second and the leader twice: too coarse for a comparison of what runs cost.
    sql = "SELECT extract(epoch FROM ended_at - started_at)::float8 FROM ops.runs WHERE id = %s"
    return {"seconds": lab.ask(sql, lab.newest(JOB))[0][0], "waited": waited}


def run(options):
    """All three; medians."""
    events, rounds = options.batch_events, options.batch_rounds
    with BatchLab("bench-batch") as lab:
        lab.start_bronze()
        lab.say(f"making {events:,} records")
        # The last of them are older than the thirty days that follow.
        oldest = DAYS + HISTORY + 4
        lab.make(events, 7, days_ago=oldest - DAYS, hours=24 * DAYS)
        lab.say("bronze has them")
        lab.instances["bronze"].leave()
        both = []
        for turn in range(rounds):
            a, b = full(lab), duckdb(lab, turn)
            lab.say(f"round {turn + 1}: tributary {a['seconds']:.1f} s, DuckDB {b['seconds']:.1f} s")
            both.append({"tributary": a, "duckdb": b})
        same_tables(lab)
        lab.judge("the full run")
        lab.start_bronze()
        day = lambda turn: oldest - DAYS - 2 - turn
        lab.say("thirty days of new events")
        incremental = [increment(lab, day(turn), 100 + turn) for turn in range(HISTORY + 1)]
        into_large = increment(lab, oldest - DAYS + 2, 999)
        pid = lab.coordinator().pid
        peak = max(memory(pid)[2], *(r["tributary"]["rss_peak"] for r in both))
        lab.judge("thirty days of history")
        status, out, error = lab.run("audit", "--bronze-only", "--current", "--wait", "60s", seconds=900)
        if status:
            raise Failure(f"the audit of the bench's own tables fails; no figure is printed.\n{out[-3000:]}{error[-1000:]}")

    def of(side, key):
        return statistics.median(r[side][key] for r in both)

    ratio = of("tributary", "seconds") / of("duckdb", "seconds")
    first, last = (statistics.median(run["seconds"] for run in runs) for runs in (incremental[:5], incremental[-5:]))
    waited = max(run["waited"] for run in incremental)
    cpu = {side: of(side, "cpu_seconds") for side in ("tributary", "duckdb")}
    lines = [
        (f"batch: {events:,} events, bronze to PostgreSQL: {of('tributary', 'seconds'):.1f} s, DuckDB {of('duckdb', 'seconds'):.1f} s, "
         f"ratio {ratio:.2f} (floor {FLOOR_RATIO:g})", ratio <= FLOOR_RATIO),
        (f"batch: CPU {cpu['tributary']:.1f} s, DuckDB {cpu['duckdb']:.1f} s; peak RSS {peak / (1 << 20):.0f} MiB "
         f"(floor {FLOOR_RSS >> 20}), DuckDB {of('duckdb', 'rss_peak') / (1 << 20):.0f} MiB", peak <= FLOOR_RSS),
        (f"batch: {NEW:,} new events: the run takes {first:.2f} s at first, {last:.2f} s after {HISTORY} such days, "
         f"growth {last / first:.2f} (floor {FLOOR_GROWTH}); its command at most {waited:.2f} s (floor {FLOOR_SECONDS:g}); "
         f"late ones into a day of {events // DAYS:,}: {into_large['seconds']:.2f} s",
         waited <= FLOOR_SECONDS and last / first <= FLOOR_GROWTH),
    ]
    return {"rounds": both, "events": events, "incremental": incremental, "into_large": into_large}, lines
