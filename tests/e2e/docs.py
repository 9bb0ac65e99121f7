#!/usr/bin/env python3
"""The documents, believed to the letter: every block of commands and every query of README.md, docs/ and examples/ is run, every link followed.

    docs.py [--page docs/RUN.md]… [--list] [--attach DATA_DIR] [--selfcheck]

Starts `up` on free ports with 50 made-up events per second, in a scratch folder that is a copy of this checkout, so that a block may
write where it likes; waits until every table has rows; then runs the pages in their order, each block as docs_blocks.py says. Links and
anchors are those of the pages, of CONTRIBUTING and CHANGELOG, and of everything else that names a page (the alerts' runbooks, dashboards, messages of
the program); an address on the web is checked for its form only. Assumes psql, kcat and the tests' Python environment. Promises a line
`file:line` for whatever failed, with the end of what it said, and exit status 1 then. With --attach the platform of that data folder is
used as it is: it is not started anew, and does not see what the blocks copy beside its streams and models.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import psycopg

import docs_pages
from docs_blocks import STANDINS, Runner
from docs_pages import NOT_OURS, ROOT
from docs_prose import Prose, spoken
from fresh import gold, has_rows, published
from lab import STREAM, binary
from procs import Failure, Proc, conclude, free_port, wait_for

PASSWORD = "platform123"
# What the environment must not say, for the pages say it.
OURS = ("TRIBUTARY_", "KAFKA_", "POSTGRES_", "PG", "PROMETHEUS_", "DATABASE_URL", "LAKEHOUSE_", "EVENTS_", "NUM_USERS", "MAKE", "CARGO_TARGET")
TOOLS = str(ROOT / ".tools" / "usr" / "bin")


def copy(source, target):
    """A file, unless it went meanwhile: an editor's temporary ones come and go."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


