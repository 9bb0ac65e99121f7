"""A second topic without a line of Rust: `user_events` and `examples/orders.toml` at once, each in tables of its own.

Promises to compare bronze (read by deltalake and DuckDB) and the windows (read by psycopg) with what it sent, sums included, and to audit both.
"""

import json
import pathlib
import random
import shutil
import sys
import time
import uuid
from collections import Counter
from datetime import datetime, timezone

import duckdb
from confluent_kafka import Producer
from deltalake import DeltaTable

from lab import Lab
from procs import Failure, wait_for

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "orders.toml"
ORDERS, BAD, EVENTS = 5000, 50, 5000


def send_orders(bootstrap, now):
    """Sends orders of the last two hours and some that break the declaration; returns revenue and counts as they must come out."""
    dice, revenue, placed = random.Random(7), Counter(), Counter()
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for n in range(ORDERS):
        at = now - dice.randrange(7200)
        status = dice.choice(["placed", "paid", "shipped", "returned"])
        currency = dice.choice(["EUR", "USD", "CHF"])
        # One amount that no 64-bit sum of two would hold.
        cents = 2**62 if n % 1000 == 0 else dice.randrange(-500, 100_000)
        order = {"change_id": str(uuid.UUID(int=dice.getrandbits(128))), "order_id": f"o-{n}", "customerId": 1 + n % 90, "status": status,
                 "currency": currency, "amount_cents": cents, "gift": n % 2 == 0,
                 "at": datetime.fromtimestamp(at, timezone.utc).isoformat()}
        producer.produce("orders", json.dumps(order), key=order["order_id"])
        if status == "paid":
            revenue[at // 60 * 60, currency] += cents
        placed[at // 3600 * 3600, status] += 1
    for n in range(BAD):
        producer.produce("orders", json.dumps({"change_id": f"bad-{n}", "status": "lost in the post"}))
    if producer.flush(60):
        raise Failure("Kafka did not take all orders")
    return revenue, placed


def stored(lab, table, group, value):
    """A window table as {(start, group): value}."""
    with lab.postgres.connect() as connection:
        rows = connection.execute(f'SELECT extract(epoch FROM window_start)::bigint, "{group}", "{value}" FROM realtime."{table}"').fetchall()
    return {(start, key): int(amount) for start, key, amount in rows}


def compare(name, truth, found):
    """Fails with the first differences."""
    wrong = [(key, truth.get(key), found.get(key)) for key in sorted(set(truth) | set(found)) if truth.get(key) != found.get(key)]
    if wrong:
        raise Failure(f"{name}: {len(wrong)} rows differ (key, sent, stored): {wrong[:5]}")


def main():
    with Lab("streams") as lab:
        streams = lab.dir / "streams"
        streams.mkdir()
        shutil.copy(EXAMPLE, streams)
        proc = lab.instance("streams")
        proc.command += ["--streams", str(streams)]
        proc.start()
        lab.wait_ready("streams")
        revenue, placed = send_orders(lab.kafka, int(time.time()) - 1)
        lab.generate(EVENTS, 7, 2500)
        lab.wait_generated(120)
        place = lab.lake / "bronze"

        def landed():
            return all((place / name / "_delta_log").exists() and DeltaTable(str(place / name)).count() >= rows
                       for name, rows in (("orders", ORDERS + BAD), ("user_events", EVENTS)))

        wait_for("both tables have their rows", landed, 120, every=0.3)
        status, out, error = lab.run("audit", "--drained", "--wait", "60s", "--streams", str(streams))
        if status != 0:
            raise Failure(f"the audit fails:\n{out}{error}")
        files = DeltaTable(str(place / "orders")).file_uris()
        states = dict(duckdb.execute("SELECT status, count(*) FROM read_parquet(?) GROUP BY 1", [files]).fetchall())
        if states != {"ok": ORDERS, "invalid": BAD}:
            raise Failure(f"bronze/orders has {states}")
        compare("realtime.revenue_per_minute", revenue, stored(lab, "revenue_per_minute", "currency", "revenue_cents"))
        compare("realtime.orders_per_hour", placed, stored(lab, "orders_per_hour", "order_status", "order_count"))
    print(f"two streams: orders rows={ORDERS + BAD} sums right, user_events rows={EVENTS} · missing=0 mismatched=0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
