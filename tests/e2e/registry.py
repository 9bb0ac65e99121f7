"""The registry of metrics against what a running process says of itself, in both directions.

Assumes the form of core/src/metric.rs and Prometheus's text format. Promises that a metric that is exported and not in the registry, one
with other labels, and one that the registry promises and nobody exports are each named. What only shows after a mishap is in ON_OCCASION.
"""

import pathlib
import re
from dataclasses import dataclass

from procs import Failure

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "core" / "src" / "metric.rs"
ENTRY = re.compile(r'^    [A-Z_0-9]+ = "(\w+)", (\w+)(?:\(\w+\))?, (\w+), \[([^\]]*)\](, reference)?;', re.M)
SAMPLE = re.compile(r'^(\w+)(?:\{(.*)\})? \S+(?: \d+)?$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# Series that begin with the first of what they count, or need what a healthy run does not have.
ON_OCCASION = {
    "tributary_actor_errors_total": "no actor failed",
    "tributary_pipeline_restarts_total": "no pipeline was rebuilt",
    "tributary_commit_errors_total": "no commit failed",
    "tributary_lost_records": "nothing was lost",
    "tributary_delta_conflicts_total": "no two writers met",
    "tributary_delta_checkpoints_total": "a checkpoint is due after a hundred commits",
}


@dataclass
class Metric:
    """One entry of the registry."""

    name: str
    kind: str
    labels: frozenset
    reference: bool


def registry():
    """name -> entry."""
    found = {name: Metric(name, kind, frozenset(re.findall(r'"(\w+)"', labels)), bool(reference))
             for name, kind, _unit, labels, reference in ENTRY.findall(SOURCE.read_text(encoding="utf-8"))}
    if len(found) < 20:
        raise Failure(f"{SOURCE} no longer has the form that is read here: {len(found)} metrics found")
    return found


def exported(text):
    """name -> sets of labels, of one exposition; the parts of a histogram count as the histogram."""
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
    found = {}
    for line in text.splitlines():
        sample = None if line.startswith("#") else SAMPLE.match(line)
        if sample is None:
            continue
        name, labels = sample.group(1), {key for key, _value in LABEL.findall(sample.group(2) or "")}
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if kinds.get(base) in ("histogram", "summary"):
            name, labels = base, labels - {"le", "quantile"}
        found.setdefault(name, set()).add(frozenset(labels))
    return found, kinds


def compare(expositions):
    """What is wrong, in words: `expositions` are the texts of all processes of one installation."""
    known, problems, seen = registry(), [], set()
    for text in expositions:
        found, kinds = exported(text)
        for name, label_sets in found.items():
            if not name.startswith("tributary_"):
                continue
            seen.add(name)
            if name not in known:
                problems.append(f"{name} is exported and not in the registry")
                continue
            if kinds.get(name) != known[name].kind.lower():
                problems.append(f"{name} is exported as {kinds.get(name)}, the registry says {known[name].kind.lower()}")
            problems += [f"{name} is exported with the labels {sorted(labels)}, the registry says {sorted(known[name].labels)}"
                         for labels in label_sets if labels != known[name].labels]
    problems += [f"{name} is in the registry and nobody exports it" for name, entry in known.items()
                 if name not in seen and not entry.reference and name not in ON_OCCASION]
    return problems
