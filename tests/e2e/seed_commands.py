"""What users of the platform before this one type by habit: Kafka's tools, psql and pg_dump, du and ls of the lake, time travel.

Assumes a running topology (topology.py) that events flow through. Promises that every command of its documentation that this platform
keeps is run as a program of its own, with the names it had, and that its output says what a person looked for.
"""

import os
import pathlib
import re
import subprocess
import tempfile

import duckdb
from deltalake import DeltaTable

import seed_queries
from compose import ROOT
from lab import TOPIC
from postgres import find_bin
from procs import Failure

GROUP = "tributary-user_events"
LAYERS = {"bronze": ("user_events",), "silver": ("user_events",),
          "gold": ("dim_users", "dim_pages", "fact_events", "kpi_dau", "kpi_events_per_source", "kpi_purchases_per_page", "kpi_conversion_rate")}


class Shell:
    """Runs commands and keeps count; one that fails, or says nothing of what was looked for, is a `Failure`."""

    def __init__(self, say):
        self.say, self.count, self.skipped = say, 0, 0

    def run(self, name, command, wanted="", *, more=None, seconds=120):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=seconds, cwd="/",
                              env={**os.environ, **(more or {})})
        if done.returncode or not re.search(wanted, done.stdout):
            raise Failure(f"{name}: exit {done.returncode}, wanted {wanted!r}:\n$ {' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
        self.count += 1
        return done.stdout


def kafka(shell, bootstrap):
    """kafka-topics, kafka-configs, kafka-console-consumer, kafka-consumer-groups, GetOffsetShell."""
    tool = lambda name, *arguments: [ROOT / "scripts" / "apache-kafka.sh", "tool", name, "--bootstrap-server", bootstrap, *arguments]  # noqa: E731
    shell.run("kafka-topics --list", tool("kafka-topics", "--list"), rf"(?m)^{TOPIC}$")
    shell.run("kafka-topics --describe", tool("kafka-topics", "--describe", "--topic", TOPIC), r"PartitionCount: 6\b")
    # The topic has none of its own, so --all: what it has from the broker.
    shell.run("kafka-configs --describe", tool("kafka-configs", "--describe", "--all", "--entity-type", "topics", "--entity-name", TOPIC),
              r"(?m)^\s*retention\.ms=86400000\b")
    shell.run("kafka-console-consumer", tool("kafka-console-consumer", "--topic", TOPIC, "--from-beginning", "--max-messages", "5"), r'"event_type"')
    shell.run("kafka-consumer-groups --list", tool("kafka-consumer-groups", "--list"), rf"(?m)^{GROUP}$")
    lag = shell.run("kafka-consumer-groups --describe", tool("kafka-consumer-groups", "--describe", "--group", GROUP), "LAG")
    # Partition, the group's offset, the end, the lag.
    if len(re.findall(rf"(?m)^{GROUP} +{TOPIC} +\d+ +\d+ +\d+ +\d+ ", lag)) != 6:
        raise Failure(f"not six partitions in:\n{lag}")
    offsets = shell.run("GetOffsetShell", tool("kafka-get-offsets", "--topic", TOPIC), rf"(?m)^{TOPIC}:0:\d+$")
    if sum(int(line.rsplit(":", 1)[1]) for line in offsets.split()) < 1000:
        raise Failure(f"too few records by their offsets: {offsets}")
    shell.run("kafka-topics --alter", tool("kafka-topics", "--alter", "--topic", TOPIC, "--partitions", "7"))
    shell.run("kafka-topics --describe", tool("kafka-topics", "--describe", "--topic", TOPIC), r"PartitionCount: 7\b")


def postgres(shell, topology):
    """psql with everything that the documentation asked, pg_dump, \\copy, a view; as users `platform` and `grafana`."""
    folder = pathlib.Path(find_bin())
    psql, url = [folder / "psql", "-X", "-v", "ON_ERROR_STOP=1"], topology.url()
    where = [*psql, "-h", "127.0.0.1", "-p", topology.published["POSTGRES_HOST_PORT"], "-U", "platform", "-d", "serving"]
    secret = {"PGPASSWORD": topology.compose.services["tributary"].environment["POSTGRES_PASSWORD"]}
    for name, statement in seed_queries.ROWS.items():
        out = shell.run(f"psql -c ({name})", [*where, "-c", statement], "(?s)^.+$", more=secret)
        if name != "plan" and not re.search(r"\((?!0 rows)\d+ rows?\)", out):
            raise Failure(f"{name}: no row:\n{out}")
    for name, statement in seed_queries.MAYBE.items():
        shell.run(f"psql -c ({name})", [*where, "-c", statement], r"\(\d+ rows?\)", more=secret)
    shell.run("psql \\dt", [*where, "-c", r"\dt realtime.*", "-c", r"\dt gold.*"], r"(?s)events_per_minute.*daily_active_users", more=secret)
    shell.run("psql \\dn", [*where, "-c", r"\dn"], r"(?s)gold.*realtime", more=secret)
    shell.run("psql \\l", [*where, "-c", r"\l"], "serving", more=secret)
    shell.run("COPY … TO STDOUT", [*where, "-c", "COPY (SELECT * FROM gold.daily_active_users) TO STDOUT WITH CSV HEADER"],
              r"^event_date,dau_count,updated_at\n\d{4}-", more=secret)
    with tempfile.TemporaryDirectory(dir=topology.dir) as scratch:
        csv, dump = pathlib.Path(scratch) / "conversion.csv", pathlib.Path(scratch) / "backup.sql"
        shell.run("psql \\copy", [*psql, url, "-c", rf"\copy (SELECT * FROM gold.conversion_rate_daily) TO '{csv}' CSV HEADER"], r"COPY [1-9]")
        if not csv.read_text(encoding="utf-8").startswith("event_date,total_events,total_purchases,dau_count,conversion_rate"):
            raise Failure(f"\\copy wrote other columns: {csv.read_text(encoding='utf-8')[:200]}")
        with open(dump, "w", encoding="utf-8") as out:
            subprocess.run([folder / "pg_dump", "-d", url], stdout=out, check=True, timeout=120)
        shell.count += 1
        text = dump.read_text(encoding="utf-8")
        if not all(f"COPY {table}" in text for table in ("realtime.events_per_minute", "gold.daily_active_users", "ops.stream_offsets")):
            raise Failure("pg_dump leaves out tables")
        restored = [folder / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1"]
        shell.run("restore", [*restored, "-h", topology.postgres.socket, "-p", topology.postgres.port, "-U", "postgres", "-d", "postgres",
                              "-c", "CREATE DATABASE restored OWNER platform"])
        shell.run("restore", [*restored, url.replace("/serving", "/restored"), "-f", dump])
        shell.run("restored rows", [*psql, url.replace("/serving", "/restored"), "-c", "SELECT count(*) FROM gold.daily_active_users"],
                  r"(?m)^ +[1-9]")
    index = "CREATE INDEX IF NOT EXISTS idx_events_window ON realtime.events_per_minute(window_start)"
    shell.run("an index of one's own", [*where, "-c", index], more=secret)
    shell.run("a view over gold", [*where, "-c", seed_queries.VIEW, "-c", "SELECT * FROM gold.daily_metrics"], r"\([1-9]\d* rows?\)", more=secret)
    shell.run("psql as grafana", [*psql, topology.url("grafana"), "-c", "SELECT * FROM gold.daily_metrics"], r"\([1-9]\d* rows?\)")


def lake(shell, folder):
    """ls and du; history, an old version, details, and the documented queries over the Delta tables."""
    shell.run("ls of the lake", ["ls", "-la", folder], r"(?s)bronze.*gold.*silver")
    shell.run("du of the lake", ["du", "-sh", *(folder / layer for layer in LAYERS)], r"(?m)^\d\S*\s+\S+/bronze$")
    shell.run("ls of a partition", ["ls", folder / "bronze" / "user_events"], r"event_date=\d{4}-\d\d-\d\d")
    shell.run("ls of a log", ["ls", folder / "bronze" / "user_events" / "_delta_log"], r"\d{20}\.json")
    database = duckdb.connect()
    for layer, names in LAYERS.items():
        for name in names:
            table = DeltaTable(str(folder / layer / name))
            history = table.history()
            if not history or not {"operation", "timestamp"} <= set(history[0]):
                raise Failure(f"history of {layer}.{name}: {history[:1]}")
            before = DeltaTable(str(folder / layer / name), version=max(table.version() - 1, 0))
            if not table.count() or before.version() == table.version() > 0:
                raise Failure(f"{layer}.{name}: {table.count()} rows at version {table.version()}")
            before.count()
            _view(database, f"{layer}_{name}", folder / layer / name)
            shell.count += 2
    for name, statement in {
        "bronze against silver": "SELECT 'Bronze' AS layer, COUNT(*) FROM bronze_user_events UNION ALL "
                                 "SELECT 'Silver', COUNT(*) FROM silver_user_events",
        "event types of silver": "SELECT DISTINCT event_type FROM silver_user_events",
        "top users": "SELECT * FROM gold_dim_users ORDER BY total_events DESC LIMIT 10",
        "top pages": "SELECT * FROM gold_dim_pages ORDER BY total_events DESC LIMIT 10",
        "facts": "SELECT f.event_id, f.event_type, f.event_timestamp, u.total_events AS of_user, p.total_events AS of_page FROM gold_fact_events f "
                 "JOIN gold_dim_users u ON f.user_id = u.user_id JOIN gold_dim_pages p ON f.page = p.page LIMIT 10",
    }.items():
        # As text: DuckDB's Python wants one more package for times with a zone.
        found = database.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({statement})").fetchall()
        if not found:
            raise Failure(f"{name}: no row")
        if name == "event types of silver" and {row[0] for row in found} != {"login", "click", "purchase", "logout"}:
            raise Failure(f"event types of silver: {found}")
        shell.count += 1


def _view(database, name, folder):
    """A Delta table for DuckDB, by the files of its newest version; partitions' values are in the folders' names."""
    files = [uri.removeprefix("file://") for uri in DeltaTable(str(folder)).file_uris()]
    database.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files!r}, hive_partitioning = true, union_by_name = true)")


