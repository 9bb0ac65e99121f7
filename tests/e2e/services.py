"""The services of docker-compose.yml as processes, each set up as its image's entry point does it.

Assumes Java 17 and Kafka's jars (scripts/apache-kafka.sh), PostgreSQL's programs, and `psql` and `promtool` for the health checks. Promises
that a process sees the environment of the compose file and PATH, and nothing else of this machine.
"""

import os
import pathlib
import re
import shutil
import subprocess
import threading

import yaml

from compose import ROOT, Moved, expand
from postgres import find_bin, unprivileged
from procs import Failure, Proc, children, memory

SHARED = "/mnt/shared/config"


class Running:
    """What all of them have: the definition, moved; a process; a health check."""

    def __init__(self, definition, addresses, home):
        self.definition, self.home, self.proc = definition, home, None
        self.folders = definition.folders(home)
        # What a container has of its own and nobody mounts.
        self.folders.setdefault("/tmp", home / "tmpfs" / definition.name / "tmp")
        self.moved = Moved(definition.name, addresses, self.folders)
        self.environment = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", **self.moved.environment(definition.environment)}
        self.log = home / f"{definition.name}.log"
        for here in self.folders.values():
            if not here.exists():
                here.mkdir(parents=True)

    def check(self):
        """The health check's command and what its environment has beyond the service's."""
        return [self.moved.text(part) for part in self.definition.health], {}

    def healthy(self):
        """(whether it is well, what the check said)."""
        command, more = self.check()
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env={**self.environment, **more}, cwd="/", timeout=20)
        return done.returncode == 0, (done.stdout + done.stderr).strip()


class Program(Running):
    """tributary in one of its roles."""

    def __init__(self, definition, addresses, home):
        super().__init__(definition, addresses, home)
        # Its image has the program and nothing else that it could start.
        self.environment["PATH"] = str(home / "bin")

    def start(self):
        command = [self.home / "bin" / "tributary", *map(self.moved.text, self.definition.command)]
        self.proc = Proc(self.definition.name, command, self.log, env=self.environment).start()


def kafka_jars():
    """Folder of Kafka's jars; a `Failure` that begins with SKIPPED where they cannot be had."""
    done = subprocess.run([ROOT / "scripts" / "apache-kafka.sh", "jars"], capture_output=True, text=True)
    if done.returncode:
        raise Failure(done.stderr.strip())
    return done.stdout.strip()


class Kafka(Running):
    """apache/kafka: its own class makes the configuration out of the environment, then the broker starts."""

    def __init__(self, definition, addresses, home):
        super().__init__(definition, addresses, home)
        self.jars = kafka_jars()
        version = definition.tree["image"].rsplit(":", 1)[1]
        if not list(pathlib.Path(self.jars).glob(f"kafka_*-{version}.jar")):
            raise Failure(f"docker-compose.yml has Kafka {version}, {self.jars} has not")

    def start(self):
        mounted, defaults = self.home / "kafka-mounted", self.home / "kafka-defaults"
        # Where a container may write by its tmpfs alone: without that its set-up fails, and so it does here.
        final = self.folders.get("/opt/kafka/config")
        if final is None:
            raise Failure("docker-compose.yml: kafka has no tmpfs at /opt/kafka/config, which its read-only root needs")
        for folder in (mounted, defaults, final):
            folder.mkdir(parents=True, exist_ok=True)
        for there, here in self.folders.items():
            if there.startswith(f"{SHARED}/"):
                shutil.copy(here, mounted / there[len(SHARED) + 1:])
        setup = subprocess.run(["java", "-cp", f"{self.jars}/*", "kafka.docker.KafkaDockerWrapper", "setup", "--default-configs-dir", str(defaults),
                                "--mounted-configs-dir", str(mounted), "--final-configs-dir", str(final)], capture_output=True, text=True,
                               env=self.environment, cwd="/", timeout=120)
        if setup.returncode:
            raise Failure(f"the image's set-up of Kafka fails:\n{setup.stdout}{setup.stderr}")
        # kafka-server-start.sh and kafka-run-class.sh, without what they look for on a disk.
        options = [self.environment.get("KAFKA_HEAP_OPTS", "-Xmx1G -Xms1G"), self.environment.get("KAFKA_JVM_PERFORMANCE_OPTS", ""),
                   "-Dcom.sun.management.jmxremote=true -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false",
                   f"-Dkafka.logs.dir={self.environment.get('LOG_DIR', final)} -Dlog4j2.configurationFile={final / 'log4j2.yaml'}",
                   self.environment.get("KAFKA_OPTS", "")]
        command = ["java", *" ".join(options).split(), "-cp", f"{self.jars}/*", "kafka.Kafka", final / "server.properties"]
        self.proc = Proc("kafka", command, self.log, env=self.environment).start()