class Lab:
    """A copy of the checkout with a platform beside it. Use as a context manager; leaving it with an exception keeps the folder."""

    def __init__(self, attach=None):
        self.attached, self.password, self.began, self.up, built = attach, PASSWORD, time.monotonic(), None, binary()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tributary-docs-"))
        self.home.chmod(0o755)
        self.root, self.again, self.failed = self.home / "tributary", self.home / "again", self.home / "failed"
        shutil.copytree(ROOT, self.root, symlinks=True, ignore=lambda _, names: NOT_OURS & set(names), copy_function=copy)
        self.data = attach.resolve() if attach else self.root / "data"
        if attach:
            (self.root / "data").symlink_to(self.data)
        # Where `make` expects it; and first on the PATH, by its name.
        program = self.root / "target" / "up" / "tributary"
        program.parent.mkdir(parents=True)
        shutil.copy2(built, program)
        venv = pathlib.Path(os.environ.get("TRIBUTARY_VENV", ROOT / ".venv")).resolve()
        self.python = str(venv / "bin" / "python") if (venv / "bin" / "python").exists() else sys.executable
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        path = os.pathsep.join([str(program.parent), str(pathlib.Path(self.python).parent), kept.get("PATH", ""), TOOLS])
        self.environment = {**kept, "PATH": path, "TRIBUTARY_BIN": str(program), "TRIBUTARY_DATA": str(self.data), "TRIBUTARY_VENV": str(venv),
                            "NO_COLOR": "1", "PSQLRC": "/dev/null", "PAGER": "cat"}
        self.ports = {"POSTGRES_PORT": free_port(), "TRIBUTARY_KAFKA_EMBEDDED_PORT": free_port(), "PROMETHEUS_PORT": free_port(),
                      "TRIBUTARY_HTTP_LISTEN": f"127.0.0.1:{free_port()}", "EVENTS_PER_SECOND": 50}
        self.where = {}

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f}  {text}", file=sys.stderr, flush=True)

    def start(self, command):
        """Starts `up` by a command line and waits until records flow into every store."""
        environment = {**self.environment, **{name: str(value) for name, value in self.ports.items()}}
        # The program itself, so that signals reach it and no shell.
        self.up = Proc("up", ["env", "-C", self.root, "bash", "-c", f"exec env {command}"], self.home / "up.log", env=environment)
        self.up.start()
        self.wait_ready()

    def restart(self, command):
        """Ctrl-C, and another `up` in its place."""
        if status := self.up.leave(60):
            raise Failure(f"up ended with {status}:\n{self.up.tail()}")
        self.start(command)

    def wait_ready(self):
        def ready():
            if self.up and not self.up.runs():
                raise Failure(f"up ended while it started:\n{self.up.tail()}")
            try:
                self.where = json.loads((self.data / "run.json").read_text(encoding="utf-8"))
            except (FileNotFoundError, ValueError):
                return False
            well = subprocess.run(["tributary", "health", "--ready"], cwd=self.root, env=self.environment, capture_output=True, timeout=60)
            return (self.attached or self.where["pid"] == self.up.pid) and well.returncode == 0

        wait_for("up is ready", ready, 60, every=0.1)

    def address(self, of):
        """`host:port` of kafka, postgres, http or prometheus; None for what does not run."""
        found = self.where.get(of)
        return ":".join(map(str, found)) if isinstance(found, list) else found

    @property
    def url(self):
        return f"postgres://platform:{PASSWORD}@{self.address('postgres')}/serving"

    def wait_filled(self):
        """Waits until silver, every gold table, what is published and the live tables have rows, and Prometheus has seen all of it."""
        tables = [self.data / "lakehouse" / "silver" / STREAM, *(self.data / "lakehouse" / "gold" / name for name in gold.TABLES)]
        wait_for("silver and all gold tables have rows", lambda: all(map(has_rows, tables)), 120, every=0.2)
        wait_for("the tables in PostgreSQL have rows", lambda: all(published(self.url).values()) and self.live(), 60, every=0.2)
        if self.address("prometheus"):
            wait_for("Prometheus has scraped it", self.scraped, 60, every=0.5)
        self.say("every table has rows")

    def live(self):
        with psycopg.connect(self.url, connect_timeout=3) as connection:
            return connection.execute("SELECT count(*) FROM realtime.events_per_minute").fetchone()[0]

    def scraped(self):
        try:
            with urllib.request.urlopen(f"http://{self.address('prometheus')}/api/v1/query?query=tributary_records_total", timeout=5) as answer:
                return json.load(answer)["data"]["result"]
        except (urllib.error.URLError, OSError):
            return False

    def __enter__(self):
        try:
            if self.attached:
                self.wait_ready()
            else:
                self.start("tributary up")
            self.wait_filled()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind, error, _trace):
        if self.up:
            self.up.leave(60)
        if kind is not None and self.up:
            print(f"FAILED: {kind.__name__}: {error}\nlogs are in {self.home}\n{self.up.tail(30)}", file=sys.stderr)
        elif not os.environ.get("KEEP"):
            shutil.rmtree(self.home, ignore_errors=True)


