"""What a panel's `fieldConfig` says about a column: its unit, bounds, colours; and a value in words, as Grafana would write it.

Assumes the units, matchers and calculations that the dashboards here use. Promises an error for any other: nothing is guessed.
"""

import re
from datetime import datetime, timezone

from procs import Failure

COUNTS = {"short", "none", "locale", "", None}
TIME_UNITS = {"dateTimeAsIso", "dateTimeAsIsoNoDateIfToday", "dateTimeAsLocal", "dateTimeAsLocalNoDateIfToday", "dateTimeFromNow", "dateTimeAsUS",
              "dateTimeAsSystem"}
RATES = {"cps": "c/s", "ops": "ops/s", "reqps": "req/s", "rps": "rd/s", "wps": "wr/s", "iops": "io/s", "eps": "ev/s", "mps": "msg/s",
         "rowsps": "rows/s", "recps": "rec/s", "opm": "ops/m", "cpm": "c/m", "epm": "ev/m", "rpm": "req/m"}
LENGTHS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
SIZES = {"bytes": (1024, ["B", "KiB", "MiB", "GiB", "TiB"]), "decbytes": (1000, ["B", "kB", "MB", "GB", "TB"]),
         "Bps": (1000, ["B/s", "kB/s", "MB/s", "GB/s"]), "binBps": (1024, ["B/s", "KiB/s", "MiB/s", "GiB/s"])}
KNOWN = COUNTS | TIME_UNITS | set(RATES) | set(LENGTHS) | set(SIZES) | {"percent", "percentunit", "bool", "bool_yes_no", "bool_on_off", "string"}


def set_at(tree, path, value):
    """custom.width -> tree["custom"]["width"]."""
    *above, last = path.split(".")
    for name in above:
        tree = tree.setdefault(name, {})
    tree[last] = value


def config_of(panel, field, ref=None):
    """The defaults with every override that matches this column."""
    given = panel.get("fieldConfig", {})
    config = {**given.get("defaults", {})}
    config["custom"] = {**config.get("custom", {})}
    for override in given.get("overrides", []):
        if _matches(override["matcher"], field, ref):
            for one in override["properties"]:
                set_at(config, one["id"], one.get("value"))
    return config


def _matches(matcher, field, ref):
    kind, wanted = matcher["id"], matcher.get("options")
    if kind == "byName":
        return field.name == wanted
    if kind == "byNames":
        return field.name in wanted["names"]
    if kind == "byRegexp":
        return re.search(wanted.strip("/"), field.name) is not None
    if kind == "byType":
        return {"time": "time", "number": "number", "bool": "boolean", "text": "string"}[field.kind] == wanted
    if kind == "byFrameRefID":
        return ref == wanted
    raise Failure(f"matcher {kind} is not known here")


def reduced(values, calculation):
    """One number of many, null when there is none."""
    present = [v for v in values if v is not None]
    if calculation == "last":
        return values[-1] if values else None
    if not present:
        return None
    known = {"lastNotNull": lambda: present[-1], "firstNotNull": lambda: present[0], "first": lambda: values[0], "sum": lambda: sum(present),
             "mean": lambda: sum(present) / len(present), "max": lambda: max(present), "min": lambda: min(present), "count": lambda: len(values),
             "range": lambda: max(present) - min(present), "delta": lambda: present[-1] - present[0], "diff": lambda: present[-1] - present[0],
             "allIsZero": lambda: not any(present)}
    if calculation not in known:
        raise Failure(f"calculation {calculation} is not known here")
    return known[calculation]()


def mapped(config, value):
    """The value mapping that applies: {text, color}, or nothing."""
    for mapping in config.get("mappings", []):
        options = mapping["options"]
        if mapping["type"] == "value":
            key = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, (int, float)) else value
            if key in options:
                return options[key]
        elif mapping["type"] == "range" and isinstance(value, (int, float)):
            low, high = options.get("from"), options.get("to")
            if (low is None or value >= low) and (high is None or value <= high):
                return options["result"]
        elif mapping["type"] == "special" and {"null": value is None, "null+nan": value is None, "empty": value == "", "true": value is True,
                                               "false": value is False}.get(options["match"], False):
            return options["result"]
        elif mapping["type"] == "regex" and isinstance(value, str) and re.search(options["pattern"].strip("/"), value):
            return options["result"]
    return {}


def step_colour(config, value):
    """Colour of the threshold that the value has reached."""
    colour = None
    for step in config.get("thresholds", {}).get("steps", []):
        if step["value"] is None or (value is not None and value >= step["value"]):
            colour = step["color"]
    return colour


def text_of(config, value, *, axis=False):
    """A value in words; a missing one is the panel's own text for that."""
    found = mapped(config, value)
    if found.get("text"):
        return found["text"]
    if value is None:
        return "" if axis else str(config.get("noValue", "No data"))
    if isinstance(value, (bool, str)):
        return str(value)
    unit, decimals = config.get("unit"), config.get("decimals")
    if unit in COUNTS:
        short = unit not in ("locale", "none") and abs(value) >= 1000
        return _scaled(value, decimals, 1000, ["", " K", " Mil", " Bil"]) if short else _grouped(value, decimals)
    if unit in RATES:
        return f"{_scaled(value, decimals, 1000, ['', ' K', ' Mil'])} {RATES[unit]}"
    if unit == "percent":
        return f"{_plain(value, decimals)}%"
    if unit == "percentunit":
        return f"{_plain(value * 100, decimals)}%"
    if unit in SIZES:
        return _scaled(value, decimals, *SIZES[unit], gap=" ")
    if unit in LENGTHS:
        return _length(value * LENGTHS[unit], decimals)
    if unit in TIME_UNITS:
        return _instant(unit, value / 1000)
    if unit.startswith("suffix:"):
        return f"{_scaled(value, decimals, 1000, ['', ' K', ' Mil'])} {unit[7:].strip()}"
    if unit.startswith("bool"):
        return {"bool_yes_no": ("No", "Yes"), "bool_on_off": ("Off", "On")}.get(unit, ("False", "True"))[bool(value)]
    if unit == "string":
        return f"{value:g}"
    raise Failure(f"unit {unit} is not known here")


def _plain(value, decimals):
    if decimals is None:
        decimals = 0 if float(value).is_integer() or abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{decimals}f}"


def _grouped(value, decimals):
    text = _plain(value, decimals)
    return f"{float(text):,.{len(text.split('.')[1]) if '.' in text else 0}f}"


def _scaled(value, decimals, base, units, gap=""):
    at = 0
    while abs(value) >= base and at < len(units) - 1:
        value, at = value / base, at + 1
    return f"{_plain(value, decimals if at == 0 or decimals else None)}{gap}{units[at]}"


def _length(value, decimals):
    if value == 0:
        return "0 s"
    for name, size in (("days", 86_400), ("hours", 3600), ("mins", 60), ("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(value) >= size:
            shown = None if name in ("mins", "hours", "days") or (decimals == 0 and size < 1) else decimals
            return f"{_plain(value / size, shown)} {name}"
    return f"{value * 1e9:.0f} ns"


def _instant(unit, at):
    if unit == "dateTimeFromNow":
        ago = datetime.now(timezone.utc).timestamp() - at
        return f"{_length(ago, 0)} ago" if ago >= 0 else f"in {_length(-ago, 0)}"
    when = datetime.fromtimestamp(at, timezone.utc)
    today = when.date() == datetime.now(timezone.utc).date()
    return f"{when:%H:%M:%S}" if today and unit.endswith("NoDateIfToday") else f"{when:%Y-%m-%d %H:%M:%S}"
