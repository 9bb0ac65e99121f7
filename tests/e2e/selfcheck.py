#!/usr/bin/env python3
"""The judges judged: stores that are wrong in one place must be called wrong, or a clean verdict means nothing.

Fills both stores with a small run, then miscounts one window, and removes one row of bronze: each must be found.
"""

import contextlib
import io

from deltalake import DeltaTable

from lab import STREAM, Lab
from procs import Failure, conclude, wait_for
from verdict import drain, judge


def verdict(lab):
    """(missing, extra, mismatched, well), without what the judges print."""
    with contextlib.redirect_stdout(io.StringIO()):
        return judge(lab)


def expect(what, found, wanted):
    if found != wanted:
        raise Failure(f"{what}: the verdict is {found} instead of {wanted}")


def main():
    with Lab("selfcheck") as lab:
        lab.generate(20_000, 7, 20_000)
        lab.instance("a").start()
        lab.wait_generated(60)
        wait_for("the topic is there", lambda: lab.partitions() > 0, 30)
        drain(lab, 60)
        lab.instance("a").leave()
        expect("as it is", verdict(lab), (0, 0, 0, True))
        with lab.postgres.connect() as connection:
            place = "ctid = (SELECT min(ctid) FROM realtime.events_per_minute)"
            connection.execute(f"UPDATE realtime.events_per_minute SET event_count = event_count + 1 WHERE {place}")
            expect("a window counts one too many", verdict(lab), (0, 0, 1, False))
            connection.execute("TRUNCATE realtime.logins_per_source")
            if verdict(lab)[2] <= 1:
                raise Failure("a window table is empty, and nobody says so")
        DeltaTable(str(lab.lake / "bronze" / STREAM)).delete("kafka_partition = 0 AND kafka_offset = 3")
        missing, extra, _, well = verdict(lab)
        expect("a row of bronze is gone", (missing, extra, well), (1, 0, False))
        print("selfcheck: a wrong window, an empty table and a missing row were found")


if __name__ == "__main__":
    conclude(main)
