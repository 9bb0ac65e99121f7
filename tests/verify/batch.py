#!/usr/bin/env python3
"""Recounts silver, gold and PostgreSQL's gold tables from bronze's Parquet alone, row by row.

    batch.py --lake data/lake --pg postgres://… [--truth FILE …] [--pinned]

DuckDB reads bronze's live files (which those are, the deltalake package says) and makes from the valid rows, each event_id and event
time once, what silver and every gold table must hold (gold.py); then the tables of the lake and of PostgreSQL are compared with that,
and the recount itself with what `tributary generate` says it made. Assumes that nobody writes meanwhile; --pinned leaves out what is
in bronze beyond silver's own offsets. Needs: pip install deltalake duckdb 'psycopg[binary]'

Prints a line per table. Exit status: 0 all equal, 1 anything differs, 2 called wrongly.
"""

import argparse
import json
import pathlib
import sys
import tempfile
from dataclasses import dataclass, field

import duckdb
import psycopg
from deltalake import DeltaTable

import gold
import rules

PLACE = {"ingestion_timestamp": gold.MOMENT, "event_date": gold.DAY, "kafka_partition": gold.WHOLE, "kafka_offset": gold.WHOLE,
         "topic_incarnation": gold.WHOLE, "extra": gold.TEXT}
KINDS = {"text": gold.TEXT, "integer": gold.WHOLE, "timestamp": gold.MOMENT, "number": "number", "boolean": "boolean"}
SHAPES = {gold.TEXT: "{0}::VARCHAR", gold.WHOLE: "{0}::BIGINT", gold.DAY: "{0}::DATE", gold.MOMENT: "epoch_us({0}::TIMESTAMPTZ)",
          gold.RATE: "round({0}::DOUBLE * 1000000)::BIGINT", "number": "{0}::DOUBLE", "boolean": "{0}::BOOLEAN"}
ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclass
class Difference:
    """One table beside what it must be."""

    table: str
    rows: int = 0
    missing: int = 0
    extra: int = 0
    mismatched: int = 0
    days: set = field(default_factory=set)
    lines: list = field(default_factory=list)

    @property
    def wrong(self):
        return self.missing + self.extra + self.mismatched

    def __str__(self):
        return f"{self.table} rows={self.rows} missing={self.missing} extra={self.extra} mismatched={self.mismatched}"


@dataclass
class Verdict:
    """Everything that was compared."""

    silver: list
    gold: list
    postgres: list
    truth: list

    def tables(self):
        return [*self.silver, *self.gold, *self.postgres, *self.truth]

    @property
    def stale_days(self):
        """Days of which any table shows something else than bronze."""
        return set().union(*(table.days for table in self.tables()))

    @property
    def well(self):
        return not any(table.wrong for table in self.tables())

    def line(self):
        """The last line of the command."""
        total = lambda tables: sum(table.wrong for table in tables)
        missing, extra = (sum(getattr(t, what) for t in self.silver) for what in ("missing", "extra"))
        parts = [f"silver missing={missing} extra={extra}", f"gold mismatched={total(self.gold)}"]
        parts.append(f"postgres mismatched={total(self.postgres)}" if self.postgres else "postgres not compared")
        parts.append(f"stale_days={len(self.stale_days)}")
        if self.truth:
            parts.append(f"truth mismatched={total(self.truth)}")
        return " · ".join(parts)


