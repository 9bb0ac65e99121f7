#!/usr/bin/env python3
"""`up` on an empty folder, nothing clicked: how long until silver, every gold table and the four tables in PostgreSQL have rows.

    fresh.py [--limit 60]

Embedded broker, embedded PostgreSQL, demo traffic, default settings but for free ports. The clock starts when bronze has its first row.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import psycopg
from deltalake import DeltaTable

from lab import STREAM, binary
from procs import Failure, Proc, conclude, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "verify"))
import gold  # noqa: E402


def has_rows(path):
    """Whether a Delta table is there and has a row."""
    try:
        return DeltaTable.is_deltatable(str(path)) and DeltaTable(str(path)).count() > 0
    except Exception:  # a listing beside a writer is not atomic: the next look will tell
        return False


def published(url):
    """Rows of the four tables."""
    with psycopg.connect(url, connect_timeout=3) as connection:
        names = [table.published for table in gold.TABLES.values() if table.published]
        return {name: connection.execute(f"SELECT count(*) FROM gold.{name}").fetchone()[0] for name in names}


def watched(log):
    """The Prometheus that `up` has started, if one is installed, sees it and has read the rules."""
    if not shutil.which("prometheus"):
        return print("SKIPPED Prometheus beside `up`: no prometheus on the PATH (scripts/setup.sh test gets it)")
    found = re.search(r"Prometheus +(http://[0-9.:]+)", log)
    if not found:
        raise Failure(f"`up` does not say where Prometheus is:\n{log}")

    def ask(path):
        with urllib.request.urlopen(f"{found.group(1)}/api/v1/{path}", timeout=5) as answer:
            return json.load(answer)["data"]

    wait_for("Prometheus scrapes it and itself", lambda: [t["health"] for t in ask("targets")["activeTargets"]] == ["up", "up"], 30, every=0.5)
    rules = [rule["name"] for group in ask("rules")["groups"] for rule in group["rules"]]
    if "TributaryWatchdog" not in rules:
        raise Failure(f"Prometheus does not know the alerts: {rules}")
    print(f"fresh: Prometheus at {found.group(1)} scrapes it and evaluates {len(rules)} rules")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--limit", type=float, default=60, help="seconds from the first event to the last table")
    args = parser.parse_args()
    home = pathlib.Path(tempfile.mkdtemp(prefix="tributary-fresh-"))
    home.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("TRIBUTARY_", "KAFKA_", "POSTGRES_", "PG", "DATABASE_URL"))}
    env |= {"POSTGRES_PORT": "0", "TRIBUTARY_KAFKA_EMBEDDED_PORT": "0", "TRIBUTARY_HTTP_LISTEN": "127.0.0.1:0", "NO_COLOR": "1"}
    data = home / "data"
    up = Proc("up", [binary(), "up", "--data", data], home / "up.log", env=env)
    begun = time.monotonic()
    try:
        up.start()

        def log():
            if not up.runs():
                raise Failure("up ended")
            return up.log.read_text(errors="replace")

        lake = data / "lakehouse"
        wait_for("bronze has a row", lambda: log() and has_rows(lake / "bronze" / STREAM), 120, every=0.1)
        first = time.monotonic()
        url = wait_for("up says where PostgreSQL is", lambda: re.search(r"psql '(postgres:[^']*)'", log()), 30).group(1)
        tables = [lake / "silver" / STREAM, *(lake / "gold" / name for name in gold.TABLES)]
        wait_for("silver and all gold tables have rows", lambda: log() and all(map(has_rows, tables)), args.limit, every=0.2)
        built = time.monotonic()
        wait_for("the four tables in PostgreSQL have rows", lambda: all(published(url).values()), args.limit, every=0.2)
        took = time.monotonic() - first
        listed = subprocess.run([str(binary()), "runs", "list", "--json", "--data", str(data)], capture_output=True, text=True, env=env, timeout=60)
        if listed.returncode or not any(run["state"] == "succeeded" for run in json.loads(listed.stdout)):
            raise Failure(f"`runs list` does not show how: {listed.stdout}{listed.stderr}")
        print(f"fresh: first row in bronze {first - begun:.1f} s after start; silver and {len(gold.TABLES)} gold tables {built - first:.1f} s "
              f"later, PostgreSQL's four {took:.1f} s later (limit {args.limit:g} s)")
        if took > args.limit:
            raise Failure(f"{took:.1f} s is more than {args.limit:g} s")
        watched(log())
        audited = subprocess.run([str(binary()), "audit", "--data", str(data)], capture_output=True, text=True, env=env, timeout=120)
        if audited.returncode:
            raise Failure(f"the audit fails:\n{audited.stdout}{audited.stderr}")
        print(audited.stdout.strip().splitlines()[-1])
        up.leave()
    except Failure:
        print(up.tail(30), file=sys.stderr)
        raise
    finally:
        up.kill()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    conclude(main)
