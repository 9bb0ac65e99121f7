"""How long a person waits: from `tributary up` on an empty folder, and on the same one again, until both stores have what was made since."""

import os
import pathlib
import shutil
import statistics
import tempfile
import time

import psycopg

from lab import binary
from procs import Failure, Proc, free_port, wait_for
from stores import Bronze, Windows

FLOORS = {"empty": 10.0, "warm": 3.0}


def one(folder):
    """Seconds until both legs have moved, on an empty folder and then on a full one."""
    port = free_port()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TRIBUTARY_", "KAFKA_", "POSTGRES_", "PG"))}
    env |= {"POSTGRES_PORT": str(port), "TRIBUTARY_KAFKA_EMBEDDED_PORT": str(free_port()), "TRIBUTARY_HTTP_LISTEN": f"127.0.0.1:{free_port()}"}
    proc = Proc("up", [binary(), "up", "--data", folder / "data", "--rate", "100"], folder / "up.log", env=env)
    bronze = Bronze(folder / "data" / "lakehouse")
    took, had = {}, {"bronze": 0, "windows": 0}
    for name in FLOORS:
        windows = Windows(f"postgres://platform:platform123@127.0.0.1:{port}/serving")
        has = dict.fromkeys(had, 0)

        def moved():
            if not proc.runs():
                raise Failure(f"up ended:\n{proc.tail()}")
            has["bronze"] = sum(bronze.next_offsets().values())
            try:
                has["windows"] = sum(windows.next_offsets().values())
            except psycopg.Error:
                return False  # still starting
            return all(has[leg] > had[leg] for leg in had)

        begun = time.monotonic()
        proc.start()
        try:
            wait_for(f"both stores move ({name})", moved, 60, every=0.02)
            took[name] = time.monotonic() - begun
        finally:
            windows.close()
            status = proc.leave()
        if status != 0:
            raise Failure(f"up ended with {status}:\n{proc.tail()}")
        # What was under way at the stop has landed meanwhile.
        had = {"bronze": sum(bronze.next_offsets().values()), "windows": sum(bronze.next_offsets().values())}
    return took


def run(options):
    """Medians."""
    rounds = []
    for _ in range(options.rounds):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="tributary-start-"))
        folder.chmod(0o755)
        rounds.append(one(folder))
        shutil.rmtree(folder)
    lines = []
    for name, floor in FLOORS.items():
        seconds = statistics.median(r[name] for r in rounds)
        lines.append((f"start: {name} folder to rows in both stores in {seconds:.1f} s (floor {floor:g})", seconds <= floor))
    return {"rounds": rounds}, lines
