"""Whether a commit costs the same after two thousand of them: bronze flushed every 20 ms, each commit's time from the log lines."""

import re
import statistics

from lab import Lab
from procs import Failure, wait_for

FLOOR = 1.5
LINE = re.compile(r"committed.*\bversion=(\d+).*\btook_us=(\d+)")


def run(options):
    """p50 of the first hundred commits against p50 of the last hundred."""
    settings = ("pipeline.bronze_flush=20ms", "pipeline.batch_wait=5ms")
    with Lab("commits", settings=settings, log="info,tributary_actors::delta_writer=debug") as lab:
        proc = lab.instance("commits")
        proc.start()
        lab.wait_ready("commits")
        wanted = options.commits
        lab.generate(wanted * 300, 7, 2000, flaws=())

        def times():
            with open(proc.log, encoding="utf-8", errors="replace") as log:
                return [int(found.group(2)) for found in map(LINE.search, log) if found]

        wait_for(f"{wanted} commits", lambda: len(times()) >= wanted, 600, every=1)
        took = times()[:wanted]
        lab.generator.leave()
        status, out, error = lab.run("audit", "--wait", "30s")
        if status != 0:
            raise Failure(f"the audit of the bench's own tables fails; no figure is printed.\n{out[-3000:]}{error[-1000:]}")
    first, last = statistics.median(took[:100]) / 1000, statistics.median(took[-100:]) / 1000
    line = f"commits: p50 {first:.2f} ms of 1-100, {last:.2f} ms of {wanted - 100}-{wanted}, ratio {last / first:.2f} (floor {FLOOR})"
    return {"took_us": took}, [(line, last / first <= FLOOR)]
