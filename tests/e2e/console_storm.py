"""Ten thousand random requests: any method, paths of the API's own description and of nobody, strange headers and bodies.

Assumes the lab may be thrown away afterwards: jobs are paused, runs begun and cancelled. Promises that the same seed asks the same (in each
thread), that no answer is an error of the server but 503 and 504 with a reason, that the process lives with about the memory it had, and that
ops.actions says `done` exactly as often as an answer said so.
"""

import collections
import json
import random
import threading
import time
from urllib.parse import quote, urlencode

from console_attacks import PAGES
from console_http import FORM, JSON, Web
from console_lab import DOOMED, JOB
from procs import Failure, memory

THREADS = 6
# Pages are made anew for each request: the allocator keeps some of it.
GROWTH = 160 << 20
METHODS = ["GET"] * 12 + ["POST"] * 5 + ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get", "X"]
WORDS = ["", "0", "1", "2", "-1", "17", "9223372036854775807", "1e9", "true", "null", JOB, DOOMED, "no_such", "gold.kpi_dau", "silver.user_events", "gold",
         "failed", "succeeded", "error", "not_allowed", "user_events", "2026-11-26", "2026-13-45", "../..", "%00", "%", "'", "\"", "<b>", "💧", "a" * 300, "\n", "{}", "[]",
         "SELECT 1", "SELECT * FROM gold.kpi_dau", "DROP TABLE x", "SELECT"]
KEYS = ["job", "state", "before", "limit", "task", "attempt", "level", "q", "after", "version", "stream", "status", "reason", "sql", "at", "days", "from", "to",
        "force", "dry_run", "confirm", "from_task", "x"]
STRANGE = [chr(c) for c in (*range(1, 0x300), 0x202E, 0x1F4A7)]
ACTIONS = ("/run", "/pause", "/resume", "/backfill", "/cancel", "/retry", "/replay")
HEADERS = {"Accept": ["*/*", "text/html", "application/json", "text/event-stream", ""], "Accept-Encoding": ["gzip", "br, zstd", "x", ""], "Range": ["bytes=0-10", "x"],
           "If-None-Match": ["*", "\"x\""], "If-Modified-Since": ["Thu, 01 Jan 1970 00:00:00 GMT"], "Content-Type": [FORM, JSON, "text/plain", "x/y; charset=klingon", ""],
           "Expect": ["100-continue"], "Authorization": ["Bearer x", "Basic %%", ""], "Cookie": ["a=b"], "X-Forwarded-For": ["1.2.3.4"], "X-Forwarded-Host": ["evil.example"],
           "X-HTTP-Method-Override": ["DELETE"], "Upgrade": ["websocket", "h2c"], "Connection": ["close", "keep-alive", "Upgrade"], "Referer": ["http://evil.example"],
           "Last-Event-ID": ["5"], "Content-Encoding": ["gzip", "identity"]}


class Dice:
    """What is asked next."""

    def __init__(self, seed, paths):
        self.random, self.paths = random.Random(seed), paths

    def word(self):
        if self.random.random() < 0.1:
            return "".join(self.random.choice(STRANGE) for _ in range(self.random.randint(1, 40)))
        return self.random.choice(WORDS)

    def path(self):
        pick = self.random.random()
        if pick < 0.15:
            path = "/" + "/".join(quote(self.word(), safe="%.") for _ in range(self.random.randint(1, 5)))
        else:
            path = self.random.choice(self.paths if pick < 0.6 else list(PAGES))
            while "{" in path:
                before, rest = path.split("{", 1)
                name, after = rest.split("}", 1)
                likely = {"job": JOB, "table": "gold.kpi_dau", "stream": "user_events"}.get(name, str(self.random.randint(1, 30)))
                path = before + quote(likely if self.random.random() < 0.6 else self.word(), safe="%.") + after
        # The live ones hold a stream each.
        if self.random.random() < 0.02:
            path = "/live" + path
        if self.random.random() < 0.5:
            path += "?" + urlencode([(self.random.choice(KEYS), self.word()) for _ in range(self.random.randint(1, 4))], errors="replace")
        return path

    def body(self):
        fields = {self.random.choice(KEYS): self.word() for _ in range(self.random.randint(0, 4))}
        pick = self.random.random()
        if pick < 0.35:
            mixed = {k: self.random.choice([v, 1, None, True, [], [v], {}, -1.5, 1 << 70]) for k, v in fields.items()}
            return JSON, json.dumps(mixed).encode()
        if pick < 0.75:
            return FORM, urlencode(fields, errors="replace").encode()
        if pick < 0.8:
            return JSON, b"[" * self.random.choice([10, 200, 20_000])
        if pick < 0.9:
            return JSON, self.random.randbytes(self.random.randint(1, 2000))
        return FORM, b"x" * self.random.choice([1, 70_000])

    def request(self):
        method, path = self.random.choice(METHODS), self.path()
        if path.endswith(ACTIONS) and self.random.random() < 0.5:
            method = "POST"
        headers = {name: self.random.choice(values) for name, values in self.random.sample(sorted(HEADERS.items()), self.random.randint(0, 4))}
        body = b""
        if method in ("POST", "PUT", "PATCH") and self.random.random() < 0.9:
            headers["Content-Type"], body = self.body()
        return method, path, headers, body


