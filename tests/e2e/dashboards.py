#!/usr/bin/env python3
"""Every dashboard on a running platform: Kafka, PostgreSQL, the program, its generator, a real Prometheus; every panel asked and judged.

    dashboards.py [--days 14] [--quiet]                            a minute or two, for the tests
    dashboards.py --draw FOLDER [--scrapes 40] [--last 5m]         longer, so that there is something to see; a picture of each dashboard

First on empty tables (migrations alone: no query may fail), then while events flow, with bad and late records among them. Promises that a
panel without an answer, a slow one, a value out of its range, a metric outside the registry and one that `promtool` objects to each turn
it red.
"""

import argparse
import copy
import json
import pathlib
import random
import time
import uuid
from datetime import datetime, timedelta, timezone

import psycopg
from confluent_kafka import Producer

import panels
import registry
from frames import Sql
from lab import TOPIC, Lab
from procs import Failure, conclude, wait_for
from prometheus import Server, check_metrics

# Its own range is an hour, of which a run here fills a small part.
HEALTH = "tributary-health"
JOBS = ("lakehouse_bronze_to_gold", "lakehouse_maintenance")


def bad_and_late(bootstrap, count=40):
    """Sends records that are no events, and events that are an hour late, so that the panels about them have something to show."""
    producer, now = Producer({"bootstrap.servers": bootstrap, "log_level": 0}), datetime.now(timezone.utc)
    for at in range(count):
        event = {"event_id": str(uuid.UUID(int=random.getrandbits(128))), "user_id": at + 1, "event_type": "purchase", "page": "/cart",
                 "timestamp": (now - timedelta(hours=1)).isoformat(), "source": "web"}
        wrong = [b"{not json", json.dumps({**event, "event_type": "shout"}).encode(), json.dumps({**event, "user_id": 0}).encode(), None]
        producer.produce(TOPIC, key=str(at), value=json.dumps(event).encode() if at % 2 else wrong[at // 2 % len(wrong)])
    if producer.flush(30):
        raise Failure("Kafka does not take records")


def run_job(lab, job):
    """Runs a job now, as a person does it, and waits for its end."""
    status, out, err = lab.run("run", job, seconds=180)
    if status:
        raise Failure(f"run {job}: exit {status}\n{out}{err}")


def whole_minute(url):
    """Whether the windows have a minute that is over and that the panels may show."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute("SELECT count(*) > 0 FROM realtime.purchases_per_minute WHERE window_end < now() - interval '5 seconds' "
                                  "AND window_start > now() - interval '20 minutes'").fetchone()[0]


def read_only(url):
    """The dashboards' role may look and nothing else."""
    for statement in ("CREATE TABLE public.x (a int)", "DELETE FROM realtime.events_per_minute", "UPDATE gold.daily_active_users SET dau_count = 0"):
        with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
            try:
                connection.execute(statement)
            except psycopg.errors.InsufficientPrivilege:
                continue
        raise Failure(f"role grafana may: {statement}")


def empty_tables(lab, url):
    """Every SQL panel on tables that have no row yet; a query that fails there fails on the first day of an installation."""
    grafana = panels.Grafana(Sql(url))
    found = [p for dashboard in panels.dashboards() for p in panels.panels(dashboard)]
    answers = [grafana.answer(p) for p in found if any("rawSql" in t for t in p.targets)]
    problems = [f"{a.panel.json['title']}: {p}" for a in answers for p in a.problems]
    problems += [p for dashboard in panels.dashboards() for p in grafana.annotations(dashboard)]
    grafana.sql.close()
    if problems:
        raise Failure("on empty tables:\n" + "\n".join(problems))
    lab.say(f"{len(answers)} panels asked on empty tables, none fails")


def fill(lab, server, days, scrapes):
    """History, live traffic, bad records, two runs of each job, and as many scrapes as rates need."""
    flaws = ("--malformed", "1%", "--late", "2%", "--duplicate", "1%")
    for seed, (count, span) in enumerate(((600 * days, f"{days}d"), (36_000, "30m")), 7):
        lab.generate(count, seed, 8000, span=span, flaws=flaws)
        lab.wait_generated(120)
    lab.instance("producer", roles="generator").start()
    server.start()
    wait_for("gold has the days", lambda: run_job(lab, JOBS[0]) or lab.postgres.connect().execute(
        "SELECT count(*) >= %s FROM gold.conversion_rate_daily", (days,)).fetchone()[0], 120, every=1)
    server.wait_scraped()
    lab.say("history is there, Prometheus scrapes")
    # A rate needs two looks at a counter; of what happens rarely, the second must happen between them.
    bad_and_late(lab.kafka)
    for job in JOBS:
        run_job(lab, job)
    happened = time.time()
    wait_for("a whole minute is in the windows", lambda: whole_minute(lab.postgres.url), 120, every=0.5)
    server.wait_scraped(scrapes, 60 + 6 * scrapes)
    server.wait_minute(happened)
    server.wait_rules()


def complaints(line):
    """Prints a line of panels.run only when a panel is not well."""
    if line.startswith("    ") and not line.startswith("    ok "):
        print(line)


def notices(grafana, answers):
    """Breaks panels on purpose, in memory: each must turn red, or the judge is asleep."""

    def broken(title, change):
        good = next(a for a in answers if a.panel.json["title"] == title)
        panel = copy.deepcopy(good.panel)
        for target in panel.targets:
            change(panel.json, target)
        if good.ok and grafana.answer(panel).ok:
            raise Failure(f"{title} was broken on purpose ({change.__name__}), and nobody noticed")

    def a_column_that_is_not_there(_panel, target):
        target["rawSql"] = target["rawSql"].replace("dau_count", "dau_counts")

    def a_time_by_another_name(_panel, target):
        target["rawSql"] = target["rawSql"].replace("AS time", "AS at")

    def a_percentage_of_percent(_panel, target):
        target["rawSql"] = target["rawSql"].replace("100 * conversion_rate", "10000 * conversion_rate")

    def a_metric_by_another_name(_panel, target):
        target["expr"] = target["expr"].replace("tributary_lag_records", "tributary_lag_record")

    def a_table_that_grafana_may_not_read(_panel, target):
        target["rawSql"] = "SELECT rolname, 1 AS value FROM pg_authid"

    broken("Daily active users", a_column_that_is_not_there)
    broken("Daily active users", a_time_by_another_name)
    broken("Conversion rate", a_percentage_of_percent)
    broken("Lag", a_metric_by_another_name)
    broken("Top 10 pages by purchases", a_table_that_grafana_may_not_read)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", type=pathlib.Path, help="folder for a picture of each dashboard, drawn from the answers")
    parser.add_argument("--days", type=int, default=14, help="days of history")
    parser.add_argument("--scrapes", type=int, help="how often Prometheus must have scraped before the panels are asked")
    parser.add_argument("--last", help="time range of the dashboards about the pipeline, such as 5m; without it their own")
    parser.add_argument("--quiet", action="store_true", help="say nothing of panels that are well")
    args = parser.parse_args()
    begun = time.monotonic()
    with Lab("dashboards", settings=["generator.events_per_second=20"]) as lab:
        lab.instance("tributary", roles="bronze,serving,batch").start()
        lab.instance("producer", roles="generator")
        lab.wait_ready("tributary")
        url = f"postgres://grafana@127.0.0.1:{lab.postgres.port}/serving"
        read_only(url)
        empty_tables(lab, url)
        at = {f"{name}:8082": f"127.0.0.1:{proc.http}" for name, proc in lab.instances.items()}
        server = Server(lab.dir / "prometheus", at)
        try:
            fill(lab, server, args.days, args.scrapes or (40 if args.draw else 6))
            grafana = panels.Grafana(Sql(url), server.api)
            if args.last or args.draw:
                grafana.ranges[HEALTH] = (f"now-{args.last or '5m'}", "now")
            answers, problems = panels.run(grafana, panels.dashboards(), say=complaints if args.quiet else print)
            problems += server.unhealthy()
            notices(grafana, answers)
            pages = [lab.get(name, "/metrics", 10)[1] for name in lab.instances]
            problems += registry.compare(pages) + [f"promtool: {p}" for p in map(check_metrics, pages) if p]
            if args.draw:
                import draw

                for picture in draw.draw_all(answers, grafana, args.draw):
                    print(picture)
            grafana.sql.close()
        finally:
            server.stop()
        for problem in problems:
            print(f"BAD   {problem}")
        line, well = panels.verdict(answers, problems)
        print(f"{line} · {time.monotonic() - begun:.0f} s", flush=True)
        if not well:
            raise Failure("not every panel answers as it should")


if __name__ == "__main__":
    conclude(main)
