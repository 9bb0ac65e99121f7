"""Runs the blocks of the pages as a person would paste them, in a copy of the checkout beside a platform that runs.

Assumes a lab (docs.py) that knows where everything is. A comment directly above a block changes what becomes of it:

    <!-- not run: REASON -->     it is counted with the reason and not run
    <!-- expect: exit 1 -->      that exit status is wanted, not 0
    <!-- limit: 300 s -->        so long it may take, not 60 s
    <!-- background -->          it is started, and stopped at the end of the page; ended with another status than 0 it has failed
    <!-- tributary query -->     the SQL is for `tributary query`, not for psql

Promises that nothing of a block is changed but the standard addresses (ADDRESSES) and the commands of STANDINS, each of which says what
stands for it and why; that every block is a shell, psql or Python of its own, started in the root of the copy; and that what it started
is ended with it.
"""

import functools
import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

from docs_pages import NOT_EXECUTED, PARSERS
from procs import Failure, alive, die_with_parent, wait_for

LIMIT = 60
# What the pages call by the ports that are the defaults, and this run has elsewhere.
ADDRESSES = {29092: "kafka", 5432: "postgres", 8082: "http", 9090: "prometheus"}


@dataclass
class Outcome:
    """What came of a block: `ok`, `parsed`, `failed` or `not run`; `left` are reasons for single commands of it that were left out, `line`
    is that of the command that failed, when it is known."""

    state: str
    said: str = ""
    queries: int = 0
    left: tuple = ()
    line: int | None = None


class LeftOut(Exception):
    """A command that cannot be run here; the reason is one word for the summary."""


def _again(found, lab):
    """Starts the platform anew, with these flags and this environment: what was copied into the checkout counts from then on."""
    arguments = shlex.split(found["arguments"] or "", comments=True)
    flags = arguments[0].removeprefix("ARGS=") if found["program"].startswith("make") and arguments else shlex.join(arguments)
    command = f"{found['env']}{found['program'].replace('make', 'tributary')} {flags}".strip().rstrip("&")
    if lab.attached:
        return "tributary health --ready"
    return f"printf %s {shlex.quote(command)} >{lab.again}.new; mv {lab.again}.new {lab.again}; while [ -e {lab.again} ]; do sleep 0.05; done"


def _theirs(found, _lab):
    """Asks for the help of exactly this command line, which refuses a flag that there is not, and for the settings that it stands for."""
    return f"{found.group(0).strip()} --help >/dev/null; {found['env']}tributary config show >/dev/null"


def _container(found, lab):
    """The same program, here: the stores are where `up` has them, not in containers."""
    service, command = found["service"], found["command"]
    if service == "tributary":
        return command.replace("/data/", f"{lab.data}/")
    if service == "postgres" and re.match(r"(psql|pg_dump)\b", command) and "-U postgres" not in command:
        host, port = lab.address("postgres").split(":")
        return f"PGHOST={host} PGPORT={port} PGPASSWORD={lab.password} {command}"
    raise LeftOut("docker")


def _left(word):
    def leave(_found, _lab):
        raise LeftOut(word)

    return leave