def carried_out(method, path, body, answer):
    """Whether this answer says that something was done; None: nobody can say."""
    where = path.split("?")[0]
    if method != "POST" or not where.endswith(ACTIONS):
        return False
    if answer.status in (0, 504):
        return None
    if where.startswith("/api/"):
        if answer.status not in (200, 201, 202) or asks_only(body):
            return False
        # A replay says it of each stream.
        said = answer.json()
        return any(one.get("dry_run") is not True for one in (said if isinstance(said, list) else [said]))
    return answer.status == 303


def asks_only(body):
    try:
        return json.loads(body or b"{}").get("dry_run") is True
    except (ValueError, AttributeError):
        return False


def described(web):
    """Paths of the API's description, and of the forms in the contract."""
    paths = list(web.get("/api/v1/openapi.json").json()["paths"])
    forms = ["/jobs/{job}/run", "/jobs/{job}/pause", "/jobs/{job}/resume", "/jobs/{job}/backfill", "/runs/{run}/cancel", "/runs/{run}/retry", "/deadletters/replay",
             "/query", "/runs/{run}/logs", "/runs/{run}/logs.txt", "/tables/{table}", "/streams/{stream}"]
    return [path if path.startswith("/api/") else f"/api/v1{path}" for path in paths] + forms


def storm(lab, count, seed):
    """The whole storm; a line about it."""
    paths = described(Web(lab.port))
    done_rows = lambda: lab.ask("SELECT count(*) FROM ops.actions WHERE outcome = 'done'")[0][0]  # noqa: E731
    before, resident = done_rows(), memory(lab.main.pid)[1]
    statuses, wrong, acted, unsure = collections.Counter(), [], [], []
    begun = time.monotonic()

    def blow(number):
        dice, web = Dice(seed * 1000 + number, paths), Web(lab.port, patient=False)
        for _ in range(count // THREADS):
            method, path, headers, body = dice.request()
            answer = web.ask(method, path, headers, body)
            statuses[answer.status] += 1
            if answer.status == 429:
                # Who never waits gets nothing done.
                time.sleep(0.25)
            said = f"{method} {path[:200]} {headers} {body[:200]!r}: {answer.status} {answer.text[:300]}"
            if answer.status >= 500 and (answer.status not in (503, 504) or not answer.body):
                wrong.append(said)
            if answer.type == "application/problem+json" and method != "HEAD" and not {"title", "status", "detail"} <= set(answer.json()):
                wrong.append(f"no reason: {said}")
            outcome = carried_out(method, path, body, answer)
            (acted if outcome else unsure if outcome is None else []).append(said)

    threads = [threading.Thread(target=blow, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(900)
        if thread.is_alive():
            raise Failure("the storm does not end")
    lab.steady("after the storm")
    if (asked := sum(statuses.values())) != count // THREADS * THREADS:
        raise Failure(f"only {asked} requests of {count} were asked: one of those who ask broke")
    if wrong:
        raise Failure(f"{len(wrong)} answers are errors of the server:\n" + "\n".join(wrong[:8]))
    rows = done_rows() - before
    if not len(acted) <= rows <= len(acted) + len(unsure):
        raise Failure(f"{len(acted)} answers say that something was done ({len(unsure)} say nothing), and ops.actions has {rows} rows more\n" + "\n".join(acted[-3:]))
    if not acted:
        raise Failure("nothing at all was carried out: the storm asks the wrong things")
    # What it began for others is over before memory is looked at.
    time.sleep(3)
    grown = memory(lab.main.pid)[1] - resident
    if grown > GROWTH:
        raise Failure(f"memory grew by {grown >> 20} MiB")
    # Left as a person would want it.
    for job in (JOB, DOOMED):
        Web(lab.port).post(f"jobs/{job}/resume")
    took = time.monotonic() - begun
    return f"{sum(statuses.values())} requests in {took:.0f} s, {dict(sorted(statuses.items()))}, {rows} carried out and written down, memory {grown >> 20:+d} MiB"
