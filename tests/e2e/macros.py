"""What Grafana puts in the place of its macros and variables before a query leaves it: times, intervals, variables; SQL and PromQL.

Assumes the macros of Grafana's PostgreSQL and Prometheus data sources that the dashboards here use. Promises that what is left over and
looks like a macro or a variable is an error, not a query that happens to work.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from procs import Failure

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}
# The steps that Grafana rounds an interval to, in seconds.
STEPS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000]
LEFT_OVER = re.compile(r"\$__\w+|\$\{[^}]*\}|\[\[\w+\]\]")


def seconds(text):
    """Of a duration as Grafana and Prometheus write it: 5s, 1h30m."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhdwMy])", text.lstrip("><="))
    if not parts:
        raise Failure(f"{text!r} is no duration")
    return sum(float(number) * SECONDS[unit] for number, unit in parts)


def duration(value):
    """The other way round, as Grafana writes it: one number and the largest unit that divides it."""
    for unit in ("d", "h", "m", "s"):
        if value >= SECONDS[unit] and value % SECONDS[unit] == 0:
            return f"{int(value // SECONDS[unit])}{unit}"
    return f"{int(value * 1000)}ms"


def moment(text, now):
    """now, now-30m, now/d, now-1d/d, or a fixed time."""
    found = re.fullmatch(r"now(?:([-+])(\w+))?(?:/([dhw]))?", text)
    if found is None:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    sign, amount, unit = found.groups()
    at = now + timedelta(seconds=seconds(amount)) * (-1 if sign == "-" else 1) if sign else now
    if unit == "d":
        at = at.replace(hour=0, minute=0, second=0, microsecond=0)
    elif unit == "h":
        at = at.replace(minute=0, second=0, microsecond=0)
    return at


@dataclass
class Scope:
    """What a query of one panel is expanded with."""

    start: datetime
    end: datetime
    interval: float
    scrape: float = 5.0
    # name -> values; several are "All" of a multi-value variable.
    variables: dict = field(default_factory=dict)

    @classmethod
    def of(cls, start, end, points, least=None, scrape=5.0, variables=None):
        """With the interval that Grafana would choose for a panel of so many points and that least interval."""
        wanted = max((end - start).total_seconds() / points, least or scrape)
        interval = next((step for step in STEPS if step >= wanted), STEPS[-1])
        return cls(start, end, float(interval), scrape, dict(variables or {}))

    @property
    def rate_interval(self):
        """At least four scrapes, so that rate() always finds two."""
        return max(self.interval + self.scrape, 4 * self.scrape)

    def sql(self, text):
        """A PostgreSQL query, ready to be sent."""
        start, end = (f"'{at.astimezone(timezone.utc).isoformat(timespec='milliseconds').replace('+00:00', 'Z')}'" for at in (self.start, self.end))

        def group(epoch, every):
            length = f"{seconds(every.strip(chr(39))):g}"
            return f"floor({epoch}/{length})*{length}"

        text = text.replace("$__interval_ms", str(int(self.interval * 1000))).replace("$__interval", duration(self.interval))
        text = self._values(text, _sql_value)
        macros = {
            "time": lambda c: f'{c} AS "time"',
            "timeEpoch": lambda c: f'extract(epoch from {c}) AS "time"',
            "timeFilter": lambda c: f"{c} BETWEEN {start} AND {end}",
            "timeFrom": lambda: start,
            "timeTo": lambda: end,
            "timeGroup": lambda c, every, fill=None: group(f"extract(epoch from {c})", every),
            "timeGroupAlias": lambda c, every, fill=None: group(f"extract(epoch from {c})", every) + ' AS "time"',
            "unixEpochFilter": lambda c: f"{c} >= {int(self.start.timestamp())} AND {c} <= {int(self.end.timestamp())}",
            "unixEpochFrom": lambda: str(int(self.start.timestamp())),
            "unixEpochTo": lambda: str(int(self.end.timestamp())),
            "unixEpochGroup": lambda c, every, fill=None: group(c, every),
        }
        return _checked(_call(text, macros))

    def promql(self, text):
        """A PromQL expression, ready to be sent."""
        span = (self.end - self.start).total_seconds()
        for name, value in (
            ("__rate_interval_ms", int(self.rate_interval * 1000)), ("__rate_interval", duration(self.rate_interval)),
            ("__interval_ms", int(self.interval * 1000)), ("__interval", duration(self.interval)),
            ("__range_ms", int(span * 1000)), ("__range_s", int(span)), ("__range", f"{int(span)}s"),
        ):
            text = re.sub(rf"\$(?:\{{{name}\}}|{name}\b)", str(value), text)
        return _checked(self._values(text, _regex_value))

    def plain(self, text):
        """A name in which variables may stand, such as that of a data source."""
        return self._values(text, lambda values, _form: values[0])

    def _values(self, text, render):
        def value(match):
            name, form = match.group(1) or match.group(3), match.group(2)
            if name not in self.variables:
                return match.group(0)
            return render(self.variables[name], form)

        return re.sub(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)([A-Za-z]\w*)", value, text)


def _sql_value(values, form):
    quoted = ["'" + value.replace("'", "''") + "'" for value in values]
    if form in ("csv", "raw"):
        return ",".join(values)
    return ",".join(quoted) if form == "sqlstring" or len(values) > 1 else values[0]


def _regex_value(values, form):
    if form in ("csv", "raw"):
        return ",".join(values)
    # A value that is a pattern already (the usual "All") stays one.
    escaped = [value if value in (".+", ".*") else re.sub(r"([\\^$.*+?()\[\]{}|])", r"\\\\\1", value) for value in values]
    return escaped[0] if len(escaped) == 1 else "(" + "|".join(escaped) + ")"


def _call(text, macros):
    """Replaces `$__name(arguments)`; arguments may contain brackets and strings."""
    while (found := re.search(r"\$__(\w+)\(", text)) is not None:
        name, begin = found.group(1), found.end()
        if name not in macros:
            raise Failure(f"unknown macro $__{name}")
        depth, quoted, at, arguments, last = 1, False, begin, [], begin
        while depth:
            if at >= len(text):
                raise Failure(f"$__{name}( is never closed")
            letter = text[at]
            quoted ^= letter == "'"
            if not quoted:
                depth += (letter == "(") - (letter == ")")
                if (letter == "," and depth == 1) or depth == 0:
                    arguments.append(text[last:at].strip())
                    last = at + 1
            at += 1
        text = text[:found.start()] + macros[name](*[a for a in arguments if a]) + text[at:]
    return text


def _checked(text):
    left = LEFT_OVER.search(text)
    if left:
        raise Failure(f"nothing is known to put in the place of {left.group(0)}")
    return text
