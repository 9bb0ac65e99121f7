"""Processes and waiting: what every module of this folder starts from.

Assumes Linux. Promises that a child dies with this process, that it is only ever signalled by its own pid, that what it wrote is
in a file, and that no wait is without a deadline.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class Failure(Exception):
    """Something that the run promised did not happen."""


def die_with_parent(sig=signal.SIGKILL):
    """For `preexec_fn`: the child gets `sig` when the thread that started it ends. Start children on the main thread."""

    def prepare():
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(sig))

    return prepare


def free_port():
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    """Whether somebody listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(what, condition, seconds, every=0.05):
    """Waits until `condition()` is true and returns what it returned; a `Failure` names `what` when it never is."""
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= until:
            raise Failure(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def alive(pid):
    """Whether a process with this number runs (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """Direct children of a process."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                if int(stat.read().rsplit(")", 1)[1].split()[1]) == pid:
                    found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


class Proc:
    """A program that is started, killed and started again; its output goes to one log file."""

    def __init__(self, name, command, log, env=None, user=None, group=None):
        self.name, self.command, self.log = name, [str(c) for c in command], log
        self.env, self.user, self.group = env, user, group
        self.child, self.stopped, self.starts, self.given_up = None, False, 0, []

    def start(self):
        """Starts it; it must not run."""
        assert not self.runs(), f"{self.name} runs already"
        credentials = {} if self.user is None else {"user": self.user, "group": self.group, "extra_groups": []}
        with open(self.log, "ab") as out:
            out.write(f"=== start {self.starts + 1} ===\n".encode())
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env, cwd="/",
                preexec_fn=die_with_parent(), **credentials,
            )
        self.starts += 1
        self.stopped = False
        return self

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def runs(self):
        """Whether it runs (a stopped process does)."""
        return self.child is not None and self.child.poll() is None

    def ended(self):
        """Its exit status when it ended without being told to."""
        return None if self.child is None else self.child.poll()

    def signal(self, sig):
        if self.runs():
            self.child.send_signal(sig)

    def freeze(self):
        """SIGSTOP: a zombie to everybody else."""
        self.signal(signal.SIGSTOP)
        self.stopped = True

    def thaw(self):
        self.signal(signal.SIGCONT)
        self.stopped = False

    def kill(self):
        """SIGKILL, and waits until it is gone. Says whether there was something to kill."""
        if not self.runs():
            return False
        self.child.kill()
        self.child.wait(30)
        self.child = None
        return True

    def leave(self, seconds=30):
        """SIGTERM, and waits; returns the exit status. One that does not end is killed and counts as -9."""
        if not self.runs():
            return None
        self.thaw()
        self.child.terminate()
        try:
            status = self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(30)
            status = -9
        self.child = None
        return status

    def tail(self, lines=15):
        """The end of its log."""
        try:
            with open(self.log, "rb") as log:
                log.seek(0, os.SEEK_END)
                log.seek(max(0, log.tell() - 8192))
                return b"\n".join(log.read().splitlines()[-lines:]).decode(errors="replace")
        except FileNotFoundError:
            return ""


def memory(pid):
    """(resident bytes now, anonymous ones among them, most that was ever resident) of a process; zeros when it is gone."""
    found = {}
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith(("VmRSS:", "RssAnon:", "VmHWM:")):
                    name, value = line.split()[:2]
                    found[name] = int(value) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found.get("VmRSS:", 0), found.get("RssAnon:", 0), found.get("VmHWM:", 0)


def conclude(main):
    """Runs a script; what failed is one line for a person, and the exit status says so."""
    try:
        main()
    except Failure as failure:
        print(failure, file=sys.stderr)
        sys.exit(1)
