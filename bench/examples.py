"""Our own small programs that measure one thing each (actors/examples), as `make bench` has built them."""

import json
import os
import pathlib
import subprocess

from procs import Failure

BIN = pathlib.Path(os.environ.get("TRIBUTARY_BIN", "target/up/tributary")).resolve()
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", BIN.parent.parent))


def example(name, *words):
    """Runs it; what its JSON line says."""
    path = next((folder / "examples" / name for folder in (TARGET / "up", BIN.parent) if (folder / "examples" / name).exists()), None)
    if path is None:
        raise Failure(f"{name} is not built: cargo build --profile up --workspace --example {name}")
    done = subprocess.run([path, *map(str, words)], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise Failure(f"{name}: {done.stderr}")
    return json.loads(done.stdout)
