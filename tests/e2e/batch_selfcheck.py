#!/usr/bin/env python3
"""The judge of silver, gold and PostgreSQL judged: stores that are wrong in one place must be called wrong, each in its own words.

Makes small stores by hand (no program of ours is asked), counts them with plain dictionaries, and spoils them in one place at a time.
"""

import json
import pathlib
import random
import shutil
import sys
import tempfile
import uuid
from collections import Counter, defaultdict
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import polars
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from lab import STREAM, TOPIC
from postgres import Postgres
from procs import Failure, conclude

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "verify"))
from batch import verify  # noqa: E402

START = datetime(2026, 11, 1, 22, tzinfo=timezone.utc)
MOMENT = polars.Datetime("us", "UTC")
FACT = ["event_id", "user_id", "event_type", "page", "event_timestamp", "source", "event_date"]
BRONZE = {"event_id": polars.String, "user_id": polars.Int64, "event_type": polars.String, "page": polars.String,
          "event_timestamp": MOMENT, "source": polars.String, "ingestion_timestamp": MOMENT, "event_date": polars.Date,
          "kafka_partition": polars.Int32, "kafka_offset": polars.Int64, "topic_incarnation": polars.Int32, "extra": polars.String,
          "status": polars.String, "error": polars.String}
PUBLISHED = {
    "daily_active_users": ("kpi_dau", "event_date DATE PRIMARY KEY, dau_count BIGINT"),
    "events_per_source_daily": ("kpi_events_per_source", "event_date DATE, source TEXT, event_count BIGINT"),
    "purchases_per_page_daily": ("kpi_purchases_per_page", "event_date DATE, page TEXT, purchase_count BIGINT"),
    "conversion_rate_daily": ("kpi_conversion_rate", "event_date DATE, total_events BIGINT, total_purchases BIGINT, dau_count BIGINT, "
                                                     "conversion_rate NUMERIC"),
}


def events():
    """(bronze, silver): some records come twice to the byte, one id comes with two times, some are bad, some know no page."""
    dice, bronze, silver, offsets = random.Random(7), [], [], Counter()

    def put(row, status="ok"):
        partition = dice.randrange(2)
        place = {"kafka_partition": partition, "kafka_offset": offsets[partition], "topic_incarnation": 1}
        offsets[partition] += 1
        bronze.append({**row, **place, "status": status, "error": None if status == "ok" else "not_json: a test"})
        return {**row, **place}

    for n in range(4000):
        at = START + timedelta(minutes=n, microseconds=n)
        row = {"event_id": str(uuid.UUID(int=dice.getrandbits(128), version=4)), "user_id": 1 + dice.randrange(60),
               "event_type": dice.choice(["login", "click", "purchase", "logout"]),
               "page": dice.choice(["/home", "/cart", "/a,\"b\"", None]), "event_timestamp": at,
               "source": dice.choice(["web", "mobile"]), "ingestion_timestamp": at, "event_date": at.date(), "extra": None}
        silver.append(put(row))
        if n % 50 == 0:
            put(row)
        if n % 400 == 0:
            again = at + timedelta(seconds=1)
            silver.append(put({**row, "event_timestamp": again, "event_date": again.date()}))
        if n % 70 == 0:
            put({name: row[name] if name in ("ingestion_timestamp", "event_date") else None for name in row}, "malformed")
    return bronze, silver


