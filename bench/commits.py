"""Whether a commit costs the same after ten thousand of them, and how long their table takes to open.

Bronze is flushed every 20 ms, each commit's time is taken from the log lines; then a program of its own opens the table as the pipeline
left it (its newest checkpoint and the entries after it, among all entries of the day), again and again.
"""

import re
import statistics

from examples import example
from lab import Lab
from procs import Failure, memory, wait_for

FLOOR, FLOOR_OPEN_MS = 1.5, 100
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

        wait_for(f"{wanted} commits", lambda: len(times()) >= wanted, 900, every=1)
        took = times()[:wanted]
        lab.generator.leave()
        peak = memory(proc.pid)[2]
        status, out, error = lab.run("audit", "--wait", "30s")
        if status != 0:
            raise Failure(f"the audit of the bench's own tables fails; no figure is printed.\n{out[-3000:]}{error[-1000:]}")
        proc.leave()
        opened = example("open_table", lab.lake, "bronze.user_events")
    first, last = statistics.median(took[:100]) / 1000, statistics.median(took[-100:]) / 1000
    line = f"commits: p50 {first:.2f} ms of 1-100, {last:.2f} ms of {wanted - 100}-{wanted}, ratio {last / first:.2f} (floor {FLOOR})"
    opens, files = statistics.median(opened["opens_ms"]), opened["files"]
    return {"took_us": took, "opened": opened, "rss_peak": peak}, [
        (line, last / first <= FLOOR),
        (f"commits: {files:,} live files of {opened['version']:,} commits open in {opens:.0f} ms (floor {FLOOR_OPEN_MS}), "
         f"at most {max(opened['opens_ms']):.0f}; peak RSS of the pipeline {peak / (1 << 20):.0f} MiB", opens <= FLOOR_OPEN_MS),
    ]