class Recount:
    """Bronze in a DuckDB of its own, and what follows from it."""

    def __init__(self, lake, stream, pinned=False, show=5, tables=None):
        self.lake, self.stream, self.show = pathlib.Path(str(lake).removeprefix("file://")), stream, show
        self.tables = gold.TABLES | (tables or {})
        self.spill = tempfile.TemporaryDirectory(prefix="verify-")
        self.db = duckdb.connect(config={"temp_directory": self.spill.name})
        self.db.execute("SET TimeZone = 'UTC'")
        self.columns = {column: KINDS[field["type"]] for column, field in zip(stream.columns, stream.fields)} | PLACE
        self.key = (stream.columns[stream.id_at], stream.columns[stream.time_at])
        self.silver_path = self.lake / "silver" / stream.name
        self._read(pinned)

    def close(self):
        self.db.close()
        self.spill.cleanup()

    def lake_table(self, view, path, columns):
        """Makes `view` over a Delta table's live files, its columns comparable. False: there is no such table, or no file in it."""
        files = DeltaTable(str(path)).file_uris() if DeltaTable.is_deltatable(str(path)) else []
        if not files:
            return False
        self.db.execute(f"SET VARIABLE {view} = ?", [[file.removeprefix("file://") for file in files]])
        self.db.execute(f"CREATE OR REPLACE VIEW {view} AS SELECT {shaped(columns)} FROM "
                        f"read_parquet(getvariable('{view}'), hive_partitioning=true, hive_types_autocast=false, union_by_name=true)")
        return True

    def _read(self, pinned):
        """`valid`: the rows of bronze that silver must know. `expected`: each event once, silver's own choice where copies differ."""
        time = self.key[1]
        # Of the day the event time speaks, not the folder that somebody put the row into.
        columns = {name: kind for name, kind in self.columns.items() if name != "event_date"} | {"status": gold.TEXT}
        if not self.lake_table("bronze", self.lake / "bronze" / self.stream.name, columns):
            raise SystemExit(f"no table, or an empty one, in {self.lake}/bronze/{self.stream.name}")
        day = f"(TIMESTAMP '1970-01-01' + to_microseconds({time}))::DATE"
        self.db.execute(f"CREATE TABLE valid AS SELECT {', '.join(n if n != 'event_date' else f'{day} AS event_date' for n in self.columns)} "
                        "FROM bronze WHERE status = 'ok'")
        if not self.lake_table("found_silver", self.silver_path, self.columns):
            self.db.execute("CREATE VIEW found_silver AS SELECT * FROM valid WHERE false")
        if pinned:
            self._cut_to_silver()
        key, at = ", ".join(self.key), "topic_incarnation, kafka_partition, kafka_offset"
        self.db.execute(f"CREATE TABLE repeated AS SELECT {key} FROM valid GROUP BY ALL HAVING count(*) > 1")
        again = f"SELECT valid.* FROM valid SEMI JOIN repeated USING ({key})"
        self.db.execute(
            f"CREATE TABLE expected AS SELECT valid.* FROM valid ANTI JOIN repeated USING ({key}) UNION ALL "
            f"SELECT * EXCLUDE (taken) FROM (SELECT DISTINCT ON ({key}) a.*, taken FROM ({again}) a LEFT JOIN "
            f"(SELECT {at}, true AS taken FROM found_silver) USING ({at}) ORDER BY {key}, taken NULLS LAST, {at})")
        self.db.execute("DROP TABLE valid")
        # For the SQL of gold.py: moments are whole microseconds already, on both sides.
        self.db.execute("CREATE VIEW silver AS SELECT * FROM expected")

    def _cut_to_silver(self):
        table = DeltaTable(str(self.silver_path)) if DeltaTable.is_deltatable(str(self.silver_path)) else None
        for incarnation, partition in self.db.execute("SELECT DISTINCT topic_incarnation, kafka_partition FROM valid").fetchall():
            app = f"silver/{self.stream.topic}#{incarnation}/{partition}"
            has = (table and table.transaction_version(app)) or 0
            self.db.execute("DELETE FROM valid WHERE topic_incarnation = ? AND kafka_partition = ? AND kafka_offset >= ?",
                            [incarnation, partition, has])

    def compare(self, name, expected, actual, columns, key):
        """Two relations as bags of rows: what is on one side only, and which of it is the same key with other values."""
        names = ", ".join(columns)
        print_of = lambda relation: self.db.execute(f"SELECT count(*), sum(hash({names})::HUGEINT) FROM {relation}").fetchone()
        wanted, found = print_of(expected), print_of(actual)
        result = Difference(name, found[0])
        if wanted == found:
            return result
        for side, left, right in (("lacking", expected, actual), ("surplus", actual, expected)):
            self.db.execute(f"CREATE OR REPLACE TEMP TABLE {side} AS (SELECT {names} FROM {left}) EXCEPT ALL (SELECT {names} FROM {right})")
        pair = " AND ".join(f"a.{k} IS NOT DISTINCT FROM b.{k}" for k in key)
        count = lambda sql: self.db.execute(sql).fetchone()[0]
        lacking, surplus = count("SELECT count(*) FROM lacking"), count("SELECT count(*) FROM surplus")
        # Each lacking row answers one surplus row of its key, whichever side has fewer.
        result.mismatched = min(count(f"SELECT count(*) FROM lacking a SEMI JOIN surplus b ON {pair}"),
                                count(f"SELECT count(*) FROM surplus a SEMI JOIN lacking b ON {pair}"))
        result.missing, result.extra = lacking - result.mismatched, surplus - result.mismatched
        if "event_date" in columns:
            result.days = {day for day, in self.db.execute("SELECT event_date FROM lacking UNION SELECT event_date FROM surplus").fetchall()}
        for side in ("lacking", "surplus"):
            rows = self.db.execute(f"SELECT * FROM {side} ORDER BY ALL LIMIT {self.show}").fetchall()
            result.lines += [f"  {name} {side}: " + " ".join(f"{c}={v}" for c, v in zip(columns, row)) for row in rows]
        return result

    def silver(self):
        """Silver itself, and the rows that it calls conflicts: those must be rows of silver."""
        found = self.compare(f"silver.{self.stream.name}", "expected", "found_silver", self.columns, self.key)
        # A row of the right event with other values is one too few and one too many.
        found.missing, found.extra, found.mismatched = found.missing + found.mismatched, found.extra + found.mismatched, 0
        results = [found]
        if self.lake_table("found_conflicts", f"{self.silver_path}_conflicts", self.columns | {"other_timestamp": gold.MOMENT}):
            rows, foreign = self.db.execute(
                f"SELECT count(*), count(*) FILTER (s.{self.key[0]} IS NULL OR other_timestamp = c.{self.key[1]}) FROM found_conflicts c "
                "LEFT JOIN found_silver s USING (topic_incarnation, kafka_partition, kafka_offset)").fetchone()
            results.append(Difference(f"silver.{self.stream.name}_conflicts", rows, extra=foreign))
        return results

    def gold(self):
        """Every gold table of the lake."""
        for name, table in self.tables.items():
            self.db.execute(f"CREATE OR REPLACE TABLE want_{name} AS SELECT {shaped(table.columns, made=True)} FROM ({table.sql})")
            if not self.lake_table("found_gold", self.lake / "gold" / name, table.columns):
                self.db.execute(f"CREATE OR REPLACE VIEW found_gold AS SELECT * FROM want_{name} WHERE false")
            yield self.compare(f"gold.{name}", f"want_{name}", "found_gold", table.columns, table.key)

    def postgres(self, url):
        """The published tables, out of one transaction; `gold` comes first."""
        with psycopg.connect(url) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            for name, table in self.tables.items():
                if table.published is None:
                    continue
                where = f"gold.{table.published}"
                there = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [where]).fetchone()[0]
                names = ", ".join(table.columns)
                with tempfile.NamedTemporaryFile(suffix=".csv") as file:
                    if there:
                        with connection.cursor().copy(f"COPY (SELECT {names} FROM {where}) TO STDOUT (FORMAT csv)") as rows:
                            for block in rows:
                                file.write(block)
                        file.flush()
                    types = ", ".join(f"'{column}': 'VARCHAR'" for column in table.columns)
                    self.db.execute(f"CREATE OR REPLACE TABLE found_postgres AS SELECT {shaped(table.columns)} FROM read_csv('{file.name}', "
                                    f"header=false, auto_detect=false, delim=',', quote='\"', escape='\"', columns={{{types}}})")
                yield self.compare(f"postgres {where}", f"want_{name}", "found_postgres", table.columns, table.key)

    def truth(self, paths):
        """The recount itself beside what was made: whoever finds nothing in a wrong recount has found nothing."""
        found = Difference("truth")
        made = {}
        for path in paths:
            told = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
            if told["schema"] != 1:
                raise SystemExit(f"{path} has schema {told['schema']}; this reads 1")
            for day in told["days"]:
                made.setdefault(day["day"], []).append(day["distinct"])
        counted = self._days()
        found.rows = len(made)
        for day in sorted(made.keys() | counted.keys()):
            told = merged(made.get(day, []))
            # Users of two runs are not two users: only a day of one run can say how many there are.
            has = {name: number for name, number in counted.get(day, {}).items() if name in told or name != "users" or day not in made}
            wrong = {name: (told.get(name, 0), has.get(name, 0)) for name in told.keys() | has.keys() if told.get(name, 0) != has.get(name, 0)}
            if wrong:
                found.mismatched += 1
                found.lines.append(f"  truth {day} (made, counted from bronze): {wrong}")
        return found

    def _days(self):
        days = {}
        for name, sql in (
                ("events", "SELECT event_date, '', count(*) FROM silver GROUP BY ALL"),
                ("users", "SELECT event_date, '', count(DISTINCT user_id) FROM silver GROUP BY ALL"),
                ("source", "SELECT event_date, source, count(*) FROM silver GROUP BY ALL"),
                ("purchases", "SELECT event_date, '', count(*) FROM silver WHERE event_type = 'purchase' GROUP BY ALL"),
                ("purchases_by_page", "SELECT event_date, page, count(*) FROM silver WHERE event_type = 'purchase' AND page IS NOT NULL "
                                      "GROUP BY ALL")):
            for day, which, number in self.db.execute(sql).fetchall():
                days.setdefault(str(day), {})[f"{name} {which}".strip()] = number
        return days