ENV = r"(?P<env>(?:[A-Z_]+=\S*\s+)*)"
# (command, what stands for it, why). The first that matches the beginning of a command counts; all others are run as they stand.
STANDINS = (
    (r"git clone\b.*", lambda *_: ":", "the copy that the blocks run in is the clone"),
    (r"make reset\b.*", lambda *_: "make -n reset YES=1", "the blocks below need what it deletes"),
    (rf"(?=.*(KAFKA_BOOTSTRAP|DATABASE_URL|POSTGRES_HOST|--data|--roles|--config)){ENV}tributary(?:\s+-\S+)* up\b[^#&]*", _theirs,
     "with servers, folders or roles of its own: these are not here"),
    (rf"{ENV}(?P<program>make up|tributary(?:\s+-\S+)* up)\b(?P<arguments>.*)", _again, "it runs until Ctrl-C, and has to be on free ports"),
    (r"make (?!status\b|audit\b|help\b|reset\b|-n\b)[^#]*", lambda found, _: found.group(0).replace("make", "make -n", 1) + " >/dev/null",
     "it builds or tests for minutes, and CI runs it: here only its name counts"),
    (r"docker compose(?: -\S+)* exec(?: -T| -e \S+)* (?P<service>\w+) (?P<command>.*)", _container, "there is no Docker here"),
    (r"docker\b.*", _left("docker"), "there is no Docker here; topology.py runs the same as processes"),
    (r"(sudo|apt-get|apt|pip|pip3|brew|rustup)\b.*", _left("installs"), "nothing is installed by a test"),
    (r"(spark-sql|spark-submit|pyspark|spark-shell)\b.*", _left("spark"), "a JVM of its own: topology.py --spark"),
)
QUERY = re.compile(r"\bpsql\b.*\s-c\b|\btributary query\b|\bduckdb\b", re.DOTALL)


def commands(text):
    """The commands of a script, each with all of its lines: bash is asked where one ends."""
    found, command = [], ""
    for line in text.splitlines(keepends=True):
        command += line
        if not command.strip() or _whole(command):
            found.append(command)
            command = ""
    return [*found, command] if command else found


@functools.lru_cache(maxsize=None)
def _whole(command):
    if command.endswith("\\\n"):
        return False
    asked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    return asked.returncode == 0 and "here-document" not in asked.stderr


# `bash -e` lets `a && b` pass when `a` fails, which no person would: such a command ends the block as any other does.
STRICT = "{{ {}\n}} || (exit $?)\n"


@dataclass
class Script:
    """A block of `sh` as it is run; `origin` has the block's line for each of its own."""

    text: str
    origin: list
    ran: int = 0
    queries: int = 0
    left: tuple = ()


def script(text, lab):
    """What is run of a block of `sh`: each command that has a stand-in replaced, those that cannot be run left out."""
    # TERM ends the command that runs when the limit is reached, and then bash by ERR, which alone knows the line. This one is none of the block's.
    made, at = Script(f"trap 'echo $LINENO >{lab.failed}' ERR; trap : TERM\n", [0]), 0
    for line in commands(text):
        command, now = line.strip().replace("\\\n", " "), line
        if command and not command.startswith("#"):
            try:
                for pattern, stands, _ in STANDINS:
                    if found := re.match(pattern, command, re.DOTALL):
                        now = f"{stands(found, lab)} {command[found.end():]}\n"
                        break
                # Within a loop or a branch there would be no `-e` any more.
                if "&&" in now and not re.match(r"(for|while|until|if|case|function)\b|[({]", command):
                    now = STRICT.format(now.rstrip("\n"))
                made.ran += 1
                made.queries += bool(QUERY.search(now))
            except LeftOut as word:
                made.left += (str(word),)
                now = ":\n"
        made.text += now
        made.origin += range(at, at + now.count("\n")) if now == line else [at] * now.count("\n")
        at += line.count("\n")
    return made