def gold(silver):
    """The gold tables, counted by hand."""
    days, sources, pages, users, bought = defaultdict(list), Counter(), Counter(), defaultdict(list), Counter()
    user_days, page_days = defaultdict(list), Counter()
    for row in silver:
        page = row["page"] or "(none)"
        user_days[row["event_date"], row["user_id"], row["source"]].append(row)
        page_days[row["event_date"], page] += 1
        days[row["event_date"]].append(row)
        sources[row["event_date"], row["source"]] += 1
        users[row["user_id"]].append(row)
        pages[page] += 1
        bought[row["event_date"], page] += row["event_type"] == "purchase"
    active = {day: len({row["user_id"] for row in rows}) for day, rows in days.items()}
    conversion = []
    for day, rows in days.items():
        purchases = sum(row["event_type"] == "purchase" for row in rows)
        conversion.append({"event_date": day, "total_events": len(rows), "total_purchases": purchases, "dau_count": active[day],
                           "conversion_rate": round(purchases / len(rows), 6)})
    times = lambda rows: [row["event_timestamp"] for row in rows]
    return {
        "fact_events": [{name: row[name] for name in FACT} for row in silver],
        "dim_users": [{"user_id": user, "total_events": len(rows), "source_count": len({row["source"] for row in rows}),
                       "first_seen": min(times(rows)), "last_seen": max(times(rows))} for user, rows in users.items()],
        "user_days": [{"event_date": day, "user_id": user, "source": source, "total_events": len(rows),
                       "total_purchases": sum(row["event_type"] == "purchase" for row in rows), "first_seen": min(times(rows)),
                       "last_seen": max(times(rows))} for (day, user, source), rows in user_days.items()],
        "page_days": [{"event_date": day, "page": page, "total_events": n} for (day, page), n in page_days.items()],
        "dim_pages": [{"page": page, "total_events": n} for page, n in pages.items()],
        "kpi_dau": [{"event_date": day, "dau_count": n} for day, n in active.items()],
        "kpi_events_per_source": [{"event_date": day, "source": source, "event_count": n} for (day, source), n in sources.items()],
        "kpi_purchases_per_page": [{"event_date": day, "page": page, "purchase_count": n} for (day, page), n in bought.items() if n],
        "kpi_conversion_rate": conversion,
    }


def truth(silver):
    """What the generator would have said of these days."""
    days = defaultdict(lambda: {"events": 0, "users": set(), "source": Counter(), "purchases": 0, "purchases_by_page": Counter()})
    for row in silver:
        day = days[row["event_date"]]
        day["events"] += 1
        day["users"].add(row["user_id"])
        day["source"][row["source"]] += 1
        if row["event_type"] == "purchase":
            day["purchases"] += 1
            if row["page"] is not None:
                day["purchases_by_page"][row["page"]] += 1
    return {"schema": 1, "days": [{"day": str(day), "distinct": {**counts, "users": len(counts["users"])}} for day, counts in days.items()]}


def write(path, rows, schema=None, txns=()):
    frame = polars.DataFrame(rows, schema=schema, schema_overrides={k: v for k, v in BRONZE.items() if rows and k in rows[0]})
    parts = ["event_date"] if "event_date" in frame.columns else None
    properties = CommitProperties(app_transactions=[Transaction(app, version) for app, version in txns])
    write_deltalake(str(path), frame, mode="overwrite", partition_by=parts, commit_properties=properties)


def publish(postgres, tables):
    with postgres.connect() as connection:
        connection.execute("CREATE SCHEMA gold")
        for name, (source, columns) in PUBLISHED.items():
            connection.execute(f"CREATE TABLE gold.{name} ({columns}, updated_at TIMESTAMPTZ DEFAULT now())")
            for row in tables[source]:
                values = [Decimal(repr(v)) if isinstance(v, float) else v for v in row.values()]
                connection.execute(f"INSERT INTO gold.{name} VALUES ({', '.join(['%s'] * len(values))})", values)


class Spoiler:
    """One change at a time to a copy of the lake, or to PostgreSQL inside a schema that is put back."""

    def __init__(self, home, postgres, silver):
        self.home, self.postgres, self.silver, self.done = home, postgres, silver, 0

    def lake(self, table, what, wanted):
        """Spoils a copy: `what` gets the Delta table."""
        copy = self.home / "spoiled"
        shutil.copytree(self.home / "lake", copy)
        what(DeltaTable(str(copy / table)))
        self.expect(f"{table} spoiled", copy, wanted)
        shutil.rmtree(copy)

    def sql(self, statement, wanted):
        with self.postgres.connect() as connection:
            connection.execute("CREATE SCHEMA kept")
            tables = list(PUBLISHED)
            for name in tables:
                connection.execute(f"CREATE TABLE kept.{name} AS TABLE gold.{name}")
            connection.execute(statement)
            self.expect(statement, self.home / "lake", wanted)
            for name in tables:
                connection.execute(f"DROP TABLE IF EXISTS gold.{name}")
                connection.execute(f"ALTER TABLE kept.{name} SET SCHEMA gold")
            connection.execute("DROP SCHEMA kept")

    def expect(self, what, lake, wanted, **more):
        line = verify(lake, self.postgres.url, **more).line()
        if line != wanted:
            raise Failure(f"{what}: the verdict is\n  {line}\ninstead of\n  {wanted}")
        self.done += 1


