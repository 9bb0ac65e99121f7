"""Measures what the README promises, as ratios within one run, and prints nothing unless the audit of its own tables passes.

    bench.py [--events 5000000] [--rounds 5] [--kafka] [--only drain,commits,latency,idle,start,batch]

Assumes a built program and the `raw_drain` example beside it. Everything runs on loopback, on the machine as it is: say what else ran
there when you quote a figure.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "e2e"))

import batch  # noqa: E402
import commits  # noqa: E402
import drain  # noqa: E402
import latency  # noqa: E402
import start  # noqa: E402
from procs import Failure  # noqa: E402

PARTS = {"drain": drain.run, "commits": commits.run, "latency": latency.run, "idle": latency.idle, "start": start.run, "batch": batch.run}


def machine():
    """What it ran on."""
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), "?")
    memory = int(open("/proc/meminfo", encoding="utf-8").readline().split()[1]) // (1 << 20)
    revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    return {"cpus": os.cpu_count(), "cpu": model, "memory_gib": memory, "kernel": platform.release(), "revision": revision,
            "load_before": round(os.getloadavg()[0], 2), "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000_000, help="records of the topic that is drained")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured, alternating")
    parser.add_argument("--kafka", action="store_true", help="Apache Kafka instead of the embedded broker")
    parser.add_argument("--commits", type=int, default=10_000, help="commits of the commit-latency run")
    parser.add_argument("--seconds", type=int, default=60, help="length of the latency and idle runs")
    parser.add_argument("--batch-events", type=int, default=10_000_000, help="events of the batch run")
    parser.add_argument("--batch-rounds", type=int, default=3, help="how often each side of the batch run is measured, alternating")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run: " + ", ".join(PARTS))
    options = parser.parse_args()
    result = {"machine": machine(), "broker": "Apache Kafka" if options.kafka else "embedded"}
    print(json.dumps(result), file=sys.stderr)
    missed = []
    for part in options.only.split(","):
        try:
            result[part], lines = PARTS[part](options)
        except Failure as failure:
            print(f"bench: {part}: {failure}", file=sys.stderr)
            return 1
        for line, holds in lines:
            print(("" if holds else "MISSED ") + line, flush=True)
            if not holds:
                missed.append(line)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / f"{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(f"load before {result['machine']['load_before']}, after {os.getloadavg()[0]:.2f}; details in bench/results")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
