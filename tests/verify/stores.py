"""Reading the three stores: Kafka's topic and the lake into DuckDB tables of the same columns, PostgreSQL's windows into dictionaries.

Assumes that nobody writes to the topic meanwhile. Promises to read every record between the watermarks once.
"""

import csv
import hashlib
import os
import tempfile
import time
from datetime import timezone

from confluent_kafka import Consumer, TopicPartition
from deltalake import DeltaTable

import rules

TYPES = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "timestamp": "BIGINT"}
PLACE = {"kafka_partition": "INTEGER", "kafka_offset": "BIGINT", "record_us": "BIGINT", "event_date": "INTEGER",
         "status": "VARCHAR", "reason": "VARCHAR", "raw": "VARCHAR"}


def columns(stream):
    """Names and types: where it is, what became of it, its values (timestamps in microseconds, days since 1970, raw as a digest)."""
    return PLACE | {column: TYPES[field["type"]] for column, field in zip(stream.columns, stream.fields)}


def read_topic(db, stream, bootstrap, topic, log):
    """Fills the table `topic`; says where each partition begins and ends."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "verify", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "fetch.message.max.bytes": 20_000_000, "enable.partition.eof": True})
    metadata = consumer.list_topics(topic, timeout=10).topics.get(topic)
    if metadata is None or metadata.error:
        raise SystemExit(f"no topic {topic} at {bootstrap}")
    bounds = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10) for p in metadata.partitions}
    todo = {p for p, (low, high) in bounds.items() if low < high}
    path = os.path.join(tempfile.mkdtemp(prefix="verify-"), "topic.csv")
    count, started = 0, time.monotonic()
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        consumer.assign([TopicPartition(topic, p, low) for p, (low, _) in bounds.items()])
        while todo:
            batch = consumer.consume(10_000, timeout=10)
            if not batch:
                raise SystemExit(f"partitions {sorted(todo)} of {topic} give nothing although they are not read to their end")
            for message in batch:
                if message.error():
                    todo.discard(message.partition())  # the end of a partition; anything else shows in the count
                    continue
                partition, offset = message.partition(), message.offset()
                if offset >= bounds[partition][1]:
                    continue
                writer.writerow(row(stream, partition, offset, message.timestamp()[1] * 1000, message.value()))
                count += 1
                if offset + 1 >= bounds[partition][1]:
                    todo.discard(partition)
    consumer.close()
    types = ", ".join(f"'{name}': '{kind}'" for name, kind in columns(stream).items())
    db.execute(f"CREATE TABLE topic AS SELECT * FROM read_csv('{path}', header=false, auto_detect=false, delim=',', quote='\"', "
               f"escape='\"', nullstr='\\N', parallel=false, max_line_size=4000000, columns={{{types}}})")
    os.remove(path)
    os.rmdir(os.path.dirname(path))
    held = db.execute("SELECT count(*) FROM topic").fetchone()[0]
    if held != count:
        raise SystemExit(f"{held} rows of {count} records: the verification itself is broken")
    log(f"topic: {count} records of {len(bounds)} partitions in {time.monotonic() - started:.0f} s")
    return bounds


def row(stream, partition, offset, record_us, payload):
    status, reason, values, day_us = stream.judge(payload, record_us)
    day = (record_us if day_us is None else day_us) // rules.DAY_US
    raw = "\\N" if status == "ok" or payload is None else digest(payload)
    values = values or [None] * len(stream.fields)
    return [partition, offset, record_us, day, status, reason or "\\N", raw, *("\\N" if v is None else v for v in values)]


def digest(payload):
    return hashlib.md5(payload).hexdigest()


def lake_table(db, name, path, stream, incarnation=True):
    """Makes the view `name` over a Delta table, in the shape of the table `topic`. False: there is no such table."""
    if not DeltaTable.is_deltatable(path):
        return False
    files = [uri.removeprefix("file://") for uri in DeltaTable(path).file_uris()]
    if not files:
        return False
    db.execute(f"CREATE OR REPLACE TABLE {name}_files AS SELECT unnest(?) AS file", [files])
    db.execute(f"SET VARIABLE {name}_files = (SELECT list(file) FROM {name}_files)")
    shown = [f"epoch_us({column}) AS {column}" if field["type"] == "timestamp" else f"{column}::{TYPES[field['type']]} AS {column}"
             for column, field in zip(stream.columns, stream.fields)]
    values = ", ".join(shown if not incarnation else [f"CASE WHEN status = 'ok' THEN {text.rsplit(' AS ', 1)[0]} END AS {column}"
                                                      for text, column in zip(shown, stream.columns)])
    place = ("kafka_partition::INTEGER AS kafka_partition, kafka_offset::BIGINT AS kafka_offset, "
             "epoch_us(ingestion_timestamp) AS record_us, datediff('day', DATE '1970-01-01', event_date::DATE)::INTEGER AS event_date, "
             "status::VARCHAR AS status, split_part(error, ':', 1) AS reason, md5(raw) AS raw, topic_incarnation, "
             if incarnation else "")
    db.execute(f"CREATE OR REPLACE VIEW {name} AS SELECT {place}{values} "
               f"FROM read_parquet(getvariable('{name}_files'), hive_partitioning=true, hive_types_autocast=false, union_by_name=true)")
    return True


def read_windows(connection, window, stream):
    """{(start in microseconds, end, group values…): value} of one window table."""
    groups = [stream.column[name] for name in window.get("group_by", [])]
    value = window.get("count") or window["sum"]["column"]
    names = ", ".join(f'"{name}"' for name in ["window_start", "window_end", *groups, value])
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT {names} FROM realtime."{window["table"]}"')
        return {(us(start), us(end), *rest[:-1]): int(rest[-1]) for start, end, *rest in cursor}


def us(moment):
    return int(moment.astimezone(timezone.utc).timestamp()) * 1_000_000 + moment.microsecond
