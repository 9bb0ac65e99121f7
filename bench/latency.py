"""How long an event takes from Kafka's record time to both stores at 1,000 a second, event by event; and what waiting costs.

The stores are watched from outside: the offsets in PostgreSQL and the transactions in Delta's log, with the time at which each was first
seen, against the record times of the topic itself.
"""

import bisect
import threading
import time

from confluent_kafka import Consumer, TopicPartition

from drain import cpu_seconds
from freshness import quantile
from lab import TOPIC, Lab
from procs import Failure, free_port
from stores import Bronze, Windows, high_watermarks, watcher

FLOORS = {"serving": 1.5, "bronze": 2.5}
IDLE_FLOOR = 0.02


class Seen(threading.Thread):
    """First sight of each store's next offsets, every 10 ms."""

    def __init__(self, leg):
        super().__init__(daemon=True)
        self.leg, self.partitions, self.over, self.error = leg, {}, threading.Event(), None

    def run(self):
        try:
            while not self.over.wait(0.01):
                now = None
                for partition, offset in self.leg.next_offsets().items():
                    now = now or time.time()
                    offsets, times = self.partitions.setdefault(partition, ([], []))
                    if not offsets or offset > offsets[-1]:
                        offsets.append(offset)
                        times.append(now)
        except Exception as error:  # told by the reader of the result
            self.error = error

    def age(self, partition, offset, born):
        """Seconds from birth to first sight of a record; none when it was never seen."""
        offsets, times = self.partitions.get(partition, ([], []))
        at = bisect.bisect_right(offsets, offset)
        return times[at] - born if at < len(times) else None


def records(bootstrap):
    """(partition, offset, record time) of the whole topic."""
    client = watcher(bootstrap)
    ends = high_watermarks(bootstrap, client)
    client.close()
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in ends])
    left, found = sum(ends.values()), []
    while left > 0:
        batch = consumer.consume(10_000, 5)
        if not batch:
            raise Failure("the topic cannot be read back")
        for message in batch:
            found.append((message.partition(), message.offset(), message.timestamp()[1] / 1000))
        left -= len(batch)
    consumer.close()
    return found


def run(options):
    """p50 and p99 per leg over all events of the run, its first five seconds left out."""
    with Lab("latency") as lab:
        lab.instance("latency").start()
        lab.wait_ready("latency")
        seen = {"bronze": Seen(Bronze(lab.lake)), "serving": Seen(Windows(lab.postgres.url))}
        lab.generate(1000 * options.seconds, 7, 1000, span="1m", flaws=())
        for leg in seen.values():
            leg.start()
        lab.wait_generated(options.seconds * 3 + 60)
        status, out, error = lab.run("audit", "--drained", "--wait", "30s")
        if status != 0:
            raise Failure(f"the audit of the bench's own tables fails; no figure is printed.\n{out[-3000:]}{error[-1000:]}")
        time.sleep(0.2)  # one more look at the stores
        for leg in seen.values():
            leg.over.set()
            leg.join(10)
            if leg.error:
                raise Failure(f"a store could not be watched: {leg.error}")
        all_records = records(lab.kafka)
    first = min(born for _, _, born in all_records) + 5
    figures, lines = {}, []
    for name, leg in seen.items():
        ages = [leg.age(p, o, born) for p, o, born in all_records if born >= first]
        if None in ages:
            raise Failure(f"{ages.count(None)} records were never seen in {name}")
        p50, p99 = quantile(ages, 0.5), quantile(ages, 0.99)
        figures[name] = {"p50": p50, "p99": p99, "max": max(ages), "events": len(ages)}
        lines.append((f"latency at 1,000/s: {name} p50 {p50:.2f} s, p99 {p99:.2f} s (floor {FLOORS[name]})", p99 <= FLOORS[name]))
    return figures, lines


def idle(options):
    """CPU of an `up` with nothing to do: pipeline and embedded broker in one process."""
    with Lab("idle") as lab:
        proc = lab.instance("idle")
        proc.command += ["--no-generator", "--set", f"kafka.embedded_port={free_port()}"]
        proc.env.pop("KAFKA_BOOTSTRAP_SERVERS")  # so that the broker is embedded, in the same process
        proc.start()
        lab.wait_ready("idle")
        time.sleep(3)  # what starting left behind
        begun, cpu = time.monotonic(), cpu_seconds(proc.pid)
        time.sleep(min(options.seconds, 30))
        share = (cpu_seconds(proc.pid) - cpu) / (time.monotonic() - begun)
    return {"share": share}, [(f"idle: {share * 100:.1f} % of a core (floor {IDLE_FLOOR * 100:.0f} %)", share <= IDLE_FLOOR)]
