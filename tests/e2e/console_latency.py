"""How long each page takes while events come in at full rate.

Assumes a filled lake and that nothing else runs on the machine. Promises to measure the whole answer over a kept connection, pages in turn so that
no page has the machine's good moment, and to say p50 and p95 of each; whether that is fast enough is asked only where a limit is given.
"""

import time

from console_http import Web, expect
from console_lab import JOB
from procs import Failure

RATE, ROUNDS = 20_000, 200


def pages(lab):
    """Every kind of page, with the newest run of the job that everybody has."""
    run = lab.ask("SELECT max(id) FROM ops.runs WHERE job = %s AND state = 'succeeded'", JOB)[0][0]
    return ["/", "/streams/user_events", "/jobs", f"/jobs/{JOB}", "/runs", f"/runs/{run}", f"/runs/{run}/logs", "/tables", "/tables/gold.kpi_dau",
            "/tables/silver.user_events", "/tables/bronze.user_events", "/query", "/deadletters", "/health", "/settings", "/activity", "/api/v1/status",
            "/api/v1/jobs", "/api/v1/tables", "/metrics"]


def measure(lab, limit, rounds=ROUNDS):
    """Prints the table; a line about it. `limit`: milliseconds for p95 of each page, 0 for none."""
    paths, web = pages(lab), Web(lab.port)
    took = {path: [] for path in paths}
    sizes = {}
    # Long enough for all rounds; the lab stops it.
    lab.generate(RATE * 600, 23, RATE, span="6h", flaws=("--malformed", "1%"))
    time.sleep(3)
    for turn in range(rounds + 1):
        if not lab.generator.runs():
            raise Failure(f"the generator ended: {lab.generator.tail()}")
        for path in paths:
            begun = time.perf_counter()
            answer = expect(web.get(path), 200, path)
            # The first round finds cold caches that a person meets once.
            if turn:
                took[path].append((time.perf_counter() - begun) * 1000)
            sizes[path] = len(answer.body)
    lab.generator.kill()
    at = lambda path, share: sorted(took[path])[int(share * (len(took[path]) - 1))]  # noqa: E731
    print(f"\n| page | p50 ms | p95 ms | most | bytes |\n|---|---|---|---|---|")
    for path in paths:
        print(f"| {path} | {at(path, 0.5):.1f} | {at(path, 0.95):.1f} | {max(took[path]):.1f} | {sizes[path]:,} |")
    slowest = max(paths, key=lambda path: at(path, 0.95))
    slow = [path for path in paths if limit and at(path, 0.95) >= limit]
    if slow:
        raise Failure(f"p95 is {limit:g} ms or more: {', '.join(f'{path} {at(path, 0.95):.1f}' for path in slow)}")
    return f"{len(paths)} pages, {rounds} times each beside {RATE} events/s, slowest p95 {at(slowest, 0.95):.1f} ms ({slowest})"
