"""Grafana's transformations, those that the dashboards here use: merge, joinByField, organize.

Assumes tables as frames.py gives them. Promises an error for any other transformation: a panel whose answer is not what Grafana shows is
worse than none.
"""

from frames import Field, Frame
from procs import Failure


def name_values(frames):
    """Grafana calls the values of several instant tables in one panel `Value #A`, `Value #B`."""
    tables = [f for f in frames if any(c.name == "Value" for c in f.fields) and f.fields[0].name == "Time" and len(f.fields) > 2 or
              [c.name for c in f.fields] == ["Time", "Value"]]
    if len({f.ref for f in tables}) > 1:
        for frame in tables:
            frame.fields = [Field(f"Value #{frame.ref}", c.kind, c.values, c.labels) if c.name == "Value" else c for c in frame.fields]
    return frames


def apply(transformations, frames):
    """The frames after all of them."""
    for one in transformations or []:
        if one.get("disabled"):
            continue
        kind, options = one["id"], one.get("options", {})
        if kind == "merge":
            keys = [c.name for c in frames[0].fields if all(c.name in _names(f) for f in frames)] if frames else []
            frames = [_joined(frames, keys, keep_all=False)] if frames else []
        elif kind == "joinByField":
            frames = [_joined(frames, [options["byField"]], keep_all=True)] if frames else []
        elif kind == "organize":
            frames = [_organized(frame, options) for frame in frames]
        else:
            raise Failure(f"transformation {kind} is not known here")
    return frames


def _names(frame):
    return [c.name for c in frame.fields]


def _joined(frames, keys, *, keep_all):
    """One row per combination of the keys. With `keep_all`, columns of one name stay apart, as `name 1`, `name 2`."""
    rows, columns = {}, {}
    for number, frame in enumerate(frames, 1):
        shared = {name for other in frames if other is not frame for name in _names(other)}
        by_name = {c.name: c for c in frame.fields}
        for at in range(frame.rows):
            key = tuple(by_name[name].values[at] for name in keys)
            row = rows.setdefault(key, dict(zip(keys, key)))
            for column in frame.fields:
                name = column.name
                if name not in keys and keep_all and name in shared:
                    name = f"{name} {number}"
                columns.setdefault(name, column)
                row[name] = column.values[at]
        for column in frame.fields:
            columns.setdefault(column.name, column) if column.name in keys else None
    return Frame(frames[0].ref, [Field(name, c.kind, [row.get(name) for row in rows.values()], c.labels) for name, c in columns.items()])


def _organized(frame, options):
    excluded, order = options.get("excludeByName", {}), options.get("indexByName", {})
    renamed = options.get("renameByName", {})
    kept = [c for c in frame.fields if not excluded.get(c.name)]
    kept.sort(key=lambda c: order.get(c.name, len(order)))
    return Frame(frame.ref, [Field(renamed.get(c.name) or c.name, c.kind, c.values, c.labels) for c in kept])