class Runner:
    """Runs the blocks of one page after the other; `end()` stops what a page has in the background."""

    def __init__(self, lab):
        self.lab, self.background = lab, []

    def run(self, block):
        """The outcome of a block."""
        if block.problems:
            return Outcome("failed", "; ".join(block.problems))
        if "not run" in block.words:
            return Outcome("not run", block.words["not run"])
        if block.language in NOT_EXECUTED:
            return Outcome("not run", "text")
        if block.language in PARSERS:
            return Outcome("parsed")
        try:
            text = self.rewritten(block.text)
        except LeftOut as word:
            return Outcome("not run", str(word))
        made = Script(text, [])
        if block.language in ("sh", "bash"):
            made = script(text, self.lab)
            if not made.ran:
                return Outcome("not run", " and ".join(sorted(set(made.left))) or "nothing but comments")
            command = ["bash", "-euo", "pipefail", "-c", made.text]
        elif block.language == "python":
            command = [self.lab.python, "-c", text]
        else:
            made.queries = len([one for one in re.sub(r"--[^\n]*", "", text).split(";") if one.strip()])
            # A query may begin with a comment, which is no flag.
            command = ["tributary", "query", "--", text] if "tributary query" in block.words else [
                "psql", "-X", "-v", "ON_ERROR_STOP=1", self.lab.url, "-c", text]
        return self._judge(block, command, made)

    def rewritten(self, text):
        """The text with the standard addresses replaced by the real ones, and nothing else."""

        def real(found):
            here = self.lab.address(ADDRESSES[int(found.group(2))])
            if here is None:
                raise LeftOut(f"no {ADDRESSES[int(found.group(2))]}")
            return here

        return re.sub(rf"\b(127\.0\.0\.1|localhost):({'|'.join(map(str, ADDRESSES))})\b", real, text)

    def _judge(self, block, command, made):
        limit = int(block.words.get("limit", f"{LIMIT} s").split()[0])
        wanted = int(block.words.get("expect", "exit 0").split()[1])
        child = Child(command, self.lab)
        if "background" in block.words:
            self.background.append((block, child))
            return Outcome("ok", "in the background", made.queries, made.left)
        status = child.wait(limit)
        if status == wanted:
            return Outcome("ok", child.output(), made.queries, made.left)
        why = f"not within {limit} s" if status is None else f"exit {status}" + (f" instead of {wanted}" if wanted else "")
        return Outcome("failed", f"{why}\n{child.output()}".strip(), made.queries, made.left, self._line(block, made))

    def _line(self, block, made):
        """Where a script ended, when bash has said so."""
        try:
            return block.line + made.origin[int(self.lab.failed.read_text()) - 1]
        except (FileNotFoundError, ValueError, IndexError):
            return None
        finally:
            self.lab.failed.unlink(missing_ok=True)

    def end(self):
        """Stops what runs in the background; returns (block, what it said) of those that had failed by then."""
        failed = []
        for block, child in self.background:
            status = child.child.poll()
            child.stop()
            if status not in (None, 0):
                failed.append((block, f"exit {status}, in the background\n{child.output()}"))
        self.background = []
        return failed


class Child:
    """A command in a session of its own, in the copy of the checkout; what it says is kept in a file."""

    def __init__(self, command, lab):
        self.lab, self.said = lab, tempfile.TemporaryFile()
        self.child = subprocess.Popen(command, cwd=lab.root, env=lab.environment, stdin=subprocess.DEVNULL, stdout=self.said, stderr=self.said,
                                      start_new_session=True, preexec_fn=die_with_parent())

    def wait(self, seconds):
        """Its exit status; None when it took too long. Does what a stand-in asks for meanwhile."""
        until = time.monotonic() + seconds
        while self.child.poll() is None and time.monotonic() < until:
            if self.lab.again.exists():
                began = time.monotonic()
                try:
                    self.lab.restart(self.lab.again.read_text(encoding="utf-8"))
                except Failure as failure:
                    self.stop()
                    self.said.write(str(failure).encode())
                    return 1
                finally:
                    self.lab.again.unlink(missing_ok=True)
                # It has limits of its own.
                until += time.monotonic() - began
            time.sleep(0.01)
        status = self.child.poll()
        self.stop()
        return status

    def stop(self):
        """Ends it with all that it started and that is still in its session."""
        for sig in (signal.SIGTERM, signal.SIGKILL):
            if self.child.poll() is None or _session(self.child.pid):
                os.killpg(self.child.pid, sig)
                try:
                    wait_for("what a block started ends", lambda: self.child.poll() is not None and not _session(self.child.pid), 10)
                except Failure:
                    continue

    def output(self, lines=15):
        """The end of what it said."""
        self.said.seek(0)
        return "\n".join(self.said.read().decode(errors="replace").rstrip().splitlines()[-lines:])


def _session(group):
    """Processes of a process group that still run."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[2]) == group and alive(int(name)):
                    found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