def words(silver=(0, 0), gold=0, postgres=0, stale=0):
    return f"silver missing={silver[0]} extra={silver[1]} · gold mismatched={gold} · postgres mismatched={postgres} · stale_days={stale}"


def main():
    home = pathlib.Path(tempfile.mkdtemp(prefix="tributary-batch-selfcheck-"))
    home.chmod(0o755)
    postgres = Postgres(home / "postgres")
    postgres.start()
    try:
        bronze, silver = events()
        lake = home / "lake"
        ends = Counter(row["kafka_partition"] for row in bronze)
        write(lake / "bronze" / STREAM, bronze, BRONZE, [(f"ingest/{TOPIC}#1/{p}", n) for p, n in ends.items()])
        names = {name: kind for name, kind in BRONZE.items() if name not in ("status", "error")}
        write(lake / "silver" / STREAM, silver, names, [(f"silver/{TOPIC}#1/{p}", n) for p, n in ends.items()])
        tables = gold(silver)
        for name, rows in tables.items():
            write(lake / "gold" / name, rows)
        publish(postgres, tables)
        spoil = Spoiler(home, postgres, silver)
        spoil.expect("as it is", lake, words())
        spoil.expect("as it is, pinned", lake, words(), pinned=True)
        told = truth(silver)
        for change, wanted in (lambda day: None, 0), (lambda day: day.update(users=day["users"] + 1), 1):
            change(told["days"][2]["distinct"])
            (home / "truth.json").write_text(json.dumps(told))
            spoil.expect("beside the truth", lake, f"{words()} · truth mismatched={wanted}", truths=[home / "truth.json"])
        one = silver[123]
        where = f"event_id = '{one['event_id']}'"
        spoil.lake(f"silver/{STREAM}", lambda t: t.delete(where), words(silver=(1, 0), stale=1))
        spoil.lake(f"silver/{STREAM}", lambda t: t.update({"user_id": "user_id + 1"}, predicate=where), words(silver=(1, 1), stale=1))
        twice = polars.DataFrame([one], schema=names)
        spoil.lake(f"silver/{STREAM}", lambda t: write_deltalake(t, twice, mode="append"), words(silver=(0, 1), stale=1))
        spoil.lake("gold/fact_events", lambda t: t.delete(where), words(gold=1, stale=1))
        spoil.lake("gold/kpi_dau", lambda t: t.update({"dau_count": "dau_count + 1"}), words(gold=4, stale=4))
        spoil.lake("gold/dim_users", lambda t: t.update({"total_events": "total_events + 1"}, predicate="user_id = 7"), words(gold=1))
        spoil.lake("gold/dim_pages", lambda t: t.delete(), words(gold=4))
        spoil.sql("UPDATE gold.conversion_rate_daily SET conversion_rate = conversion_rate + 0.00001 WHERE event_date = '2026-11-02'",
                  words(postgres=1, stale=1))
        spoil.sql("DELETE FROM gold.purchases_per_page_daily WHERE event_date = '2026-11-02'", words(postgres=4, stale=1))
        spoil.sql("INSERT INTO gold.events_per_source_daily VALUES ('2020-01-01', 'web', 1)", words(postgres=1, stale=1))
        spoil.sql("DROP TABLE gold.daily_active_users", words(postgres=4, stale=4))
        print(f"batch selfcheck: {spoil.done - 3} ways to be wrong were found, nothing was found where nothing was wrong")
    finally:
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    conclude(main)
