"""(a) librdkafka alone drains a topic; (b) the whole pipeline drains it, both legs committed. Alternating, fresh stores each time."""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import time

from examples import example
from lab import TOPIC, Lab
from procs import Failure, Proc, memory, wait_for

FLOOR_RATE, FLOOR_RATIO, FLOOR_RSS = 600_000, 0.25, 256 << 20


class KafkaLab(Lab):
    """The same lab with Apache Kafka as its broker."""

    def start_broker(self, seconds=60):
        script = pathlib.Path(__file__).resolve().parents[1] / "scripts" / "apache-kafka.sh"
        done = subprocess.run([script, "start", self.dir / "kafka", str(self.broker_port)], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise Failure(f"Apache Kafka does not start: {done.stdout}{done.stderr}")
        self.kafka_script = script

    def __exit__(self, *error):
        subprocess.run([self.kafka_script, "stop", self.dir / "kafka"], capture_output=True, timeout=60, check=False)
        return super().__exit__(*error)


def cpu_seconds(pid):
    """User and system time of a process."""
    fields = open(f"/proc/{pid}/stat", encoding="utf-8").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def empty(lab):
    """Leaves nothing of an earlier round in PostgreSQL."""
    with lab.postgres.connect() as connection:
        connection.execute("DROP SCHEMA IF EXISTS realtime, ops CASCADE")
        connection.execute("DROP TABLE IF EXISTS _sqlx_migrations")


def pipeline(lab, events, round_number):
    """One drain into fresh stores. The clock runs from the first look at the pipeline to the moment both legs have everything."""
    lab.lake = lab.dir / f"lake-{round_number}"
    env = {**lab.client_env(f"bench-{round_number}"), "LAKEHOUSE_PATH": str(lab.lake)}
    empty(lab)
    proc = lab.instance(f"bench-{round_number}")
    proc.env = env
    proc.start()
    started = time.monotonic()
    state = {}

    def drained():
        if not proc.runs():
            raise Failure(f"the pipeline ended:\n{proc.tail()}")
        status, text = lab.get(proc.name, "/status")
        if status != 200:
            return False
        stream = json.loads(text)["streams"][0]
        if stream["generation"] and "cpu" not in state:
            state.update(begun=time.monotonic(), cpu=cpu_seconds(proc.pid))
        places = stream["partitions"].values()
        return places and all(sum(place[leg] or 0 for place in places) == events for leg in ("bronze", "serving"))

    wait_for("everything is drained", drained, 600, every=0.02)
    seconds, cpu = time.monotonic() - state["begun"], cpu_seconds(proc.pid) - state["cpu"]
    peak = memory(proc.pid)[2]
    generations = json.loads(lab.get(proc.name, "/status")[1])["streams"][0]["generation"]
    done = subprocess.run([str(lab.bin), "audit", "--drained", "--json", "--data", str(lab.dir / "data-client")], env=env,
                          capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise Failure(f"the audit of the bench's own tables fails; no figure is printed.\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    proc.leave()
    size = sum(f.stat().st_size for f in (lab.lake / "bronze").rglob("*.parquet"))
    shutil.rmtree(lab.lake)
    return {"seconds": seconds, "cpu_seconds": cpu, "rss_peak": peak, "lake_bytes": size, "generations": generations,
            "start_seconds": state["begun"] - started}


def run(options):
    """Both sides, alternating; medians."""
    maker = KafkaLab if options.kafka else Lab
    with maker("bench") as lab:
        lab.say(f"making {options.events:,} records")
        lab.generate(options.events, 7, 1_000_000)
        lab.wait_generated(1200)
        rounds = []
        for n in range(options.rounds):
            a = example("raw_drain", lab.kafka, TOPIC)
            b = pipeline(lab, options.events, n)
            lab.say(f"round {n + 1}: raw {options.events / a['seconds']:,.0f}/s, pipeline {options.events / b['seconds']:,.0f}/s")
            rounds.append({"raw": a, "pipeline": b})
    events = options.events

    def of(side, key):
        return statistics.median(r[side][key] for r in rounds)

    a, b = events / of("raw", "seconds"), events / of("pipeline", "seconds")
    peak = max(r["pipeline"]["rss_peak"] for r in rounds)
    lines = [
        (f"drain: raw {a:,.0f} events/s, pipeline {b:,.0f} events/s, ratio {b / a:.2f} (floor {FLOOR_RATE:,} or {FLOOR_RATIO})",
         b >= FLOOR_RATE or b / a >= FLOOR_RATIO),
        (f"drain: CPU {of('raw', 'cpu_seconds') / events * 1e6:.2f} s per million raw, "
         f"{of('pipeline', 'cpu_seconds') / events * 1e6:.2f} s pipeline; {of('pipeline', 'lake_bytes') / events:.1f} lake bytes per event",
         True),
        (f"drain: peak RSS {peak / (1 << 20):.0f} MiB (floor {FLOOR_RSS >> 20})", peak <= FLOOR_RSS),
    ]
    return {"rounds": rounds, "events": events}, lines
