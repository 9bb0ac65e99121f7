#!/usr/bin/env python3
"""Compares what is in Kafka, in the lake and in PostgreSQL with what was made, to the row.

    truth.py --bootstrap 127.0.0.1:29092 --lake data/lake --pg postgres://… [--truth FILE] [--wait 30] [--exact-dedup]

Reads the topic and judges every record by rules of its own (rules.py); that count must equal the truth that `tributary generate`
printed, if one is given. Then bronze must hold exactly these rows, the window tables exactly the counts of the valid ones, and with
--exact-dedup silver exactly one row per valid event. Needs: pip install deltalake duckdb 'psycopg[binary]' confluent-kafka

Exit status: 0 all equal, 1 anything differs, 2 called wrongly.
"""

import argparse
import json
import pathlib
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import duckdb
import psycopg

import rules
import stores

MINUTE_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    here = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("--bootstrap", required=True, help="host:port of Kafka")
    parser.add_argument("--topic", help="the stream's own unless given")
    parser.add_argument("--stream", default="user_events")
    parser.add_argument("--declaration", help="the stream's file; streams/<stream>.toml unless given")
    parser.add_argument("--lake", help="folder that holds bronze/; left out: not compared")
    parser.add_argument("--pg", help="postgres://…; left out: not compared")
    parser.add_argument("--truth", help="what `tributary generate` printed; left out: the topic itself is the truth")
    parser.add_argument("--exact-dedup", action="store_true", help="silver must hold one row per valid event")
    parser.add_argument("--wait", type=float, default=0, help="seconds until lake and PostgreSQL must be equal")
    parser.add_argument("--show", type=int, default=20, help="differences to print")
    args = parser.parse_args()
    if args.exact_dedup and not args.lake:
        parser.error("--exact-dedup needs --lake")
    stream = rules.Stream(args.declaration or here / "streams" / f"{args.stream}.toml")

    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    bounds = stores.read_topic(db, stream, args.bootstrap, args.topic or stream.topic, log)
    topic = compare_truth(db, args.truth, stream) if args.truth else []
    deadline = time.monotonic() + args.wait
    while True:
        bronze, silver, windows = compare_stores(args, db, stream, bounds)
        if not any([*bronze.values(), *silver.values(), windows]) or time.monotonic() > deadline:
            break
        time.sleep(1)

    lines = topic + [line for found in (*bronze.values(), *silver.values()) for line in found.lines] + windows
    for line in lines[: args.show]:
        print(line)
    total = len(topic) + len(windows) + sum(found.count for found in (*bronze.values(), *silver.values()))
    if total > len(lines[: args.show]):
        print(f"… and {total - len(lines[: args.show])} more")
    parts = ["bronze " + " ".join(f"{word}={found.count}" for word, found in bronze.items()) if args.lake else "bronze not compared"]
    if args.exact_dedup:
        parts.append("silver " + " ".join(f"{word}={found.count}" for word, found in silver.items()))
    parts.append(f"windows mismatched={len(windows)}" if args.pg else "windows not compared")
    parts.append(f"topic mismatched={len(topic)}" if args.truth else "topic is the truth")
    print(" · ".join(parts))
    sys.exit(1 if total else 0)


@dataclass
class Found:
    """How many rows are missing or too many, and the first of them in words."""

    count: int
    lines: list

    def __bool__(self):
        return self.count > 0


def log(line):
    print(line, file=sys.stderr)


def at(us):
    return (EPOCH + timedelta(microseconds=us)).strftime("%Y-%m-%dT%H:%M:%SZ")


def compare_stores(args, db, stream, bounds):
    """Differences of bronze and silver by kind, and those of the windows, a line each."""
    bronze, silver, windows = {}, {}, []
    if args.lake:
        folder = args.lake.removeprefix("file://").rstrip("/")
        if stores.lake_table(db, "bronze", f"{folder}/bronze/{stream.name}", stream):
            bronze = compare_bronze(db, stream, bounds, args.show)
        else:
            bronze = no_table(db, f"{folder}/bronze/{stream.name}", "bronze")
        if args.exact_dedup:
            if stores.lake_table(db, "silver", f"{folder}/silver/{stream.name}", stream, incarnation=False):
                silver = compare_silver(db, stream, args.show)
            else:
                silver = no_table(db, f"{folder}/silver/{stream.name}", "silver")
    if args.pg:
        with psycopg.connect(args.pg) as connection:
            for window in stream.windows:
                windows += compare_window(db, connection, window, stream)
    return bronze, silver, windows


def no_table(db, path, name):
    records = db.execute("SELECT count(*) FROM topic").fetchone()[0]
    return {"missing": Found(records, [f"{name}: no table, or an empty one, in {path}"] if records else []), "extra": Found(0, [])}


def compare_rows(db, name, expected, rows, columns, show):
    """Both directions of the difference, as bags of whole rows."""
    found = {}
    for word, left, right in [("missing", expected, rows), ("extra", rows, expected)]:
        db.execute(f"CREATE OR REPLACE TEMP TABLE difference AS ({left}) EXCEPT ALL ({right})")
        count = db.execute("SELECT count(*) FROM difference").fetchone()[0]
        sample = db.execute(f"SELECT * FROM difference ORDER BY ALL LIMIT {show}").fetchall()
        found[word] = Found(count, [f"{name} {word}: {dict(zip(columns, row))}" for row in sample])
    return found


