#!/usr/bin/env python3
"""The same batch work by DuckDB from Python: bronze's Parquet → silver → the gold tables, all as Parquet → four tables in PostgreSQL.

    duckdb_batch.py --lake data/lake --out FOLDER --pg postgres://…

A whole rebuild, written as a person who knows DuckDB would: default settings, default compression, silver and facts a folder per day, the
SQL of tests/verify/gold.py, PostgreSQL by COPY in one transaction. Runs in a process of its own, so that its peak memory is its own.
Prints {"seconds", "cpu_seconds", "rss_peak", "steps", "rows"} as JSON; the clock starts when the libraries are loaded.
"""

import argparse
import io
import json
import pathlib
import resource
import sys
import time

import duckdb
import psycopg
from deltalake import DeltaTable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "verify"))
import gold  # noqa: E402

TYPES = {gold.TEXT: "TEXT", gold.WHOLE: "BIGINT", gold.DAY: "DATE", gold.MOMENT: "TIMESTAMPTZ", gold.RATE: "NUMERIC"}
SILVER = ("event_id, user_id, event_type, page, event_timestamp, source, ingestion_timestamp, kafka_partition, kafka_offset, "
          "topic_incarnation, extra")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lake", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--pg", required=True)
    parser.add_argument("--stream", default="user_events")
    args = parser.parse_args()
    steps, begun, cpu = {}, time.monotonic(), time.process_time()

    def step(name, since=[begun]):
        now = time.monotonic()
        steps[name], since[0] = round(now - since[0], 3), now

    files = [uri.removeprefix("file://") for uri in DeltaTable(f"{args.lake}/bronze/{args.stream}").file_uris()]
    out = pathlib.Path(args.out)
    out.mkdir(parents=True)
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("SET VARIABLE files = ?", [files])
    db.execute(f"COPY (SELECT DISTINCT ON (event_id, event_timestamp) {SILVER}, event_timestamp::DATE AS event_date "
               "FROM read_parquet(getvariable('files'), hive_partitioning=false) WHERE status = 'ok') "
               f"TO '{out}/silver' (FORMAT parquet, PARTITION_BY (event_date))")
    step("silver")
    db.execute(f"CREATE VIEW silver AS SELECT * FROM read_parquet('{out}/silver/*/*.parquet', hive_partitioning=true)")
    for name, table in gold.TABLES.items():
        if table.hidden:
            continue
        days = ", PARTITION_BY (event_date)" if name == "fact_events" else ""
        db.execute(f"COPY ({table.sql}) TO '{out}/{name}{'' if days else '.parquet'}' (FORMAT parquet{days})")
        step(name)
    rows = publish(db, out, args.pg)
    step("postgres")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - cpu, "rss_peak": usage.ru_maxrss * 1024,
                      "steps": steps, "rows": rows}))


def publish(db, out, url):
    """The four tables, replaced in one transaction."""
    rows = 0
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS duckdb")
        for name, table in gold.TABLES.items():
            if table.published is None:
                continue
            made = ", ".join(f"{column} {TYPES[kind]}" for column, kind in table.columns.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS duckdb.{table.published} ({made}, PRIMARY KEY ({', '.join(table.key)}))")
            connection.execute(f"TRUNCATE duckdb.{table.published}")
            text = io.StringIO()
            for row in db.execute(f"SELECT * FROM '{out}/{name}.parquet'").fetchall():
                text.write("\t".join(map(str, row)) + "\n")
                rows += 1
            with connection.cursor().copy(f"COPY duckdb.{table.published} FROM STDIN") as copy:
                copy.write(text.getvalue())
    return rows


if __name__ == "__main__":
    main()
