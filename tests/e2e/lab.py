"""The whole topology as separate processes on loopback: broker, PostgreSQL, instances of the pipeline, generator.

Assumes a built `tributary` (TRIBUTARY_BIN, or the `up` profile's). Promises that everything lives in one temporary folder, that everything is
stopped by pid at the end whatever happens, and that the logs stay (with their ends printed) when something failed.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from confluent_kafka.admin import AdminClient, NewPartitions

from postgres import Postgres
from procs import Failure, Proc, answers, free_port, wait_for

TOPIC, STREAM = "user-events", "user_events"
ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary():
    """The program under test."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(os.environ.get("TRIBUTARY_BIN", target / "up" / "tributary"))
    if not os.access(path, os.X_OK):
        raise Failure(f"{path} is not there; build it with `cargo build --profile up`, or name it in TRIBUTARY_BIN")
    return path.resolve()


class Lab:
    """Use as a context manager; leaving it with an exception keeps the folder and prints the ends of the logs."""

    def __init__(self, name, settings=(), lake=None, log="info"):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"tributary-{name}-"))
        self.dir.chmod(0o755)
        # A copy: somebody may build while we run.
        self.bin = self.dir / "tributary"
        shutil.copy2(binary(), self.bin)
        self.lake = lake or self.dir / "lake"
        self.settings, self.filter = list(settings), log
        self.began = time.monotonic()
        self.broker_port = free_port()
        self.kafka = f"127.0.0.1:{self.broker_port}"
        self.postgres = Postgres(self.dir / "postgres")
        self.broker = Proc("broker", [self.bin, "broker", "--port", self.broker_port, "--data", self.dir / "broker"],
                           self.dir / "broker.log", env=self._env())
        self.instances, self.generator, self.truth_file = {}, None, self.dir / "truth.json"
        self.keep = bool(os.environ.get("KEEP"))

    def _env(self, **more):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TRIBUTARY_", "KAFKA_", "POSTGRES_", "PG"))}
        for name in ("DATABASE_URL", "LAKEHOUSE_PATH", "EVENTS_PER_SECOND"):
            kept.pop(name, None)
        return {**kept, "NO_COLOR": "1", "RUST_BACKTRACE": "1", **more}

    def client_env(self, instance="audit"):
        """How a command of ours finds the stores."""
        return self._env(KAFKA_BOOTSTRAP_SERVERS=self.kafka, DATABASE_URL=self.postgres.url, LAKEHOUSE_PATH=str(self.lake),
                         TRIBUTARY_INSTANCE=instance, TRIBUTARY_LOG=self.filter)

    def __enter__(self):
        self.postgres.start()
        self.start_broker()
        return self

    def __exit__(self, kind, error, _trace):
        everything = [*([self.generator] if self.generator else []), *self.instances.values(), self.broker]
        for proc in everything:
            proc.thaw()
            proc.kill()
        self.postgres.stop()
        if kind is not None:
            print(f"FAILED: {kind.__name__}: {error}\nlogs are in {self.dir}", file=sys.stderr)
            for proc in [*everything, self.postgres.proc]:
                print(f"--- {proc.name} (started {proc.starts} times)\n{proc.tail()}", file=sys.stderr)
            self.keep = True
        if self.keep:
            print(f"kept: {self.dir}", file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    def say(self, text):
        """A line about the run, on stderr, with the seconds since it began."""
        print(f"{time.monotonic() - self.began:7.1f}  {text}", file=sys.stderr, flush=True)

    def start_broker(self, seconds=60):
        """Starts the broker and waits until it takes connections."""

        def up():
            if self.broker.ended() is not None:
                raise Failure(f"the broker ended while it started:\n{self.broker.tail()}")
            return answers(self.broker_port)

        self.broker.start()
        wait_for("the broker answers", up, seconds)

    def instance(self, name, *, roles="bronze,serving"):
        """An instance of the pipeline by that name, made (not started) when it is new."""
        if name not in self.instances:
            port = free_port()
            command = [self.bin, "up", "--roles", roles, "--data", self.dir / f"data-{name}", "--set", f"http.listen=127.0.0.1:{port}"]
            for setting in self.settings:
                command += ["--set", setting]
            proc = Proc(name, command, self.dir / f"instance-{name}.log", env=self.client_env(name))
            proc.http = port
            self.instances[name] = proc
        return self.instances[name]

    def get(self, name, path, seconds=2):
        """(status, text) of an instance's page; (0, "") when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.instances[name].http}{path}", timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, urllib.error.URLError):
            return 0, ""

    def wait_ready(self, name, seconds=60):
        """Waits until an instance feeds every store."""

        def ready():
            if not self.instances[name].runs():
                raise Failure(f"instance {name} ended while it started:\n{self.instances[name].tail()}")
            return self.get(name, "/readyz")[0] == 200

        wait_for(f"instance {name} is ready", ready, seconds)

    def generate(self, count, seed, rate, *, span="10m", flaws=("--malformed", "1%", "--late", "2%", "--duplicate", "1%")):
        """Starts a finite run of made-up traffic; its truth goes to `truth_file`."""
        command = [self.bin, "generate", "--count", count, "--seed", seed, "--rate", rate, "--span", span, *flaws,
                   "--truth", self.truth_file, "--data", self.dir / "data-generator"]
        self.generator = Proc("generator", command, self.dir / "generator.log", env=self.client_env("generator"))
        return self.generator.start()

    def wait_generated(self, seconds):
        """Waits for the run's end; every record must have been acknowledged. Returns the truth."""
        wait_for("the generator ends", lambda: self.generator.ended() is not None, seconds, every=0.2)
        if self.generator.ended() != 0:
            raise Failure(f"the generator ended with {self.generator.ended()}:\n{self.generator.tail()}")
        return json.loads(self.truth_file.read_text())

    def admin(self):
        return AdminClient({"bootstrap.servers": self.kafka, "socket.timeout.ms": 10_000, "log_level": 0})

    def partitions(self, admin=None):
        """How many partitions the topic has; 0 when it is not there."""
        topic = (admin or self.admin()).list_topics(TOPIC, timeout=10).topics.get(TOPIC)
        return 0 if topic is None or topic.error is not None else len(topic.partitions)

    def add_partition(self, seconds=30):
        """One partition more; tries again while the broker is away. Returns the new number of partitions."""
        until, admin = time.monotonic() + seconds, self.admin()
        while True:
            try:
                wanted = self.partitions(admin) + 1
                admin.create_partitions([NewPartitions(TOPIC, wanted)])[TOPIC].result(10)
                return wanted
            except Exception as error:  # confluent_kafka raises its own and concurrent.futures' errors
                if time.monotonic() > until:
                    raise Failure(f"no partition could be added: {error}") from error
                time.sleep(0.5)

    def run(self, *command, seconds=300):
        """Runs a subcommand against the stores: (status, stdout, stderr)."""
        done = subprocess.run([str(c) for c in (self.bin, *command, "--data", self.dir / "data-client")], capture_output=True, text=True,
                              timeout=seconds, env=self.client_env(), cwd="/")
        return done.returncode, done.stdout, done.stderr