def compare_bronze(db, stream, bounds, show):
    """Every record a row, every row a record, each place once."""
    names = ", ".join(stores.columns(stream))
    # A topic that forgot its beginning, or that was recreated, can only speak for what it still has.
    held = " OR ".join(f"(kafka_partition = {p} AND kafka_offset >= {low} AND kafka_offset < {high})" for p, (low, high) in bounds.items())
    rows = (f"SELECT {names} FROM bronze WHERE status <> 'lost' AND ({held}) "
            "AND topic_incarnation = (SELECT max(topic_incarnation) FROM bronze)")
    beyond = db.execute(f"SELECT count(*) FROM bronze WHERE NOT ({held})").fetchone()[0]
    if beyond:
        log(f"bronze: {beyond} rows lie outside what the topic holds now; not compared")
    return compare_rows(db, "bronze", f"SELECT {names} FROM topic", rows, stores.columns(stream), show)


def compare_silver(db, stream, show):
    """One row per event_id and event time among the valid records."""
    names = ", ".join(stream.columns)
    expected = f"SELECT DISTINCT {names} FROM topic WHERE status = 'ok'"
    return compare_rows(db, "silver", expected, f"SELECT {names} FROM silver", stream.columns, show)


def compare_window(db, connection, window, stream):
    every = rules.measure(window["every"], rules.UNITS)
    groups = [stream.column[name] for name in window.get("group_by", [])]
    filters = ["status = 'ok'"]
    for name, wanted in window.get("where", {}).items():
        wanted = wanted if isinstance(wanted, list) else [wanted]
        filters.append(f"{stream.column[name]} IN ({', '.join(repr(value) for value in wanted)})")
    measure = "count(*)" if window.get("count") else f"sum({stream.column[window['sum']['field']]})"
    start = f"{stream.columns[stream.time_at]} // {every} * {every}"
    names = ", ".join([f"{start} AS start", *groups])
    sql = f"SELECT {names}, {measure} FROM topic WHERE {' AND '.join(filters)} GROUP BY ALL"
    expected = {(row[0], row[0] + every, *row[1:-1]): int(row[-1]) for row in db.execute(sql).fetchall()}
    found = stores.read_windows(connection, window, stream)
    differing = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
    return [f"{window['table']} {at(key[0])} {' '.join(map(str, key[2:]))}: {found.get(key)} instead of {expected.get(key)}"
            for key in differing]


def compare_truth(db, path, stream):
    """The topic's count against the truth's, number by number."""
    with open(path, encoding="utf-8") as file:
        truth = json.load(file)
    if truth["schema"] != 1:
        raise SystemExit(f"{path} has schema {truth['schema']}; this reads 1")
    del truth["plan"], truth["records"]["flaws"], truth["records"]["late"]
    made, counted = dict(flat(truth)), dict(flat(recount(db)))
    return [f"topic {key}: {counted.get(key, 0)} instead of {made.get(key, 0)}"
            for key in sorted(made.keys() | counted.keys()) if counted.get(key, 0) != made.get(key, 0)]


def flat(value, path=""):
    """Every number of the truth with its path; a minute or a day is known by its name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("minute", "day"):
                yield from flat(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from flat(inner, f"{path}/{inner.get('minute') or inner.get('day')}")
    else:
        yield path, value


def recount(db):
    """The topic, counted in the shape of the truth."""
    db.execute("CREATE OR REPLACE VIEW valid AS SELECT *, event_timestamp // 60000000 * 60000000 AS minute, "
               "event_timestamp // 86400000000 * 86400000000 AS day FROM topic WHERE status = 'ok'")
    db.execute("CREATE OR REPLACE VIEW distinct_events AS SELECT DISTINCT ON (event_id, event_timestamp) * FROM valid")
    ask = lambda sql: db.execute(sql).fetchall()
    by = lambda column, where="TRUE", table="valid": dict(ask(f"SELECT {column}, count(*) FROM {table} WHERE {where} GROUP BY 1"))
    total, ok = ask("SELECT count(*), count(*) FILTER (status = 'ok') FROM topic")[0]
    distinct = ask("SELECT count(*) FROM distinct_events")[0][0]
    minutes, days = {}, {}
    for minute, kind, n in ask("SELECT minute, event_type, count(*) FROM valid GROUP BY ALL"):
        minutes.setdefault(minute, {"minute": at(minute), "event_type": {}, "logins": {}})["event_type"][kind] = n
    for minute, source, n in ask("SELECT minute, source, count(*) FROM valid WHERE event_type = 'login' GROUP BY ALL"):
        minutes[minute]["logins"][source] = n
    for minute, n in by("minute", "event_type = 'purchase'").items():
        minutes[minute]["purchases"] = n
    for part, table in [("valid", "valid"), ("distinct", "distinct_events")]:
        for day, n, users in ask(f"SELECT day, count(*), count(DISTINCT user_id) FROM {table} GROUP BY 1"):
            counts = {"events": n, "source": {}, "purchases": 0, "purchases_by_page": {}}
            days.setdefault(day, {"day": at(day)[:10]})[part] = counts | ({"users": users} if part == "distinct" else {})
        for day, source, n in ask(f"SELECT day, source, count(*) FROM {table} GROUP BY ALL"):
            days[day][part]["source"][source] = n
        for day, page, n in ask(f"SELECT day, page, count(*) FROM {table} WHERE event_type = 'purchase' GROUP BY ALL"):
            days[day][part]["purchases"] += n
            if page is not None:
                days[day][part]["purchases_by_page"][page] = n
    return {
        "schema": 1,
        "records": {"total": total, "ok": ok, "duplicates": ok - distinct, "statuses": by("status", table="topic"),
                    "reasons": by("reason", "reason IS NOT NULL", "topic")},
        "valid": {"event_type": by("event_type"), "source": by("source")},
        "minutes": [minutes[minute] for minute in sorted(minutes)],
        "days": [days[day] for day in sorted(days)],
    }


if __name__ == "__main__":
    main()
