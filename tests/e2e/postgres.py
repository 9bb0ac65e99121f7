"""A private PostgreSQL that can be killed and started again.

Assumes PostgreSQL's programs (folder PG_BIN, PATH, or the usual places of distributions). Promises a cluster of its own on a loopback
port, run by an unprivileged user when we are root, with fsync on: what it says is committed survives its death.
"""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import time

import psycopg

from procs import Failure, Proc, alive, children, free_port, wait_for

PASSWORD = "e2e-only"


def find_bin():
    """Folder of `postgres` and `initdb`, the newest first; None when there is none."""
    named = os.environ.get("PG_BIN")
    usual = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: -int(p.split("/")[-2])) + ["/usr/pgsql/bin"]
    on_path = shutil.which("postgres")
    for folder in [named, *usual, on_path and os.path.dirname(os.path.realpath(on_path))]:
        if folder and all(os.access(os.path.join(folder, p), os.X_OK) for p in ("postgres", "initdb")):
            return folder
    return None


def unprivileged():
    """Whom PostgreSQL runs as when we are root: (uid, gid); (None, None) otherwise."""
    if os.geteuid() != 0:
        return None, None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            continue
    raise Failure("PostgreSQL does not run as root, and there is no user postgres or nobody")


class Postgres:
    """The server, its cluster below `home`."""

    def __init__(self, home):
        self.home, self.data, self.log = home, home / "cluster", home / "postgres.log"
        self.bin = find_bin()
        if self.bin is None:
            raise Failure("no PostgreSQL found; install postgresql or name its folder in PG_BIN")
        self.port = free_port()
        self.url = f"postgres://platform:{PASSWORD}@127.0.0.1:{self.port}/serving"
        self.uid, self.gid = unprivileged()
        self.frozen = []
        home.mkdir(parents=True)
        self._initialise()
        command = [
            f"{self.bin}/postgres", "-D", self.data, "-p", self.port, "-h", "127.0.0.1", "-k", "",
            "-c", "timezone=UTC", "-c", "fsync=on", "-c", "max_connections=60", "-c", "log_min_messages=warning",
        ]
        self.proc = Proc("postgres", command, self.log, env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, user=self.uid, group=self.gid)

    def _run(self, *command, **more):
        who = {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, **who, **more)
        if done.returncode:
            raise Failure(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")

    def _initialise(self):
        if self.uid is not None:
            os.chown(self.home, self.uid, self.gid)
        self._run(f"{self.bin}/initdb", "-D", str(self.data), "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync")
        roles = (
            f"CREATE ROLE platform LOGIN PASSWORD '{PASSWORD}';\nCREATE ROLE grafana LOGIN;\n"
            "CREATE DATABASE serving OWNER platform;\nALTER DATABASE serving SET timezone TO 'UTC';\n"
        )
        self._run(f"{self.bin}/postgres", "--single", "-D", str(self.data), "postgres", input=roles)

    def start(self, seconds=60):
        """Starts it and waits until it answers; crash recovery is part of that."""
        self.proc.start()
        wait_for("PostgreSQL answers", self.answers, seconds)
        return self

    def answers(self):
        if not self.proc.runs():
            raise Failure(f"PostgreSQL ended while it started:\n{self.proc.tail()}")
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False

    def kill(self):
        """SIGKILL of the first process; its children notice and end, or are killed too. Nothing of it is left afterwards."""
        if not self.proc.runs():
            return False
        family = children(self.proc.pid)
        self.proc.kill()
        patience = time.monotonic() + 5
        while any(alive(pid) for pid in family):
            if time.monotonic() > patience:
                for pid in filter(alive, family):
                    os.kill(pid, signal.SIGKILL)
                wait_for("PostgreSQL's children are gone", lambda: not any(alive(p) for p in family), 10)
            time.sleep(0.02)
        return True

    def freeze(self):
        """SIGSTOP to the whole family: it takes connections (the kernel does) and never answers."""
        self.frozen = [self.proc.pid, *children(self.proc.pid)]
        for pid in self.frozen:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        """Ends a freeze."""
        for pid in filter(alive, self.frozen):
            os.kill(pid, signal.SIGCONT)
        self.frozen = []

    def stop(self):
        """Fast stop: open transactions are rolled back, everything is written."""
        self.thaw()
        if self.proc.runs():
            self.proc.signal(signal.SIGINT)
            try:
                self.proc.child.wait(20)
                self.proc.child = None
            except subprocess.TimeoutExpired:
                self.kill()

    def connect(self):
        """A session for checks."""
        return psycopg.connect(self.url, connect_timeout=5, autocommit=True)
