#!/usr/bin/env python3
"""Every panel of every dashboard, asked as Grafana asks it, and judged: rows, columns, ranges, time taken.

    panels.py --postgres URL [--prometheus URL] [--folder grafana/dashboards] [--only TEXT]

Assumes that events flow. Promises that no panel is left out: also those in collapsed rows, every target, every annotation. A panel that may
rightly be empty is in MAY_BE_EMPTY with the reason; that list is the only place for it.
"""

import argparse
import json
import math
import pathlib
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone

from fields import config_of, reduced, text_of
from frames import Prometheus, Refused, Sql
from judge import judge, says_something, unmatched
from macros import Scope, moment, seconds
from procs import Failure
from transform import apply, name_values

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "grafana" / "dashboards"
SLOW = 0.1
STATIC = {"row", "text", "dashlist", "alertlist", "news"}
# (uid of the dashboard, title of the panel): why nothing may be the right answer.
MAY_BE_EMPTY = {}


@dataclass
class Panel:
    """One panel and where it stands."""

    dashboard: dict
    json: dict
    row: str = ""

    @property
    def key(self):
        return self.dashboard["uid"], self.json["title"]

    @property
    def targets(self):
        return [t for t in self.json.get("targets", []) if not t.get("hide")]


@dataclass
class Answer:
    """What came of a panel: frames, and what is wrong with them. Slow alone is not wrong in what it says."""

    panel: Panel
    frames: list = field(default_factory=list)
    problems: list = field(default_factory=list)
    empty: bool = False
    seconds: float = 0.0

    @property
    def slow(self):
        return self.seconds > SLOW

    @property
    def ok(self):
        excused = self.empty and self.panel.key in MAY_BE_EMPTY
        return not self.problems and not self.slow and (not self.empty or excused)


def dashboards(folder=FOLDER):
    """All of them, by file name."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(pathlib.Path(folder).rglob("*.json"))]
    if not found:
        raise Failure(f"no dashboard in {folder}")
    return found


def panels(dashboard):
    """Its panels in their order, those inside rows too; rows themselves and panels without data are not among them."""
    found, row = [], ""
    for one in dashboard["panels"]:
        if one["type"] == "row":
            row = one["title"]
            found += [Panel(dashboard, inner, row) for inner in one.get("panels", [])]
        else:
            found.append(Panel(dashboard, one, row))
    return [p for p in found if p.json["type"] not in STATIC]


class Grafana:
    """Asks panels; the part of Grafana between a dashboard and its data sources."""

    def __init__(self, sql, prometheus=None, now=None):
        self.sql, self.prometheus = sql, prometheus
        self.now = now or datetime.now(timezone.utc)
        self.chosen, self.ranges = {}, {}

    def range(self, dashboard):
        """Its time range: its own, or one chosen in `ranges` by the dashboard's uid."""
        return self.ranges.get(dashboard["uid"]) or (dashboard["time"]["from"], dashboard["time"]["to"])

    def scope(self, dashboard, panel=None, variables=None):
        start, end = (moment(text, self.now) for text in self.range(dashboard))
        panel = panel or {}
        if panel.get("timeFrom"):
            start = moment(f"now-{panel['timeFrom']}", self.now)
        points = panel.get("maxDataPoints") or panel.get("gridPos", {}).get("w", 24) * 60
        least = seconds(panel["interval"]) if panel.get("interval") else None
        return Scope.of(start, end, points, least, variables=variables)

    def variables(self, dashboard):
        """Values of the dashboard's variables, "All" where that is offered."""
        if dashboard["uid"] not in self.chosen:
            known = {}
            for one in dashboard.get("templating", {}).get("list", []):
                known[one["name"]] = self._variable(one, self.scope(dashboard, variables=known))
            self.chosen[dashboard["uid"]] = known
        return self.chosen[dashboard["uid"]]

    def _variable(self, one, scope):
        if one["type"] == "datasource":
            return [one["query"]]
        if one["type"] in ("constant", "textbox", "interval", "custom"):
            offered = [o["value"] for o in one.get("options", []) if o["value"] != "$__all"] or [v.strip() for v in str(one["query"]).split(",")]
        elif one["type"] == "query":
            offered = self._offered(one, scope)
        else:
            raise Failure(f"variable {one['name']}: type {one['type']} is not known here")
        if one.get("includeAll"):
            return [one["allValue"]] if one.get("allValue") else offered
        current = one.get("current", {}).get("value")
        current = current if isinstance(current, list) else [current] if current else []
        return [c for c in current if c in offered] or offered[:1]

    def _offered(self, one, scope):
        query = one["query"] if isinstance(one["query"], str) else one["query"].get("query", "")
        if "postgres" in str(one.get("datasource", {}).get("type")):
            (frame,), _took = self.sql.ask(one["name"], scope.sql(query), "table")
            return [str(v) for v in frame.fields[0].values]
        if not query.startswith("label_values("):
            raise Failure(f"variable {one['name']}: {query} is not known here")
        inside = scope.promql(query[len("label_values("):-1])
        match, _, label = inside.rpartition(",")
        return self.prometheus.get(f"/api/v1/label/{label.strip()}/values", **({"match[]": match} if match else {})) if self.prometheus else []

    def ask(self, panel, target, scope):
        """(frames, seconds) of one target."""
        source = target.get("datasource") or panel.get("datasource") or {}
        kind = scope.plain(source.get("type") or source.get("uid", ""))
        ref = target.get("refId", "A")
        if "postgres" in kind:
            return self.sql.ask(ref, scope.sql(target["rawSql"]), target["format"])
        if kind != "prometheus":
            raise Refused(f"data source {source} is not known here")
        if self.prometheus is None:
            return [], 0.0
        return self.prometheus.ask(ref, scope.promql(target["expr"]), scope, instant=bool(target.get("instant")),
                                   form=target.get("format", "time_series"), legend=target.get("legendFormat"))

    def answer(self, panel):
        """Every target of a panel, judged. A slow target is asked again: what another process does on this machine is not its fault."""
        answer, scope = Answer(panel), self.scope(panel.dashboard, panel.json, self.variables(panel.dashboard))
        if not panel.targets:
            answer.problems.append("it has no target")
        for target in panel.targets:
            took = math.inf
            try:
                for _ in range(3):
                    frames, again = self.ask(panel.json, target, scope)
                    took = min(took, again)
                    if took <= SLOW:
                        break
                answer.seconds = max(answer.seconds, took)
                answer.frames += frames
                answer.empty |= not any(says_something(frame) for frame in frames)
            except (Refused, Failure) as error:
                answer.problems.append(f"{target.get('refId')}: {error}")
        try:
            answer.frames = apply(panel.json.get("transformations"), name_values(answer.frames))
            answer.problems += [f"{frame.ref}: {p}" for frame in answer.frames for p in judge(panel, frame)]
            if not answer.problems and not answer.empty:
                answer.problems += unmatched(panel, answer.frames)
        except Failure as error:
            answer.problems.append(str(error))
        return answer

    def annotations(self, dashboard):
        """Problems of a dashboard's annotation queries; having found nothing is none."""
        problems, scope = [], self.scope(dashboard, variables=self.variables(dashboard))
        for one in dashboard.get("annotations", {}).get("list", []):
            if one.get("builtIn") or one.get("datasource", {}).get("uid") == "-- Grafana --":
                continue
            target = {"refId": "Anno", "format": "table", **(one.get("target") or {}), **({"expr": one["expr"]} if "expr" in one else {})}
            target.setdefault("datasource", one["datasource"])
            try:
                frames, _took = self.ask(one, {**target, "format": "time_series" if "expr" in target else "table"}, scope)
                for frame in frames:
                    names = [f.name.lower() for f in frame.fields]
                    if "time" not in names:
                        problems.append(f"annotation {one['name']}: no column time")
                    if "rawSql" in target and "text" not in names:
                        problems.append(f"annotation {one['name']}: no column text")
            except (Refused, Failure) as error:
                problems.append(f"annotation {one['name']}: {error}")
        return problems


