"""What the health dashboard says of a period against what `tributary audit` counts from the stores.

Assumes one process of the pipeline that ran all the time (checked), and that its generator may be stopped for good. Promises that numbers
are read where the dashboard reads them: panels are asked as Grafana asks them; of a panel that shows a rate, its own expression without
the rate is the sum since the start. What the panel of records draws is added up, too.
"""

import json
import re
import time

import psycopg

import panels
from frames import Sql
from lab import STREAM
from procs import Failure, wait_for
from verdict import drain

HEALTH, JOB = "tributary-health", "lakehouse_bronze_to_gold"
# A rate goes by whole scrapes, and Prometheus takes less of a counter that begins at 0: the area below a curve is about right in the long
# run, and would not be for a burst.
DRAWN = 0.02
COUNTED = re.compile(r"\b(?:rate|increase)\(([^()\[\]]+)\[[^\]]+\]\)")


class Dashboard:
    """The health dashboard as it would be looked at now."""

    def __init__(self, lab, server):
        self.sql, self.server = Sql(f"postgres://grafana@127.0.0.1:{lab.postgres.port}/serving"), server
        self.tree = next(d for d in panels.dashboards() if d["uid"] == HEALTH)
        self.panels = {p.json["title"]: p for p in panels.panels(self.tree)}

    def grafana(self, start=None, end=None):
        shown = panels.Grafana(self.sql, self.server.api)
        if start:
            shown.ranges[HEALTH] = tuple(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (start, end))
        return shown

    def series(self, title, start=None, end=None, **more):
        """name -> values of a panel, over a time or as it stands."""
        answer = self.grafana(start, end).answer(self.panels[title])
        if [p for p in answer.problems if "empty" not in p]:
            raise Failure(f"{title}: {answer.problems}")
        return {f.name: [v for v in f.values if v is not None] for frame in answer.frames for f in frame.of("number")}

    def now(self, title):
        """Last value of each series of a panel: what a stat and a legend show."""
        return {name: values[-1] for name, values in self.series(title, time.time() - 60, time.time()).items() if values}

    def one(self, title):
        """The value of a panel with one."""
        values = list(self.now(title).values())
        return values[0] if values else None

    def totals(self, title, ref, label):
        """Value of `label` -> sum since the start of what the target shows the rate of."""
        target = next(t for t in self.panels[title].targets if t["refId"] == ref)
        expression, found = COUNTED.subn(r"\1", target["expr"])
        if not found:
            raise Failure(f"{title} {ref} shows no rate: {target['expr']}")
        shown = self.grafana()
        expression = shown.scope(self.tree, variables=shown.variables(self.tree)).promql(expression)
        return labelled(self.server, expression, label)

    def drawn(self, title, start, end):
        """Series -> area below its curve."""
        shown = self.grafana(start, end)
        step = shown.scope(self.tree, self.panels[title].json).interval
        return {name: sum(values) * step for name, values in self.series(title, start, end).items()}


def labelled(server, expression, label):
    """Value of `label` -> value, now."""
    return {one["metric"].get(label, ""): float(one["value"][1]) for one in server.api.get("/api/v1/query", query=expression)["result"]}


def windows(lab):
    """Table -> events that its rows add up to."""
    columns = {"events_per_minute": "event_count", "logins_per_source": "login_count", "purchases_per_minute": "purchase_count"}
    with psycopg.connect(lab.postgres.url, connect_timeout=5) as connection:
        return {table: int(connection.execute(f"SELECT coalesce(sum({column}), 0) FROM realtime.{table}").fetchone()[0])
                for table, column in columns.items()}


def settle(lab, server, producer):
    """No more events; everything that is there is in every store, and Prometheus knows."""
    lab.instances[producer].leave()
    drain(lab, 120)
    status, out, err = lab.run("run", JOB, seconds=300)
    if status:
        raise Failure(f"run {JOB}: exit {status}\n{out}{err}")
    settled = time.time()
    lab.say("drained, and the last run has ended")
    # Windows and bronze are compared once a minute.
    server.wait("windows and bronze are compared once more", f"min(tributary_drift_checked_timestamp_seconds) > {settled:.3f}", 150)
    server.wait("everything is scraped once more", f"min(timestamp(tributary_build_info)) > {settled:.3f}", 60)


def audited(lab):
    """The audit's report."""
    status, out, err = lab.run("audit", "--drained", "--current", "--require-broker", "--no-holes", "--wait", "60s", "--json", seconds=600)
    report = json.loads(out)
    if status or not report["ok"]:
        raise Failure(f"audit: exit {status}\n{out}\n{err}")
    return next(s for s in report["streams"] if s["stream"] == STREAM), report["batch"]


