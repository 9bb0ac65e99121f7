"""A real Prometheus with the repository's configuration: its targets moved to where the processes are, everything else as it is.

Assumes Debian's or any other `prometheus` and `promtool` (PATH, or .tools/usr/bin, where scripts/setup.sh puts them). Promises to fail on a
target in the configuration that nobody has named an address for, and to listen on loopback alone.
"""

import datetime
import os
import pathlib
import shutil
import subprocess
import time
import urllib.request

import yaml

from frames import Prometheus, Refused
from procs import Failure, Proc, free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus"
# In the configuration there is a place for it, but nobody runs it here: alerts are read from Prometheus itself.
ABSENT = {"alertmanager:9093"}


def program(name):
    """Path of `prometheus` or `promtool`."""
    places = os.pathsep.join([os.environ.get("PATH", ""), str(ROOT / ".tools" / "usr" / "bin")])
    found = shutil.which(name, path=places)
    if found is None:
        raise Failure(f"there is no {name}; run: make setup-tests")
    return found


def moved(config, addresses):
    """The configuration with each target replaced by its address."""

    def targets(groups):
        kept = []
        for group in groups:
            group = {**group, "targets": [addresses[t] for t in group["targets"] if t not in ABSENT]}
            kept += [group] if group["targets"] else []
        return kept

    try:
        for scrape in config["scrape_configs"]:
            scrape["static_configs"] = targets(scrape["static_configs"])
        managers = config.get("alerting", {}).get("alertmanagers", [])
        for manager in managers:
            manager["static_configs"] = targets(manager["static_configs"])
        if managers and not any(manager["static_configs"] for manager in managers):
            del config["alerting"]
    except KeyError as missing:
        raise Failure(f"prometheus.yml asks for the target {missing}; nothing here is that") from None
    return config


class Server:
    """Prometheus below `home`. `addresses`: target in the repository's file -> host:port; its own is added."""

    def __init__(self, home, addresses, arguments=(), port=None, own="localhost:9090"):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        home.mkdir(parents=True)
        shutil.copytree(FOLDER, home / "config")
        file = home / "config" / "prometheus.yml"
        config = moved(yaml.safe_load(file.read_text(encoding="utf-8")), {**addresses, own: f"127.0.0.1:{self.port}"})
        file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        self.targets = sum(len(group["targets"]) for scrape in config["scrape_configs"] for group in scrape["static_configs"])
        arguments = list(arguments) or [f"--storage.tsdb.path={home / 'data'}"]
        command = [program("prometheus"), f"--config.file={file}", f"--web.listen-address=127.0.0.1:{self.port}", *arguments]
        self.proc = Proc("prometheus", command, home / "prometheus.log", env={"PATH": os.environ["PATH"]})
        self.api = Prometheus(self.url)

    def start(self, seconds=60):
        """Starts it and waits until it is ready."""
        self.proc.start()

        def ready():
            if not self.proc.runs():
                raise Failure(f"Prometheus ended while it started:\n{self.proc.tail()}")
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                    return answer.status == 200
            except OSError:
                return False

        wait_for("Prometheus is ready", ready, seconds)
        return self

    def stop(self):
        self.proc.leave()

    def value(self, expression):
        """The first value of an instant query; None when there is none."""
        try:
            data = self.api.get("/api/v1/query", query=expression)["result"]
        except Refused:
            return None
        return float(data[0]["value"][1]) if data else None

    def wait(self, what, expression, seconds):
        """Until an expression has a value that is not 0."""
        wait_for(what, lambda: self.value(expression), seconds, every=0.3)

    def wait_scraped(self, scrapes=3, seconds=60):
        """Until every target was scraped so often that rates have something to go by."""
        self.wait(f"{self.targets} targets scraped {scrapes} times", f"count(count_over_time(up[10m]) >= {scrapes}) == {self.targets}", seconds)

    def wait_rules(self, seconds=60):
        """Until every rule was evaluated on what was scraped up to now."""
        after = time.time()

        def evaluated():
            groups = self.api.get("/api/v1/rules")["groups"]
            stamps = [_epoch(group["lastEvaluation"]) for group in groups if group.get("interval", 60) <= 15]
            return all(stamp > after for stamp in stamps)

        wait_for("the rules are evaluated", evaluated, seconds, every=0.3)
        # A panel asks at whole steps of its interval, at least 5 s: one of them must lie behind that.
        done = time.time()
        wait_for("the next step", lambda: time.time() // 5 > done // 5, 6)

    def wait_minute(self, happened):
        """Until a whole minute has begun since that, and since the first comparison of windows with bronze, were scraped: panels with an
        interval of a minute are asked at the last one."""
        compared = "max(min_over_time(tributary_drift_checked_timestamp_seconds[1h]))"
        self.wait("the windows are compared with bronze", compared, 120)
        # Two scrapes later.
        after = max(happened, self.value(compared)) + 11
        wait_for("a whole minute begins", lambda: time.time() // 60 > after // 60, 90, every=0.2)

    def unhealthy(self):
        """Targets and rules that do not work, in words."""
        targets = self.api.get("/api/v1/targets")["activeTargets"]
        rules = [rule for group in self.api.get("/api/v1/rules")["groups"] for rule in group["rules"]]
        return [f"{t['labels']['job']} {t['scrapeUrl']}: {t['lastError'] or t['health']}" for t in targets if t["health"] != "up"] + \
            [f"rule {r['name']}: {r.get('lastError')}" for r in rules if r["health"] == "err"]


def _epoch(text):
    head, _, rest = text.partition(".")
    zone = "+00:00" if rest.endswith("Z") or text.endswith("Z") else rest[-6:]
    return datetime.datetime.fromisoformat(head.rstrip("Z")[:19] + zone).timestamp() if not head.startswith("0001") else 0.0


def check_metrics(text):
    """What `promtool check metrics` has against an exposition; "" when nothing."""
    done = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    return (done.stdout + done.stderr).strip() if done.returncode or done.stderr.strip() else ""
