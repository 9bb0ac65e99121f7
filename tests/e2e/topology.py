#!/usr/bin/env python3
"""The topology of docker-compose.yml as processes: the same environment, commands, mounts and health checks; only addresses and folders move.

    topology.py [--spark] [--draw FOLDER] [--show]

Apache Kafka from Maven's jars, configured by the image's own class out of the service's environment; PostgreSQL set up as its image does;
Prometheus with prometheus/; the program and its producer. Each is started when those it needs are healthy, by their own health checks; only
Prometheus is asked at /-/ready, where its own check asks as well: Debian's promtool has no `check ready`. Promises to end with every panel
of every dashboard answered and every documented command tried (seed_commands.py), with the time and the memory that each took, and to fail
above 1.6 GB. Grafana cannot be had here: it counts with its whole limit, and its part is played by panels.py, which connects as
grafana/provisioning says. The commands come first: Prometheus needs its time anyway.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import dashboards
import panels
import seed_commands
from frames import Prometheus, Sql
from lab import binary
from procs import Failure, free_port, wait_for
from services import Kafka, Meter, PostgresImage, Program, data_sources, kafka_jars
from compose import Compose, Moved
from prometheus import Server

LIMIT = 1.6e9


class Topology:
    """Use as a context manager; leaving it stops every process by its pid."""

    def __init__(self):
        # First of all: without Java there is nothing to begin with.
        kafka_jars()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="tributary-topology-"))
        self.dir.chmod(0o755)
        (self.dir / "bin").mkdir()
        shutil.copy2(binary(), self.dir / "bin" / "tributary")
        self.began = time.monotonic()
        # A person's .env would say the same: the published ports are free ones.
        self.published = {name: free_port() for name in ("KAFKA_PORT", "POSTGRES_HOST_PORT", "TRIBUTARY_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")}
        self.compose = Compose({name: str(port) for name, port in self.published.items()})
        s = self.compose.services
        self.addresses = {
            ("kafka", 9092): free_port(), ("kafka", 9093): free_port(), ("kafka", 29092): self.published["KAFKA_PORT"],
            ("postgres", 5432): self.published["POSTGRES_HOST_PORT"], ("tributary", 8082): self.published["TRIBUTARY_PORT"],
            ("producer", 8082): free_port(), ("prometheus", 9090): self.published["PROMETHEUS_PORT"],
            ("grafana", 3000): self.published["GRAFANA_PORT"],
        }
        wanted = {(service.name, port) for service in self.compose.default() for port in service.ports}
        if wanted - set(self.addresses):
            raise Failure(f"docker-compose.yml publishes what is unknown here: {wanted - set(self.addresses)}")
        self.kafka = Kafka(s["kafka"], self.addresses, self.dir)
        self.postgres = PostgresImage(s["postgres"], self.addresses, self.dir)
        self.tributary = Program(s["tributary"], self.addresses, self.dir)
        self.producer = Program(s["producer"], self.addresses, self.dir)
        self.running, self.prometheus, self.meter, self.happened = [], None, Meter(), 0.0

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f}  {text}", file=sys.stderr, flush=True)

    def start(self, service, seconds=120):
        """Starts a service after those it depends on are healthy, and waits until its own health check succeeds."""
        for needed in service.definition.tree.get("depends_on", {}):
            if needed not in [one.definition.name for one in self.running]:
                raise Failure(f"{service.definition.name} depends on {needed}, which does not run yet")
        service.start()
        self.running.append(service)
        self.meter.watch(service.definition.name, service.proc)
        said = ""

        def healthy():
            nonlocal said
            if not service.proc.runs():
                raise Failure(f"{service.definition.name} ended while it started:\n{service.proc.tail()}")
            well, said = service.healthy()
            return well

        try:
            wait_for(f"{service.definition.name} is healthy", healthy, seconds, every=0.3)
        except Failure as failure:
            raise Failure(f"{failure}: {said}\n{service.proc.tail()}") from None
        self.say(f"{service.definition.name} is healthy")

    def __enter__(self):
        for service in (self.kafka, self.postgres, self.tributary, self.producer):
            self.start(service)
        definition = self.compose.services["prometheus"]
        at = {f"{name}:8082": f"127.0.0.1:{self.addresses[name, 8082]}" for name in ("tributary", "producer")}
        home = self.dir / "volumes" / "prometheus"
        moved = Moved("prometheus", self.addresses, {"/prometheus": home / "data", "/etc/prometheus": home / "config"})
        arguments = [moved.text(a) for a in definition.command if not a.startswith("--config.file=")]
        self.prometheus = Server(home, at, arguments, port=self.addresses["prometheus", 9090])
        self.prometheus.start()
        self.meter.watch("prometheus", self.prometheus.proc)
        self.say("prometheus is ready")
        return self

    def __exit__(self, kind, error, _trace):
        self.meter.stop()
        procs = [*([self.prometheus.proc] if self.prometheus else []), *(s.proc for s in reversed(self.running))]
        for proc in procs:
            proc.leave(60)
        if kind is not None:
            print(f"FAILED: {kind.__name__}: {error}\nlogs are in {self.dir}", file=sys.stderr)
            for proc in procs:
                print(f"--- {proc.name}\n{proc.tail()}", file=sys.stderr)
        elif not os.environ.get("KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    @property
    def bootstrap(self):
        """Kafka for programs on this machine: the published listener."""
        return f"127.0.0.1:{self.published['KAFKA_PORT']}"

    @property
    def lake(self):
        return pathlib.Path(self.tributary.environment["LAKEHOUSE_PATH"])

    def url(self, user="platform"):
        """PostgreSQL for programs on this machine."""
        environment = self.compose.services["postgres"].environment
        secret = environment["GRAFANA_DB_PASSWORD" if user == "grafana" else "POSTGRES_PASSWORD"]
        return f"postgres://{user}:{secret}@127.0.0.1:{self.published['POSTGRES_HOST_PORT']}/serving"

    def exec(self, *command, seconds=180):
        """What `docker compose exec tributary tributary …` would do: stdout; a failure is one."""
        done = subprocess.run([str(self.dir / "bin" / "tributary"), *map(str, command)], capture_output=True, text=True, timeout=seconds, cwd="/",
                              env=self.tributary.environment)
        if done.returncode:
            raise Failure(f"tributary {' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def fill(self):
        """Days of history, bad and late records, and two runs of each job, so that every panel has something to say."""
        for count, span in ((1500, "3d"), (1500, "30m")):
            self.exec("generate", "--count", count, "--rate", 2000, "--span", span, "--malformed", "1%", "--late", "2%", "--duplicate", "2%")
        self.exec("run", dashboards.JOBS[0])
        self.prometheus.wait_scraped()
        dashboards.bad_and_late(self.bootstrap)
        for job in dashboards.JOBS:
            self.exec("run", job)
        self.happened = time.time()
        self.say("history, live traffic and bad records are there")

    def settle(self):
        """Waits until Prometheus has seen all of that, at the moments at which the panels ask."""
        wait_for("a whole minute is in the windows", lambda: dashboards.whole_minute(self.url()), 120, every=0.5)
        self.prometheus.wait_scraped(scrapes=6)
        self.prometheus.wait_minute(self.happened)
        self.prometheus.wait_rules()

    def memory(self):
        """Prints what each service took at most; a `Failure` when one exceeds its limit or all of them 1.6 GB."""
        total, over = 0, []
        for service in self.compose.default():
            peak = self.meter.peak.get(service.name)
            took, word = (peak, "peak") if peak else (service.limit, "not run here: its limit")
            total += took
            over += [service.name] if took > service.limit else []
            print(f"  {service.name:<11} {took / 1e6:6.0f} MB {word:<24} limit {service.limit / 1e6:5.0f} MB")
        print(f"  {'together':<11} {total / 1e6:6.0f} MB of {LIMIT / 1e6:.0f} MB")
        if over or total > LIMIT:
            raise Failure(f"too much memory: {', '.join(over) or 'together'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--spark", action="store_true", help="also read the lake by Apache Spark (two minutes, and 450 MB the first time)")
    parser.add_argument("--draw", type=pathlib.Path, help="folder for a picture of each dashboard, drawn from the answers")
    parser.add_argument("--show", action="store_true", help="list what was moved")
    args = parser.parse_args()
    with Topology() as topology:
        if args.show:
            for service in topology.running:
                for there, here in service.moved.changes.items():
                    print(f"moved: {service.definition.name}: {there} -> {here}")
        topology.fill()
        tried = seed_commands.run(topology, spark=args.spark)
        topology.settle()
        sql_url, prometheus_url = data_sources(topology.compose.services["grafana"], topology.addresses)
        grafana = panels.Grafana(Sql(sql_url), Prometheus(prometheus_url))
        answers, problems = panels.run(grafana, panels.dashboards(), say=dashboards.complaints)
        problems += topology.prometheus.unhealthy()
        for one in problems:
            print(f"BAD   {one}")
        if args.draw:
            import draw

            for picture in draw.draw_all(answers, grafana, args.draw):
                print(picture)
        grafana.sql.close()
        line, well = panels.verdict(answers, problems)
        topology.say("every panel was asked")
        topology.memory()
        print(f"topology: {line} · {tried} · {time.monotonic() - topology.began:.0f} s", flush=True)
        if not well:
            raise Failure("not every panel answers as it should")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(77 if str(failure).startswith("SKIPPED") else 1)