class Report:
    """What came of everything, and one line about it."""

    def __init__(self):
        self.states, self.reasons, self.left = collections.Counter(), collections.Counter(), collections.Counter()
        self.queries, self.links, self.broken, self.failures = 0, 0, 0, []
        self.spoken = collections.Counter()

    def failed(self, place, said):
        self.failures.append(f"FAILED {place}: {said}")
        print(self.failures[-1].replace("\n", "\n    "), flush=True)

    def take(self, block, outcome):
        self.states[outcome.state] += 1
        self.left.update(outcome.left)
        if outcome.state == "failed":
            self.failed(f"{block.page}:{outcome.line or block.line}", outcome.said)
        elif outcome.state == "not run":
            kind = "text" if outcome.said == "text" else "docker" if "docker" in outcome.said.lower() else "for the reasons above"
            self.reasons[kind] += 1
            if kind != "text":
                print(f"not run {block.place}: {outcome.said}", flush=True)
        else:
            self.queries += outcome.queries

    def page(self, page, runner, say=lambda _: None):
        """Runs a page from its first block to its last."""
        for line, problem in page.problems:
            self.failed(f"{page.path}:{line}", problem)
        try:
            for block in page.blocks:
                began = time.monotonic()
                outcome = runner.run(block)
                more = [outcome.said] if outcome.state == "not run" else [f"{word} left out" for word in sorted(set(outcome.left))]
                took = f"{time.monotonic() - began:.1f} s"
                say(", ".join([f"{block.place}: {block.language or 'text'} {outcome.state} ({took})", *more]))
                self.take(block, outcome)
        finally:
            ended = runner.end()
        for block, said in ended:
            self.states["ok"] -= 1
            self.states["failed"] += 1
            self.failed(block.place, said)

    def listen(self, page, prose):
        """Commands and queries that a page speaks of."""
        for line, text in spoken(page):
            why = prose.wrong(text)
            self.spoken[why is None] += 1
            if why:
                self.failed(f"{page.path}:{line}", f"`{text}`: {why}")

    def follow(self, pages):
        self.links, problems = docs_pages.check_links(pages)
        self.broken = len(problems)
        for one in problems:
            place, target, why = one.rsplit(": ", 2)
            self.failed(place, f"{target} {why}")

    def line(self):
        reasons = ", ".join(f"{self.reasons[kind]} {kind}" for kind in ("text", "docker", "for the reasons above") if self.reasons[kind])
        left = ", ".join(f"{count} {word}" for word, count in self.left.most_common())
        return (f"docs: {sum(self.states.values())} blocks, {self.states['ok']} run ok, {self.states['parsed']} parsed ok, "
                f"{self.states['failed']} failed, {self.states['not run']} not run{f' ({reasons})' if reasons else ''}"
                f"{f'; commands left out of blocks: {left}' if left else ''}; "
                f"commands in prose {self.spoken[True]} ok, {self.spoken[False]} wrong; "
                f"links {self.links - self.broken} ok, {self.broken} broken; queries {self.queries}")


def listed(pages):
    """A line for each block, without running anything."""
    for page in pages:
        for line, problem in page.problems:
            print(f"{page.path}:{line}: {problem}")
        for block in page.blocks:
            words = "; ".join(f"{word}: {rest}" if rest else word for word, rest in block.words.items())
            print(f"{block.place}: {block.language or 'text'}, {block.text.count(chr(10))} lines{f' ({words})' if words else ''}"
                  + "".join(f"; {problem}" for problem in block.problems))
    print("\nNot run as they stand:")
    for pattern, _, why in STANDINS:
        print(f"  {pattern}\n      {why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--page", action="append", help="only this page, by its path in the checkout; may be repeated")
    parser.add_argument("--list", action="store_true", help="list the blocks, and run nothing")
    parser.add_argument("--attach", type=pathlib.Path, metavar="DATA_DIR", help="use the platform that runs on this data folder")
    parser.add_argument("--selfcheck", action="store_true", help="break a command, a query, a link and more, in memory: each must be found")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line for each block")
    args = parser.parse_args()
    known = docs_pages.executed()
    if unknown := set(args.page or ()) - set(known):
        raise Failure(f"no such page: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    pages = [docs_pages.read(name) for name in known if not args.page or name in args.page]
    if args.list:
        return listed(pages)
    report, more = Report(), [docs_pages.read(name) for name in ("CONTRIBUTING.md", "CHANGELOG.md")]
    with Lab(args.attach) as lab:
        if args.selfcheck:
            import docs_selfcheck

            return docs_selfcheck.run(lab, pages)
        report.follow(pages if args.page else pages + more)
        prose = Prose(lab)
        for page in pages:
            report.page(page, Runner(lab), lab.say if args.verbose else lambda _: None)
            report.listen(page, prose)
            lab.say(f"{page.path} is through")
    print(f"{report.line()} · {time.monotonic() - lab.began:.0f} s", flush=True)
    if report.failures:
        raise Failure(f"{len(report.failures)} failed")


if __name__ == "__main__":
    conclude(main)