def merged(parts):
    """One day of several runs; their events are different ones, as their seeds are."""
    total = {}
    for part in parts:
        for name, value in part.items():
            for which, number in value.items() if isinstance(value, dict) else [("", value)]:
                total[f"{name} {which}".strip()] = total.get(f"{name} {which}".strip(), 0) + number
    if len(parts) > 1:
        total.pop("users", None)
    return total


def shaped(columns, made=False):
    """The columns in types that compare; of what gold.py made, moments are microseconds already."""
    shape = lambda kind: "{0}::BIGINT" if made and kind == gold.MOMENT else SHAPES[kind]
    return ", ".join(f"{shape(kind).format(name)} AS {name}" for name, kind in columns.items())


def verify(lake, pg=None, truths=(), stream=None, pinned=False, show=5, tables=None):
    """Compares everything; a `Verdict`. `tables`: gold tables that are not (or not as) in gold.py."""
    recount = Recount(lake, stream or rules.Stream(ROOT / "streams" / "user_events.toml"), pinned, show, tables)
    try:
        silver, tables = recount.silver(), list(recount.gold())
        postgres = list(recount.postgres(pg)) if pg else []
        return Verdict(silver, tables, postgres, [recount.truth(truths)] if truths else [])
    finally:
        recount.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lake", required=True, help="folder that holds bronze/, silver/ and gold/")
    parser.add_argument("--pg", help="postgres://…; left out: not compared")
    parser.add_argument("--truth", nargs="+", default=[], help="what `tributary generate` said, of every run that is in bronze")
    parser.add_argument("--pinned", action="store_true", help="leave out what is in bronze beyond silver's own offsets")
    parser.add_argument("--declaration", help="the stream's file; streams/user_events.toml unless given")
    parser.add_argument("--show", type=int, default=5, help="differences to print per table and direction")
    args = parser.parse_args()
    stream = rules.Stream(args.declaration) if args.declaration else None
    verdict = verify(args.lake, args.pg, args.truth, stream, args.pinned, args.show)
    for table in verdict.tables():
        print(table)
        for line in table.lines:
            print(line)
    print(verdict.line())
    sys.exit(0 if verdict.well else 1)


if __name__ == "__main__":
    main()
