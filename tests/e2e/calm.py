"""After the storm: several instances share the partitions, nothing is disturbed, and every one of them must make progress.

Assumes that events still flow. Promises to notice what a check at the end cannot: a member whose partitions stand still until somebody
else takes them over.
"""

import json
import time

from freshness import Watch
from procs import Failure, wait_for
from stores import Bronze, Windows

FRESH = 5.0
LIMIT = 10.0
SETTLED = 20


def watches(lab):
    """One that looks at bronze and one that looks at the windows."""
    both = {"bronze": Watch(lab.kafka, Bronze(lab.lake)), "windows": Watch(lab.kafka, Windows(lab.postgres.url))}
    for watch in both.values():
        watch.start()
    return both


def reads(lab, name):
    """The partitions that an instance reads, by its own word."""
    status, text = lab.get(name, "/status")
    return json.loads(text)["streams"][0]["partitions"] if status == 200 else {}


def all_together(lab, names, seconds=60):
    """Starts what does not run; each must get partitions, and both stores become and stay fresh."""
    for name in names:
        if not lab.instance(name).runs():
            lab.instance(name).start()
    wait_for(f"each of {', '.join(names)} has partitions", lambda: all(reads(lab, name) for name in names), seconds, every=0.3)
    both = watches(lab)
    lately = lambda: {what: max((age for _, age in watch.samples[-SETTLED:]), default=99.0) for what, watch in both.items()}
    try:
        wait_for("both stores are fresh while several instances share the partitions",
                 lambda: all(len(w.samples) >= SETTLED for w in both.values()) and max(lately().values()) < FRESH, seconds)
        return ", ".join(f"{what} age {age:.2f} s" for what, age in lately().items())
    except Failure as failure:
        owners = {name: sorted(reads(lab, name)) for name in names}
        raise Failure(f"{failure}; ages {lately()}, partitions {owners}") from None
    finally:
        for watch in both.values():
            watch.finish()


def say_goodbye(lab, name, seconds=8):
    """Stops an instance in order; what it read must be taken over soon. Returns the worst age meanwhile."""
    both = watches(lab)
    begun = time.monotonic()
    status = lab.instance(name).leave(30)
    took = time.monotonic() - begun
    wait_for("the hand-over has been watched", lambda: time.monotonic() - begun > took + seconds, took + seconds + 5)
    worst = {what: watch.finish()[2] for what, watch in both.items()}
    if status != 0 or max(worst.values()) > LIMIT:
        raise Failure(f"{name} left with {status} after {took:.1f} s; worst ages {worst}")
    return f"gone in {took:.2f} s, worst ages " + ", ".join(f"{what} {age:.2f} s" for what, age in worst.items())
