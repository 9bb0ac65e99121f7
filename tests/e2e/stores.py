"""How far each store is, read from the outside: the Delta log's own transactions, PostgreSQL's own offsets, Kafka's watermarks.

Assumes the formats of docs/STORES.md. Promises cheap repeated reads: of the log only what is new since the last one.
"""

import json
import pathlib

import psycopg
from confluent_kafka import Consumer, TopicPartition
from deltalake import DeltaTable

from lab import STREAM, TOPIC


class Bronze:
    """Next offset per partition by the `txn` actions of the Delta log."""

    def __init__(self, lake):
        self.folder = pathlib.Path(lake) / "bronze" / STREAM
        self.version, self.offsets, self.misses = -1, {}, 0

    def next_offsets(self):
        """What bronze has, per partition; {} while there is no table."""
        while True:
            entry = self.folder / "_delta_log" / f"{self.version + 1:020}.json"
            try:
                text = entry.read_text(encoding="utf-8")
            except FileNotFoundError:
                return self._beyond_the_gap()
            for line in text.splitlines():
                self._take(json.loads(line).get("txn"))
            self.version += 1
            self.misses = 0

    def _take(self, txn):
        if txn and txn["appId"].startswith(f"ingest/{TOPIC}#"):
            partition = txn["appId"].rsplit("/", 1)[1]
            if partition.isdigit():
                self.offsets[int(partition)] = max(txn["version"], self.offsets.get(int(partition), 0))

    def _beyond_the_gap(self):
        """Entries may have been cleaned away behind a checkpoint: then newer ones exist. Looked at seldom, a listing is not cheap."""
        self.misses += 1
        if self.misses % 20 == 0:
            names = [p.name for p in (self.folder / "_delta_log").glob("*.json")] if self.folder.exists() else []
            ahead = sorted(int(n.split(".")[0]) for n in names if n.split(".")[0].isdigit() and int(n.split(".")[0]) > self.version)
            if ahead and ahead[0] > self.version + 1:
                self.version = ahead[0] - 1
                return self.next_offsets()
        return dict(self.offsets)

    def rows(self):
        """Rows by the files' statistics: cheap, and only for progress."""
        return DeltaTable(str(self.folder)).count()


class Windows:
    """Next offset per partition by ops.stream_offsets."""

    def __init__(self, url):
        self.url, self.connection = url, None

    def next_offsets(self):
        """What the windows have; raises when PostgreSQL does not answer."""
        try:
            if self.connection is None:
                self.connection = psycopg.connect(self.url, connect_timeout=3, autocommit=True, options="-c statement_timeout=3000")
            rows = self.connection.execute(
                "SELECT kafka_partition, max(next_offset) FROM ops.stream_offsets WHERE stream = %s GROUP BY 1", (STREAM,)).fetchall()
            return dict(rows)
        except psycopg.errors.UndefinedTable:
            return {}
        except psycopg.Error:
            self.close()
            raise

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def watcher(bootstrap):
    """A client for watermarks."""
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "e2e-watch", "enable.auto.commit": False, "socket.timeout.ms": 5000,
                     "allow.auto.create.topics": False, "reconnect.backoff.max.ms": 500, "log_level": 0})


def high_watermarks(bootstrap, client=None):
    """Next offset of every partition of the topic, as the broker says now."""
    own = client or watcher(bootstrap)
    try:
        # Asked each time: that is also how the client learns of a new partition.
        partitions = sorted(own.list_topics(TOPIC, timeout=10).topics[TOPIC].partitions)
        return {p: own.get_watermark_offsets(TopicPartition(TOPIC, p), timeout=5)[1] for p in partitions}
    finally:
        if client is None:
            own.close()
