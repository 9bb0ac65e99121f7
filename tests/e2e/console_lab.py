"""The console's surroundings: broker, PostgreSQL, and one `up` that does everything, with what a person would click on.

Assumes a built program (lab.py says which). Promises: traffic that never stops; dead letters that today's declaration calls valid, because
the first start declared one source too few; a job that fails whenever it runs, and one that is as slow as somebody holds a lock; the
same port and name after every start, so that a page that was open finds its server again.
"""

import json
import re
import shutil
import urllib.error
import urllib.request

import psycopg
from confluent_kafka import Producer

from lab import ROOT, TOPIC, Lab
from procs import Failure, Proc, free_port, wait_for

JOB, DOOMED = "lakehouse_bronze_to_gold", "doomed_numbers"
PUBLISHED = ("daily_active_users", "events_per_source_daily", "purchases_per_page_daily", "conversion_rate_daily")
RATE = 200

# As somebody writes it who is in a hurry: line 2 is wrong.
MISTYPED = 'name = "mistyped"\nscedule = "daily"\n\n[[task]]\nrun = "check_bronze"\n'

# Fails at its first row, for a reason that only a person can mend: it is not tried again by itself.
DOOMED_MODEL = """-- description: A figure that cannot be computed, so that there is a run that failed
-- materialize: full
-- key: event_date
SELECT event_date, CAST(CAST(event_id AS VARCHAR) AS BIGINT) AS impossible FROM silver.user_events
"""
DOOMED_JOB = """name = "doomed_numbers"
description = "Fails whenever it runs"
retries = 0

[[task]]
name = "check_bronze"
run = "check_bronze"

[[task]]
name = "models"
after = "check_bronze"
run = "models"
models = ["doomed"]
"""


class ConsoleLab(Lab):
    """Use as a context manager. `main` is the instance with everything; `more(...)` makes another beside it, for settings of its own."""

    def __init__(self, name="console", rate=RATE, settings=()):
        super().__init__(name, settings)
        self.models, self.jobs, self.streams = self.dir / "models", self.dir / "jobs", self.dir / "streams"
        shutil.copytree(ROOT / "sql" / "models" / "gold", self.models)
        shutil.copytree(ROOT / "streams", self.streams)
        shutil.copytree(ROOT / "jobs", self.jobs)
        # The job of every installation builds every model: here all but the one that fails.
        names = json.dumps(sorted(path.stem for path in self.models.glob("*.sql")))
        file = self.jobs / f"{JOB}.toml"
        text = file.read_text(encoding="utf-8")
        if 'run = "models"' not in text:
            raise Failure(f"{file} has no task that runs the models")
        file.write_text(text.replace('run = "models"', f'run = "models"\nmodels = {names}'), encoding="utf-8")
        (self.jobs / f"{DOOMED}.toml").write_text(DOOMED_JOB, encoding="utf-8")
        (self.models / "doomed.sql").write_text(DOOMED_MODEL, encoding="utf-8")
        self.settings += [f"batch.models_dir={self.models}", f"batch.jobs_dir={self.jobs}", f"streams_dir={self.streams}"]
        self.rate, self.port = rate, free_port()
        self.main = self.process("main", self.port, "--rate", str(rate))

    def client_env(self, instance="audit"):
        return {**super().client_env(instance), "TRIBUTARY_MODELS": str(self.models), "TRIBUTARY_JOBS": str(self.jobs),
                "TRIBUTARY_STREAMS": str(self.streams)}

    def process(self, name, port, *words, listen="127.0.0.1", settings=(), env=None):
        """An `up` by that name, not started; leaving the lab stops it."""
        command = [self.bin, "up", "--data", self.dir / f"data-{name}", "--set", f"http.listen={listen}:{port}", *words]
        for setting in [*self.settings, *settings]:
            command += ["--set", setting]
        proc = Proc(name, command, self.dir / f"instance-{name}.log", env={**self.client_env(name), **(env or {})})
        proc.http = port
        self.instances[name] = proc
        return proc

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self, name="main", seconds=60):
        """Starts an instance and waits until it feeds every store."""
        self.instances[name].start()
        self.wait_ready(name, seconds)

    def fill(self):
        """From nothing to a lake that a person would know: dead letters of several kinds, silver, gold, published tables, a failed run."""
        stream = self.streams / "user_events.toml"
        declared = stream.read_text(encoding="utf-8")
        narrow = declared.replace('allowed = ["web", "mobile"]', 'allowed = ["web"]')
        if narrow == declared:
            raise Failure(f"{stream} does not declare the sources that this test counts on")
        stream.write_text(narrow, encoding="utf-8")
        self.start()
        self.generate(4000, 11, 4000, flaws=("--malformed", "5%", "--late", "2%", "--duplicate", "1%"))
        self.wait_generated(60)
        wait_for("windows have rows", lambda: self.ask("SELECT 1 FROM realtime.events_per_minute LIMIT 1"), 60)
        self.main.leave()
        stream.write_text(declared, encoding="utf-8")
        self.start()
        wait_for("the four tables in PostgreSQL have rows", self.published, 180, every=0.5)
        status, out, err = self.run("run", DOOMED, "--wait", seconds=120)
        if status != 1 or not self.ask("SELECT 1 FROM ops.runs WHERE job = %s AND state = 'failed'", DOOMED):
            raise Failure(f"the job that always fails ended with {status}:\n{out}{err}")

        # As if its model had been taken away.
        shutil.copytree(self.lake / "gold" / "kpi_dau", self.lake / "gold" / "left_behind")

    def break_job(self):
        """Adds a job's file that cannot be read."""
        (self.jobs / "mistyped.toml").write_text(MISTYPED, encoding="utf-8")

    def mend_job(self):
        """Takes it away again."""
        (self.jobs / "mistyped.toml").unlink()

    def published(self):
        return all(self.ask(f"SELECT 1 FROM gold.{name} LIMIT 1") for name in PUBLISHED)

    def ask(self, sql, *values):
        """Rows of PostgreSQL; none while the table is not there."""
        try:
            with psycopg.connect(self.postgres.url, connect_timeout=5, autocommit=True) as connection:
                return connection.execute(sql, values).fetchall()
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return []

    def actions(self):
        """How many rows the audit of what people did has."""
        rows = self.ask("SELECT count(*) FROM ops.actions")
        return rows[0][0] if rows else 0

    def steady(self, what):
        """The main instance still runs and has not been started anew by anybody."""
        if not self.main.runs():
            raise Failure(f"{what}: the process ended\n{self.main.tail(30)}")
        text = self.main.log.read_text(errors="replace")
        if found := re.search(r"^.*panicked at.*$", text, re.M):
            raise Failure(f"{what}: {found.group(0)}")

    def produce(self, records):
        """Writes texts to the topic as they are, as any client of Kafka may."""
        producer = Producer({"bootstrap.servers": self.kafka, "log_level": 0})
        for record in records:
            producer.produce(TOPIC, record.encode())
        if producer.flush(30):
            raise Failure("Kafka did not take the records")

    def api(self, path, **body):
        """JSON of the API; with a body by POST."""
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}/api/v1/{path}", data, {"Content-Type": "application/json"} if body else {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failure(f"/api/v1/{path}: {error.code} {error.read().decode(errors='replace')[:500]}") from error