class PostgresImage(Running):
    """postgres: a cluster on an empty volume, the scripts of docker-entrypoint-initdb.d on its socket alone, then the server."""

    def __init__(self, definition, addresses, home):
        super().__init__(definition, addresses, home)
        self.bin = find_bin()
        if self.bin is None:
            raise Failure("no PostgreSQL found; install postgresql or name its folder in PG_BIN")
        self.port = addresses["postgres", 5432]
        self.uid, self.gid = unprivileged()
        self.data = home / "volumes" / "postgres" / "cluster"
        self.socket = home / "postgres-socket"
        for folder in (self.data.parent, self.socket):
            folder.mkdir(parents=True, exist_ok=True)
            if self.uid is not None:
                os.chown(folder, self.uid, self.gid)
        self.environment["PATH"] = f"{self.bin}:{self.environment['PATH']}"

    def _run(self, *command, **more):
        who = {} if self.uid is None else {"user": self.uid, "group": self.gid, "extra_groups": []}
        local = {"PGHOST": str(self.socket), "PGPORT": str(self.port), "LC_ALL": "C.UTF-8"}
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd="/", timeout=120,
                              env={**self.environment, **local}, **who, **more)
        if done.returncode:
            raise Failure(f"{command[0]}: {done.stdout}{done.stderr}")

    def start(self):
        secret = self.data.parent / "password"
        secret.write_text(self.environment["POSTGRES_PASSWORD"] + "\n", encoding="utf-8")
        if self.uid is not None:
            os.chown(secret, self.uid, self.gid)
        # Others reach the container from outside of it, so a password is asked for; here everybody comes from loopback.
        self._run(f"{self.bin}/initdb", "-D", self.data, "--username=postgres", f"--pwfile={secret}", "--auth-local=trust",
                  "--auth-host=scram-sha-256")
        alone = f"-c listen_addresses='' -p {self.port} -k {self.socket}"
        self._run(f"{self.bin}/pg_ctl", "-D", self.data, "-w", "-o", alone, "-l", self.data.parent / "setup.log", "start")
        try:
            for there, here in sorted(self.folders.items()):
                if there.startswith("/docker-entrypoint-initdb.d/") and there.endswith(".sh"):
                    # One that may be executed is, any other is sourced.
                    self._run(*([here] if os.access(here, os.X_OK) else ["bash", "-c", f". {here}"]))
        finally:
            self._run(f"{self.bin}/pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop")
        command = [f"{self.bin}/postgres", *self.definition.command[1:], "-D", self.data, "-p", self.port, "-h", "127.0.0.1", "-k", self.socket]
        self.proc = Proc("postgres", command, self.log, env={**self.environment, "LC_ALL": "C.UTF-8"}, user=self.uid, group=self.gid).start()

    def check(self):
        command, more = super().check()
        # Within the container loopback needs no password; here it does.
        return command, {**more, "PGPORT": str(self.port), "PGPASSWORD": self.environment["GRAFANA_DB_PASSWORD"]}


def data_sources(grafana, addresses):
    """(URL of PostgreSQL, URL of Prometheus) as grafana/provisioning and the service's environment have them."""
    file = ROOT / "grafana" / "provisioning" / "datasources" / "tributary.yaml"
    moved = Moved("grafana", addresses, {})
    found = {}
    for source in yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]:
        at = lambda text: moved.text(expand(str(text), grafana.environment))  # noqa: E731
        if "postgres" in source["type"]:
            host = re.sub(r"^\w+://", "", at(source["url"]))
            secret, database, tls = at(source["secureJsonData"]["password"]), at(source["jsonData"]["database"]), at(source["jsonData"]["sslmode"])
            found["sql"] = f"postgres://{at(source['user'])}:{secret}@{host}/{database}?sslmode={tls}"
        else:
            found[source["type"]] = at(source["url"])
    return found["sql"], found["prometheus"]


class Meter:
    """The most memory that each process took; of a family of processes, pages that they share count once."""

    def __init__(self, every=0.5):
        self.peak, self.procs, self.every = {}, {}, every
        self.over = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def watch(self, name, proc):
        self.procs[name] = proc

    def _look(self):
        while not self.over.wait(self.every):
            for name, proc in list(self.procs.items()):
                pid = proc.pid
                if pid is not None:
                    family = children(pid)
                    now = sum(map(proportional, [pid, *family])) if family else memory(pid)[2]
                    self.peak[name] = max(self.peak.get(name, 0), now)

    def stop(self):
        self.over.set()


def proportional(pid):
    """Resident bytes, those shared with others by part."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as rollup:
            return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration):
        return 0
