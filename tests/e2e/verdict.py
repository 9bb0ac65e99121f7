"""Draining, and the judgement: `tributary audit`, then a recount of the topic by other code in another language.

Promises to look only at what is durable, and to fail with the differences when anything is missing, there twice, or miscounted.
"""

import pathlib
import re
import subprocess
import sys

from lab import STREAM, TOPIC
from procs import Failure, wait_for
from stores import Bronze, Windows, high_watermarks

VERIFY = pathlib.Path(__file__).resolve().parents[1] / "verify" / "truth.py"
LINE = re.compile(r"bronze missing=(\d+) extra=(\d+) · windows mismatched=(\d+)")


def drain(lab, seconds):
    """Waits until both stores have reached the end of the topic; a `Failure` says how far they are."""
    bronze, windows = Bronze(lab.lake), Windows(lab.postgres.url)
    high = high_watermarks(lab.kafka)
    behind = {}

    def done():
        for name, leg in (("bronze", bronze), ("windows", windows)):
            offsets = leg.next_offsets()
            behind[name] = {p: end - offsets.get(p, 0) for p, end in high.items() if offsets.get(p, 0) < end}
        return not any(behind.values())

    try:
        wait_for("both stores reach the end of the topic", done, seconds, every=0.3)
    except Failure as failure:
        states = {name: lab.get(name, "/status")[1] for name, proc in lab.instances.items() if proc.runs()}
        raise Failure(f"{failure}; behind: {behind}; instances: {states}") from None
    finally:
        windows.close()


def judge(lab, seconds=1800):
    """Audit and recount; prints both, returns (missing, extra, mismatched, all is well)."""
    status, out, err = lab.run("audit", "--drained", "--require-broker", "--no-holes", "--wait", "60s", seconds=seconds)
    print((out.strip().splitlines() or ["audit said nothing"])[-1] if status == 0 else f"{out}\n{err}", flush=True)
    lab.say(f"audit: exit {status}")
    command = [sys.executable, str(VERIFY), "--bootstrap", lab.kafka, "--topic", TOPIC, "--stream", STREAM, "--lake", str(lab.lake),
               "--pg", lab.postgres.url, "--truth", str(lab.truth_file)]
    recount = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    found = LINE.search(recount.stdout)
    if found is None:
        raise Failure(f"the recount did not end well (exit {recount.returncode}):\n{recount.stdout}\n{recount.stderr}")
    if recount.returncode:
        print(recount.stdout, flush=True)
    lab.say(f"recount: exit {recount.returncode} · {recount.stdout.strip().splitlines()[-1]}")
    missing, extra, mismatched = map(int, found.groups())
    return missing, extra, mismatched, status == 0 and recount.returncode == 0
