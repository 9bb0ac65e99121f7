"""What is wrong with an answer: values outside of what the panel's unit and bounds allow, columns that the panel speaks of and nobody gives.

Assumes frames after the panel's transformations. Promises words that name the column and the value. Values that may rightly be outside are
in BEYOND with the reason, and nowhere else.
"""

import math

from fields import KNOWN, TIME_UNITS, config_of

# (uid, title, column): why the values of its unit may be below or above the usual bounds.
BEYOND = {
    ("tributary-history", "Daily summary", "change"): "a change against the day before, in percent: it may be negative or above 100",
    ("tributary-history", "Sent twice: live minus daily, closed days", "sent twice"): "live windows may lack what came after their retention",
}


def says_something(frame):
    """Whether there is a value in it at all."""
    columns = frame.of("number") + frame.of("bool") or frame.of("text")
    return any(v is not None for column in columns for v in column.values)


def judge(panel, frame):
    """What is wrong with the values of one frame."""
    problems = []
    for column in frame.of("number"):
        config = config_of(panel.json, column, frame.ref)
        unit = config.get("unit")
        if unit not in KNOWN and not str(unit).startswith("suffix:"):
            problems.append(f"unit {unit} of {column.name} is not known here")
        low, high = config.get("min"), config.get("max")
        if unit not in TIME_UNITS and (*panel.key, column.name) not in BEYOND:
            low = 0 if low is None else low
            high = {"percent": 100, "percentunit": 1}.get(unit) if high is None else high
        for value in column.values:
            if value is None:
                continue
            slack = 1e-9 * max(1.0, abs(value)) if math.isfinite(value) else 0
            if not math.isfinite(value) or (low is not None and value < low - slack) or (high is not None and value > high + slack):
                problems.append(f"{column.name} {column.labels or ''} is {value:g}: outside {low} … {high} ({unit})")
                break
        if unit in TIME_UNITS and any(v is not None and not 1e12 < v < 4e12 for v in column.values):
            problems.append(f"{column.name}: no time in milliseconds since 1970")
    return problems


def unmatched(panel, frames):
    """Columns that a table's overrides and options speak of, and that the answer does not have: then a unit or a colour is lost unseen."""
    if any(target.get("format") != "table" for target in panel.targets):
        # Series come and go with what there is to tell.
        return []
    names = {column.name for frame in frames for column in frame.fields}
    spoken = [o["matcher"]["options"] for o in panel.json.get("fieldConfig", {}).get("overrides", []) if o["matcher"]["id"] == "byName"]
    x = panel.json.get("options", {}).get("xField")
    missing = [name for name in [*spoken, *([x] if x else [])] if name not in names]
    return [f"no column {name!r}, which the panel speaks of; there are {sorted(names)}" for name in missing]
