#!/usr/bin/env python3
"""Maintenance beside ingest: checkpoints, log cleanup, compaction and vacuum again and again while events flow at full rate.

    maintenance.py --minutes 10 --rate 20000       by hand
    maintenance.py --short                         half a minute, for every change

Afterwards no commit of ingest may have failed, a closed day has at most two files per table, the audit is green, everything equals
bronze, and deltalake, DuckDB and Polars read every table.
"""

import argparse
import collections
import re
import statistics
import time

import duckdb
import polars
from deltalake import DeltaTable

from batch_lab import JOB, UPKEEP, BatchLab
from lab import STREAM
from procs import Failure, conclude

FILES_PER_CLOSED_DAY = 2
OPEN_SECONDS = 0.1
# What the ingesting instance counts when something did not go through at once.
FAILED = re.compile(r'^(tributary_(?:commit_errors|pipeline_restarts|legs_detached)_total\S*|tributary_commits_total\{[^}]*outcome="foreign"[^}]*\}) '
                    r'([0-9.e+]+)$', re.M)


def failures(lab):
    """Commits that failed, by the metrics of the ingesting instance and by its log."""
    status, page = lab.get("bronze", "/metrics")
    if status != 200 or "tributary_commits_total" not in page:
        raise Failure(f"the ingesting instance shows no metrics ({status})")
    counted = {name: float(number) for name, number in FAILED.findall(page)}
    log = lab.instances["bronze"].log.read_text(errors="replace")
    said = [line for line in log.splitlines() if re.search(r"\b(ERROR|WARN)\b", line) and "delta_writer" in line]
    return {name: n for name, n in counted.items() if n}, said


def tables(lab):
    """Every Delta table of the lake."""
    return sorted(log.parent for log in lab.lake.glob("*/*/_delta_log"))


def files_of_closed_days(lab, today):
    """Per table the most files that a day before today has."""
    most = {}
    for path in tables(lab):
        table = DeltaTable(str(path))
        if table.metadata().partition_columns != ["event_date"]:
            continue
        days = collections.Counter(re.search(r"event_date=([^/]+)", uri).group(1) for uri in table.file_uris())
        most[f"{path.parent.name}.{path.name}"] = max((n for day, n in days.items() if day < today), default=0)
    return most


def read_by_all(lab):
    """Rows of every table by three readers, which must agree; whole tables are read, not their statistics."""
    rows = 0
    for path in tables(lab):
        table = DeltaTable(str(path))
        files = [uri.removeprefix("file://") for uri in table.file_uris()]
        counts = {"deltalake": table.count(), "polars": polars.scan_delta(str(path)).collect().height}
        # The hash makes it read every column.
        read = "SELECT count(*), sum(hash(t)::HUGEINT) FROM read_parquet(?, hive_partitioning=true, union_by_name=true) t"
        counts["duckdb"] = duckdb.execute(read, [files]).fetchone()[0] if files else 0
        if len(set(counts.values())) != 1:
            raise Failure(f"{path}: {counts}")
        rows += counts["polars"]
    return rows


def open_time(lab):
    """Seconds that opening bronze takes (median of nine), and its version."""
    took = []
    for _ in range(9):
        begun = time.monotonic()
        version = DeltaTable(str(lab.lake / "bronze" / STREAM)).version()
        took.append(time.monotonic() - begun)
    return statistics.median(took), version


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--short", action="store_true", help="half a minute")
    parser.add_argument("--minutes", type=float, help="how long (10)")
    parser.add_argument("--rate", type=int, default=20_000, help="events per second; 0: as many as there can be")
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    seconds = 60 * args.minutes if args.minutes else (30 if args.short else 600)
    # Small flushes make many files and many commits: ten minutes are more than ten thousand.
    with BatchLab("maintenance", settings=["pipeline.bronze_flush=50ms", "pipeline.batch_wait=10ms"]) as lab:
        lab.start_bronze("bronze,serving")
        lab.begin("batch")
        rate = args.rate or 1_000_000
        lab.truths.append(lab.truth_file)
        # Four days, so that most of what comes belongs to days that are over.
        lab.generate(int(rate * seconds), args.seed, rate, span="96h")
        runs = collections.Counter()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for job in (JOB, UPKEEP):
                lab.run_now(job, seconds=300, wanted=("succeeded", "skipped"))
                runs[job] += 1
        lab.wait_generated(seconds + 600)
        lab.drain_bronze()
        lab.settle()
        lab.run_now(UPKEEP, seconds=300)
        counted, said = failures(lab)
        most = files_of_closed_days(lab, time.strftime("%Y-%m-%d", time.gmtime()))
        took, version = open_time(lab)
        rows = read_by_all(lab)
        lab.judge("maintenance beside ingest")
        print(lab.audit())
        print(f"maintenance: {runs[UPKEEP]} runs beside {runs[JOB]} of {JOB} in {seconds:.0f} s; failed commits of ingest: {len(said)}; most files of "
              f"a closed day: {most}; bronze (version {version}) opens in {took * 1000:.0f} ms; {rows} rows read by deltalake, DuckDB, Polars")
        wrong = [f"{name}: {n} files in a closed day" for name, n in most.items() if n > FILES_PER_CLOSED_DAY]
        if took > OPEN_SECONDS:
            wrong.append(f"bronze takes {took * 1000:.0f} ms to open")
        if counted or said:
            wrong.append(f"commits failed: {counted} {said[:5]}")
        if wrong:
            raise Failure("; ".join(wrong))


if __name__ == "__main__":
    conclude(main)