def rows(lab, dashboard, server, period, truth, fired, audit):
    """(what, dashboard's number, the stores' number, allowed difference) of everything that is compared."""
    stream, batch = audit
    bronze, parts = stream["bronze"], stream["partitions"]
    bad = {status: n for status, n in bronze["statuses"].items() if status != "ok"}
    reached = {leg: sum(p[leg]["next"] - (p["bronze"]["first"] or 0) for p in parts) for leg in ("bronze", "serving")}
    per_leg = dashboard.totals("Records per second by step", "B", "leg")
    rejected = dashboard.totals("Rejected records by status", "A", "status")
    silver, took = batch["silver"][0], dashboard.totals("Silver: what came of the rows in 1 h", "A", "outcome")

    yield "Records per second by step, bronze", per_leg.get("bronze"), bronze["rows"], 0
    yield "Records per second by step, serving", per_leg.get("serving"), reached["serving"], 0
    drawn = dashboard.drawn("Records per second by step", period[0], time.time())
    for leg in ("bronze", "serving"):
        yield f"  the area below that curve, {leg}", round(drawn.get(leg, 0)), reached[leg], DRAWN
    for status in sorted({*bad, *(s for s, n in rejected.items() if n and s != "none")}):
        yield f"Rejected records by status, {status}", rejected.get(status, 0), bad.get(status, 0), 0
    sent = {status: n for status, n in truth["records"]["statuses"].items() if status != "ok"}
    yield "  all of them, as the sender says", sum(rejected.values()), sum(sent.values()), 0
    yield "Lag", dashboard.one("Lag"), sum(p[leg]["lag"] for p in parts for leg in ("bronze", "serving")), 0
    shown = dashboard.now("Lag in records")
    for leg, p in ((leg, p) for leg in ("bronze", "serving") for p in parts):
        yield f"Lag in records, {leg} {p['partition']}", shown.get(f"{leg} {p['partition']} of {STREAM}"), p[leg]["lag"], 0
    yield "Drift", dashboard.one("Drift"), sum(abs(t["drift"]) for t in stream["serving"]["tables"]), 0
    yield "Lost records", dashboard.one("Lost records"), bronze["lost"], 0
    yield "Blocked partitions (findings)", dashboard.one("Blocked partitions"), len(stream["findings"]), 0
    for table, events in windows(lab).items():
        yield f"tributary_window_events_total, {table}", labelled(server, "tributary_window_events_total", "table").get(table), events, 0
    for leg in ("bronze", "serving"):
        shown = labelled(server, f'tributary_next_offset{{leg="{leg}"}}', "partition")
        yield f"tributary_next_offset, {leg}", sum(shown.values()), sum(p[leg]["next"] for p in parts), 0
    shown = labelled(server, "tributary_high_watermark_offset", "partition")
    yield "tributary_high_watermark_offset", sum(shown.values()), sum(p["broker"]["high"] for p in parts), 0
    for outcome, number in (("new", silver["rows"]), ("duplicate", silver["duplicates"]), ("rejected", sum(bad.values())), ("conflict", 0)):
        yield f"Silver: what came of the rows in 1 h, {outcome}", took.get(outcome), number, 0
    shown = labelled(server, "tributary_delta_rows", "table")
    for table, number in [(f"bronze.{STREAM}", bronze["rows"]), *((t["table"], t["rows"]) for t in batch["silver"] + batch["gold"])]:
        yield f"tributary_delta_rows, {table}", shown.get(table), number, 0
    yield f"Files, bronze.{STREAM}", dashboard.now("Files").get(f"bronze.{STREAM}"), bronze["files"], 0
    yield f"Size, bronze.{STREAM}", dashboard.now("Size").get(f"bronze.{STREAM}"), bronze["bytes"], 0

    # What was done to it, seen on the dashboard over the period.
    shown = dashboard.series("Alerts", *period)
    yield "Alerts: those that fired, on the timeline", len(set(shown) & set(fired)), len(fired), 0
    yield "Alerts: others, but the watchdog", len(set(shown) - {*fired, "TributaryWatchdog"}), 0, 0
    shown = dashboard.series("Connections and legs", *period)
    for name, least in ((f"Kafka of {STREAM}", 0), (f"serving of {STREAM}", 0), (f"bronze of {STREAM}", 1)):
        yield f"Connections and legs: lowest of {name}", min(shown.get(name, [-1])), least, 0


def compare(lab, server, producer, period, truth, fired):
    """Stops the generator, waits for the end, compares; prints a table. Returns (last line's part, what is wrong)."""
    settle(lab, server, producer)
    if (server.value(f'max(changes(process_start_time_seconds{{service="tributary"}}[{int(time.time() - period[0])}s]))') or 0) != 0:
        raise Failure("the pipeline's process was started again meanwhile; its counters begin anew")
    audit, dashboard = audited(lab), Dashboard(lab, server)
    found = []

    def agree():
        found[:] = rows(lab, dashboard, server, period, truth, fired, audit)
        return not differing(found)

    try:
        # Some gauges are shown every few seconds.
        wait_for("the dashboard says what the audit says", agree, 30, every=5)
    except Failure:
        pass  # the table says it better
    finally:
        dashboard.sql.close()
    print("\n| panel or metric | dashboard | audit | |\n|---|---|---|---|")
    wrong = differing(found)
    for row in found:
        what, shown, counted, allowed = row
        print(f"| {what} | {text(shown)} | {text(counted)} | {'DIFFERS' if row in wrong else f'within {allowed:.0%}' if allowed else ''} |")
    said = [f"{what}: {text(shown)} on the dashboard, {text(counted)} counted" for what, shown, counted, _allowed in wrong]
    return f"numbers {len(found)} match {len(found) - len(wrong)}", said


def differing(found):
    return [(what, shown, counted, allowed) for what, shown, counted, allowed in found
            if shown is None or abs(shown - counted) > allowed * abs(counted)]


def text(number):
    return "nothing" if number is None else f"{number:,.0f}" if float(number).is_integer() else f"{number:,.3f}"
