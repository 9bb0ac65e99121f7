"""Asks PostgreSQL and Prometheus as Grafana's data sources do, and gives the answers their form: frames of named, typed columns.

Assumes PostgreSQL's role `grafana` (or whoever the URL names) and Prometheus's HTTP API. Promises that nothing is written: the session is
read-only; and that what Grafana would refuse (a time series without a column `time`, or out of order) is refused here with its words.
"""

import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal

import psycopg

from procs import Failure

TIMES = {"timestamptz", "timestamp", "date"}
NUMBERS = {"int2", "int4", "int8", "float4", "float8", "numeric", "oid", "money"}


@dataclass
class Field:
    """One column. `kind`: time (epoch seconds), number, bool, text."""

    name: str
    kind: str
    values: list
    labels: dict = field(default_factory=dict)


@dataclass
class Frame:
    """One answer of one target; a series, or a table."""

    ref: str
    fields: list

    @property
    def rows(self):
        return len(self.fields[0].values) if self.fields else 0

    def of(self, kind):
        return [f for f in self.fields if f.kind == kind]


class Refused(Failure):
    """The source, or Grafana's reading of its answer, says no."""


class Sql:
    """PostgreSQL as the dashboards' role."""

    def __init__(self, url):
        self.url, self.connection = url, None

    def ask(self, ref, statement, form):
        """(frames, seconds) of one statement."""
        if self.connection is None or self.connection.closed:
            self.connection = psycopg.connect(self.url, connect_timeout=5, autocommit=True, prepare_threshold=None,
                                              options="-c default_transaction_read_only=on -c statement_timeout=20000 -c timezone=UTC")
        began = time.perf_counter()
        try:
            with self.connection.cursor() as cursor:
                cursor.execute(statement.encode())
                rows = cursor.fetchall()
                columns = [(c.name, self.connection.adapters.types.get(c.type_code)) for c in cursor.description]
        except psycopg.Error as error:
            raise Refused(str(error).strip()) from None
        took = time.perf_counter() - began
        fields = [_column(name, kind.name if kind else "text", [row[at] for row in rows]) for at, (name, kind) in enumerate(columns)]
        names = [name for name, _kind in columns]
        if len(set(names)) != len(names):
            raise Refused(f"two columns have one name: {names}")
        return ([_wide(ref, fields)] if form == "time_series" else [Frame(ref, fields)]), took

    def close(self):
        if self.connection is not None:
            self.connection.close()


def _column(name, kind, values):
    if kind in TIMES:
        return Field(name, "time", [None if v is None else _epoch(v) for v in values])
    if kind in NUMBERS:
        numbers = [None if v is None else _number(v) for v in values]
        # A number in the column `time` is an epoch, in seconds or in milliseconds.
        if name == "time":
            return Field(name, "time", [v if v is None or v < 1e11 else v / 1000 for v in numbers])
        return Field(name, "number", numbers)
    if kind == "bool":
        return Field(name, "bool", values)
    return Field(name, "text", [None if v is None else str(v) for v in values])


def _epoch(value):
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()
    return datetime(value.year, value.month, value.day, tzinfo=timezone.utc).timestamp() if isinstance(value, date) else value


def _number(value):
    value = float(value) if isinstance(value, (Decimal, str)) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def _wide(ref, fields):
    """From rows with text columns to one column per combination of texts: what Grafana does for format `time_series`."""
    clock = next((f for f in fields if f.name == "time"), None)
    if clock is None or clock.kind != "time":
        raise Refused("db has no time column: no time column found")
    if any(at is None for at in clock.values):
        raise Refused("the column time has a null")
    if any(b < a for a, b in zip(clock.values, clock.values[1:])):
        raise Refused("series must be sorted ascending by time")
    texts, numbers = [f for f in fields if f.kind == "text"], [f for f in fields if f.kind in ("number", "bool")]
    if not numbers:
        raise Refused("no column with numbers: a time series needs one")
    if not texts:
        return Frame(ref, [clock, *numbers])
    instants = sorted(set(clock.values))
    place = {at: index for index, at in enumerate(instants)}
    series = {}
    for row, at in enumerate(clock.values):
        labels = tuple((f.name, f.values[row] or "") for f in texts)
        for f in numbers:
            column = series.setdefault((f.name, labels), [None] * len(instants))
            if column[place[at]] is not None:
                raise Refused(f"two values of {f.name} {dict(labels)} for one time")
            column[place[at]] = f.values[row]
    wide = [Field("time", "time", instants)]
    for (name, labels), values in series.items():
        labels = dict(labels)
        # A column named `metric` names the series.
        if "metric" in labels:
            name = labels["metric"] if len(numbers) == 1 else f"{labels['metric']} {name}"
        wide.append(Field(name, "number", values, {k: v for k, v in labels.items() if k != "metric"}))
    return Frame(ref, wide)


class Prometheus:
    """A Prometheus by its HTTP API."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def get(self, path, **parameters):
        """The `data` of an answer."""
        query = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["error"]
            except (ValueError, KeyError):
                pass
            raise Refused(text) from None
        except OSError as error:
            raise Refused(f"Prometheus does not answer: {error}") from None

    def ask(self, ref, expression, scope, *, instant, form, legend):
        """(frames, seconds) of one expression."""
        began = time.perf_counter()
        end = scope.end.timestamp()
        if instant:
            data = self.get("/api/v1/query", query=expression, time=f"{end:.3f}")
        else:
            step = scope.interval
            start, end = (math.floor(at / step) * step for at in (scope.start.timestamp(), end))
            data = self.get("/api/v1/query_range", query=expression, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{step:g}")
        took = time.perf_counter() - began
        if data["resultType"] == "scalar":
            data = {"result": [{"metric": {}, "value": data["result"]}]}
        series = []
        for one in data["result"]:
            points = one["values"] if "values" in one else [one["value"]]
            series.append((one["metric"], [float(at) for at, _v in points], [_number(value) for _at, value in points]))
        if form == "table":
            return [_table(ref, series)], took
        names = _names([metric for metric, _times, _values in series], legend)
        frames = [Frame(ref, [Field("Time", "time", times), Field(name, "number", values, {k: v for k, v in metric.items() if k != "__name__"})])
                  for name, (metric, times, values) in zip(names, series)]
        return frames, took


def _table(ref, series):
    labels = sorted({name for metric, _t, _v in series for name in metric if name != "__name__"})
    rows = [(metric, at, value) for metric, times, values in series for at, value in zip(times, values)]
    columns = [Field("Time", "time", [at for _m, at, _v in rows])]
    columns += [Field(name, "text", [metric.get(name) for metric, _a, _v in rows]) for name in labels]
    return Frame(ref, [*columns, Field("Value", "number", [value for _m, _a, value in rows])])


def _names(metrics, legend):
    """Names of series by a legend such as `{{leg}}`; without one, what tells them apart."""
    if legend and legend != "__auto":
        return [_fill(legend, metric) for metric in metrics]
    differs = sorted({k for m in metrics for k in m if len({n.get(k) for n in metrics}) > 1})
    return [", ".join(m.get(k, "") for k in differs) if differs else m.get("__name__", "value") for m in metrics]


def _fill(legend, metric):
    for name, value in metric.items():
        legend = legend.replace("{{" + name + "}}", value).replace("{{ " + name + " }}", value)
    begin = legend.find("{{")
    while begin >= 0 and (end := legend.find("}}", begin)) > 0:
        legend = legend[:begin] + legend[end + 2:]
        begin = legend.find("{{")
    return legend.strip() or "value"
