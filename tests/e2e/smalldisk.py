"""A small disk that can be filled and freed: a tmpfs of its own for the lake.

Assumes root, or user namespaces (then the whole run moves into one of its own). Promises to say why when neither is to be had, and that
the disk is gone afterwards.
"""

import os
import pathlib
import subprocess
import sys


class Unavailable(Exception):
    """No small disk can be had here, and why."""


INSIDE = "TRIBUTARY_E2E_OWN_NAMESPACE"


def move_into_own_namespace():
    """Not root: runs this program again where it may mount, as the same user (PostgreSQL refuses root, also a mapped one). Returns only when
    that is not needed any more."""
    if os.geteuid() == 0 or os.environ.get(INSIDE):
        return
    unshare = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
    try:
        refused = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Unavailable("a small disk needs root or the program unshare") from None
    if refused.returncode:
        raise Unavailable(f"a small disk needs root, or user namespaces for everybody: {refused.stderr.strip()}")
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


class SmallDisk:
    """`path`, with `megabytes` of space."""

    def __init__(self, path, megabytes=192):
        self.path, self.ballast = pathlib.Path(path), pathlib.Path(path) / "ballast"
        self.path.mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(self.path)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            self.path.rmdir()
            raise Unavailable(f"a small disk cannot be mounted: {done.stderr.strip()}")

    def free(self):
        """Bytes that are left."""
        at = os.statvfs(self.path)
        return at.f_bavail * at.f_frsize

    def fill(self):
        """Writes until nothing fits any more."""
        block = b"\0" * (64 << 10)
        with open(self.ballast, "ab", buffering=0) as out:
            for size in (len(block), 4096, 1):
                try:
                    while out.write(block[:size]):
                        pass
                except OSError:
                    continue

    def release(self):
        """Gives the space back."""
        self.ballast.unlink(missing_ok=True)

    def close(self):
        """Unmounts it; nobody may use it any more."""
        subprocess.run(["umount", "-l", str(self.path)], capture_output=True, check=False)