def summary(answer, width=60):
    """A panel's answer on one line: the last value of each series, or the first row of a table."""
    said = []
    calc = (answer.panel.json.get("options", {}).get("reduceOptions", {}).get("calcs") or ["lastNotNull"])[0]
    for frame in answer.frames:
        for column in frame.of("number"):
            value = column.values[0] if answer.panel.json["type"] == "table" and column.values else reduced(column.values, calc)
            said.append(f"{column.name}={text_of(config_of(answer.panel.json, column, frame.ref), value)}")
    rows = sum(frame.rows for frame in answer.frames)
    text = ", ".join(said)
    return f"{rows} rows: {text if len(text) <= width else text[:width - 1] + '…'}"


def run(grafana, found, say=print):
    """Asks everything; says a line per panel. Returns (answers, problems of annotations)."""
    answers, problems = [], []
    for dashboard in found:
        say(f"{dashboard['title']} ({dashboard['uid']})")
        row = None
        for panel in panels(dashboard):
            if panel.row != row:
                row = panel.row
                say(f"  {row}")
            answer = grafana.answer(panel)
            answers.append(answer)
            mark = "ok   " if answer.ok else "EMPTY" if answer.empty and not answer.problems else "SLOW " if not answer.problems else "BAD  "
            said = "; ".join(answer.problems) if answer.problems else MAY_BE_EMPTY.get(panel.key, "no answer") if answer.empty else summary(answer)
            say(f"    {mark} {answer.seconds * 1000:5.1f} ms  {panel.json['title']}: {said}")
        problems += [f"{dashboard['uid']}: {p}" for p in grafana.annotations(dashboard)]
    return answers, problems


def verdict(answers, problems):
    """(last line, whether all is well)."""
    ok = sum(a.ok for a in answers)
    empty = sum(a.empty and a.panel.key not in MAY_BE_EMPTY for a in answers)
    line = f"panels {len(answers)} ok {ok} empty {empty} slow {sum(a.slow for a in answers)}"
    return line, ok == len(answers) and not problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--postgres", required=True, help="URL, as role grafana")
    parser.add_argument("--prometheus", help="URL; without it only SQL is asked")
    parser.add_argument("--folder", default=FOLDER)
    parser.add_argument("--only", default="", help="panels whose title has this text")
    args = parser.parse_args()
    grafana = Grafana(Sql(args.postgres), Prometheus(args.prometheus) if args.prometheus else None)
    found = dashboards(args.folder)
    if args.only:
        for dashboard in found:
            dashboard["panels"] = [p.json for p in panels(dashboard) if args.only.lower() in p.json["title"].lower()]
    answers, problems = run(grafana, found)
    for problem in problems:
        print(f"BAD   {problem}")
    line, well = verdict(answers, problems)
    print(line)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