def by_spark(shell, folder, wanted):
    """spark-sql with Delta Lake: history, an old version, details, counts."""
    bronze = f"delta.`{folder}/bronze/user_events`"
    statements = (f"DESCRIBE HISTORY {bronze}; SELECT COUNT(*) FROM {bronze} VERSION AS OF 5; DESCRIBE DETAIL {bronze}; SELECT * FROM "
                  f"delta.`{folder}/gold/dim_users` ORDER BY total_events DESC LIMIT 10; SELECT COUNT(*) FROM delta.`{folder}/silver/user_events`;")
    if not wanted:
        print("SKIPPED spark-sql: a JVM and two minutes for what DuckDB and deltalake were asked above; topology.py --spark runs it")
        shell.skipped += 1
        return
    done = subprocess.run([ROOT / "scripts" / "spark.sh", "sql", statements], capture_output=True, text=True, timeout=900, cwd="/")
    if done.returncode == 77:
        print(done.stderr.strip().splitlines()[-1])
        shell.skipped += 1
        return
    if done.returncode or "event_date" not in done.stdout:
        raise Failure(f"spark-sql: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    shell.count += 5


def run(topology, *, spark=False):
    """All of them; returns a line about it."""
    shell = Shell(topology.say)
    postgres(shell, topology)
    lake(shell, topology.lake)
    by_spark(shell, topology.lake, spark)
    kafka(shell, topology.bootstrap)
    # A person's view and index must not be in the way of the next publication.
    topology.exec("run", "lakehouse_bronze_to_gold")
    topology.say("every documented command was tried")
    return f"documented commands {shell.count} ok, {shell.skipped} skipped"
