"""The batch layer in the lab: coordinators in processes of their own beside one instance that fills bronze, and the judge of both.

Assumes the names of docs/STORES.md in schema ops. Promises that every run id that was ever seen is looked for at each judgement, that
what is asked of a coordinator is asked the way a person does it (the command line), and that no wait is without a deadline.
"""

import importlib.util
import json
import re
import shutil
import sys
import time
from datetime import datetime, timedelta, timezone

import psycopg

from lab import ROOT, Lab
from procs import Failure, wait_for
from stores import Bronze, high_watermarks
from verdict import drain



def _verify():
    """tests/verify/batch.py by its path: the bench has a module of that name, too."""
    path = ROOT / "tests" / "verify" / "batch.py"
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location("verify_batch", path)
    module = sys.modules["verify_batch"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


verify = _verify()

JOB, UPKEEP = "lakehouse_bronze_to_gold", "lakehouse_maintenance"
OVER = ("succeeded", "failed", "cancelled", "skipped")
MODELS = ROOT / "sql" / "models" / "gold"


class BatchLab(Lab):
    """`bronze` reads the topic; coordinators are called by name and have the role `batch` alone."""

    def __init__(self, name, settings=(), schedule=False, **more):
        super().__init__(name, settings, **more)
        # Copies: a person edits models while everything runs, and nothing but this program is to begin a run.
        self.models, self.jobs, self.streams = self.dir / "models", self.dir / "jobs", self.dir / "streams"
        shutil.copytree(MODELS, self.models)
        shutil.copytree(ROOT / "streams", self.streams)
        shutil.copytree(ROOT / "jobs", self.jobs)
        for file in self.jobs.glob("*.toml"):
            text = re.sub(r'retry_delay = "[^"]*"', 'retry_delay = "1s"', file.read_text(encoding="utf-8"))
            if not schedule:
                text = re.sub(r"\[schedule\]\n(?:\w+ = .*\n)*", "", text)
            file.write_text(text, encoding="utf-8")
        self.settings += [f"batch.models_dir={self.models}", f"batch.jobs_dir={self.jobs}", f"streams_dir={self.streams}"]
        self.truths, self.seen_runs = [], set()

    def client_env(self, instance="audit"):
        return {**super().client_env(instance), "TRIBUTARY_MODELS": str(self.models), "TRIBUTARY_JOBS": str(self.jobs),
                "TRIBUTARY_STREAMS": str(self.streams)}

    def start_bronze(self, roles="bronze"):
        """The instance that reads the topic into bronze (and into windows, if its roles say so)."""
        self.instance("bronze", roles=roles).start()

    def coordinator(self, name="batch"):
        """A coordinator by that name, made (not started) when it is new."""
        return self.instance(name, roles="batch")

    def begin(self, *names):
        """Starts coordinators and waits until one of them leads."""
        for name in names or ("batch",):
            if not self.coordinator(name).runs():
                self.coordinator(name).start()
        wait_for("somebody leads", lambda: self.ask("SELECT 1 FROM ops.leases WHERE name = 'batch' AND expires_at > now()"), 60)

    def command(self, *words, wanted=(0,), seconds=120):
        """A command of ours that must end well; what it printed."""
        status, out, error = self.run(*words, seconds=seconds)
        if status not in wanted:
            raise Failure(f"tributary {' '.join(map(str, words))} ended with {status}:\n{out}{error}")
        return out

    def ask(self, sql, *values):
        """Rows of PostgreSQL; none while it does not answer or the table is not there."""
        try:
            with self.postgres.connect() as connection:
                return connection.execute(sql, values).fetchall()
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return []

    def make(self, count, seed, *, days_ago=0, hours=1, users=100, flaws=("--malformed", "1%", "--late", "2%", "--duplicate", "1%", "--unusual", "2%")):
        """Makes events that end so many days ago and waits until bronze has them; their truth is kept for the judge."""
        truth = self.dir / f"truth-{len(self.truths)}.json"
        start = datetime.now(timezone.utc) - timedelta(days=days_ago, hours=hours)
        self.command("generate", "--count", count, "--seed", seed, "--start", f"{start:%Y-%m-%dT%H:%M:00Z}", "--span", f"{hours}h",
                     "--users", users, *flaws, "--truth", truth, seconds=900)
        self.truths.append(truth)
        self.drain_bronze()

    def drain_bronze(self, seconds=600):
        """Waits until bronze has what the topic has."""
        bronze, high = Bronze(self.lake), high_watermarks(self.kafka)
        wait_for("bronze has the topic", lambda: all(bronze.next_offsets().get(p, 0) >= end for p, end in high.items()), seconds, every=0.1)

    def queue(self, job=JOB, *options):
        """Asks for a run; its id."""
        before = self.newest(job)
        self.command("run", job, *options)
        wait_for(f"a run of {job} is in the history", lambda: self.newest(job) > before, 10)
        return self.newest(job)

    def newest(self, job):
        return self.ask("SELECT coalesce(max(id), 0) FROM ops.runs WHERE job = %s", job)[0][0]

    def state(self, run):
        rows = self.ask("SELECT state FROM ops.runs WHERE id = %s", run)
        return rows[0][0] if rows else None

    def wait_over(self, run, seconds=120, wanted=("succeeded",)):
        """Waits until a run has ended as it should; says how long it took by PostgreSQL's clock."""
        try:
            wait_for(f"run {run} is over", lambda: self.state(run) in OVER, seconds)
        except Failure as failure:
            raise Failure(f"{failure}; {self.told(run)}") from None
        if self.state(run) not in wanted:
            raise Failure(f"run {run} ended as {self.state(run)}; {self.told(run)}")
        return self.ask("SELECT extract(epoch FROM ended_at - coalesce(started_at, queued_at))::float8 FROM ops.runs WHERE id = %s", run)[0][0]

    def told(self, run):
        """What the history says of a run."""
        tasks = self.ask("SELECT task, attempt, state, error FROM ops.tasks WHERE run_id = %s ORDER BY id", run)
        return f"state {self.state(run)}, " + "; ".join(f"{task}#{n} {state}{' ' + error if error else ''}" for task, n, state, error in tasks)

    def run_now(self, job=JOB, *options, seconds=120, wanted=("succeeded",)):
        """A run from its request to its end; seconds."""
        return self.wait_over(self.queue(job, *options), seconds, wanted)

    def settle(self, seconds=180):
        """Runs until everything that was begun has ended and nothing new is left to do."""
        wait_for("no run is under way", lambda: not self.ask("SELECT 1 FROM ops.runs WHERE state IN ('queued', 'running')"), seconds)
        self.run_now(seconds=seconds, wanted=("succeeded", "skipped"))

    def judge(self, what, tables=None):
        """Recounts everything from bronze; a `Failure` when anything differs or a run is gone from the history."""
        begun = time.monotonic()
        verdict = verify.verify(self.lake, self.postgres.url, self.truths, tables=tables)
        lost = self.look_at_history()
        line = f"{verdict.line()} · lost runs={len(lost)}"
        if not verdict.well or lost:
            details = "\n".join(str(table) + "".join("\n" + row for row in table.lines) for table in verdict.tables() if table.wrong)
            raise Failure(f"after {what}: {line}\n{details}" + (f"\nlost: {sorted(lost)}" if lost else ""))
        self.say(f"{what}: {line} ({time.monotonic() - begun:.1f} s)")

    def look_at_history(self):
        """Notes the runs that are there; those that were there and are not any more."""
        there = {run for run, in self.ask("SELECT id FROM ops.runs")}
        lost, self.seen_runs = self.seen_runs - there, self.seen_runs | there
        listed = {run["id"] for run in json.loads(self.command("runs", "list", "--json", "--limit", 1_000_000))}
        return lost | (there - listed)

    def audit(self, seconds=900):
        """Our own audit over everything, the windows too; its last line. They are counted now if nobody has counted them yet."""
        if "bronze,serving" not in self.instances["bronze"].command:
            self.instances["bronze"].leave()
            self.instance("both", roles="bronze,serving").start()
        drain(self, seconds)
        return self.command("audit", "--drained", "--current", "--no-holes", "--wait", "60s", seconds=seconds).strip().splitlines()[-1]
