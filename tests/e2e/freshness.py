"""How old the newest record is that a store does not have yet, sampled from the outside while something is broken.

A store is as fresh as its worst partition: the age of a partition is the time since the broker had a record that the store still lacks.
Assumes that the broker answers throughout. Promises that a sample that could not be taken counts as one (as old as the last, plus the
time since), never as none.
"""

import bisect
import threading
import time

from procs import memory
from stores import high_watermarks, watcher


def quantile(values, share):
    """The value below which this share of the values lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, int(share * len(ordered) + 0.999999) - 1))] if ordered else 0.0


class Ages:
    """Per partition, when the broker first had which offset."""

    def __init__(self):
        self.partitions = {}

    def saw(self, now, watermarks):
        for partition, high in watermarks.items():
            seen = self.partitions.setdefault(partition, ([], []))
            if not seen[1] or high > seen[1][-1]:
                seen[0].append(now)
                seen[1].append(high)

    def oldest_missing(self, now, offsets):
        """Age of the oldest record that a store with these next offsets lacks, over all partitions; 0 when it has everything."""
        worst = 0.0
        for partition, (times, highs) in self.partitions.items():
            at = bisect.bisect_right(highs, offsets.get(partition, 0))
            if at < len(times):
                worst = max(worst, now - times[at])
        return worst

    def records_missing(self, offsets):
        return sum(highs[-1] - offsets.get(p, 0) for p, (_, highs) in self.partitions.items())


class Watch(threading.Thread):
    """Samples `leg` (anything with `next_offsets`) every quarter of a second, and the memory of one process if `pid()` names it."""

    def __init__(self, bootstrap, leg, pid=lambda: None, every=0.25):
        super().__init__(daemon=True)
        self.leg, self.pid, self.every = leg, pid, every
        self.client, self.bootstrap = watcher(bootstrap), bootstrap
        self.ages, self.samples, self.failures = Ages(), [], 0
        self.peak, self.resident, self.error = 0, [], None
        self._over = threading.Event()

    def run(self):
        offsets = {}
        try:
            while not self._over.wait(self.every):
                now = time.monotonic()
                self.ages.saw(now, high_watermarks(self.bootstrap, self.client))
                try:
                    offsets = self.leg.next_offsets()
                except Exception:  # a store that does not answer is as old as it was, and older
                    self.failures += 1
                self.samples.append((time.monotonic(), self.ages.oldest_missing(time.monotonic(), offsets)))
                resident, anonymous, peak = memory(self.pid())
                self.resident.append((time.monotonic(), resident, anonymous))
                self.peak = max(self.peak, peak)
        except Exception as error:  # shown by finish(): the run must not pass without samples
            self.error = error

    def finish(self):
        """Stops sampling and returns (p50, p99, max) of the ages in seconds."""
        self._over.set()
        self.join(15)
        self.client.close()
        if self.error:
            raise self.error
        ages = [age for _, age in self.samples]
        return quantile(ages, 0.5), quantile(ages, 0.99), max(ages, default=0.0)

    def between(self, begin, end):
        """The ages sampled from `begin` to `end` (monotonic seconds)."""
        return [age for at, age in self.samples if begin <= at <= end]

    def memory_between(self, begin, end):
        """Most that was (resident, anonymous) in any sample from `begin` to `end`."""
        there = [(resident, anonymous) for at, resident, anonymous in self.resident if begin <= at <= end]
        return tuple(max(column) for column in zip(*there)) if there else (0, 0)
