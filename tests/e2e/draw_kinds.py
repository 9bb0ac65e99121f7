"""How each kind of panel is drawn: stat, timeseries, barchart, bargauge, piechart, table, state-timeline, heatmap.

Assumes a canvas and series of draw.py. Promises one function per kind with one signature, and an error for a kind that is missing.
"""

import math
from datetime import datetime, timezone

import numpy
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, MaxNLocator

import draw
from fields import config_of, mapped, reduced, step_colour, text_of


def _calcs(answer):
    return answer.panel.json.get("options", {}).get("reduceOptions", {}).get("calcs") or ["lastNotNull"]


def _value_colour(series, value):
    found = mapped(series.config, value).get("color")
    if found:
        return draw.colour(found)
    mode = series.config.get("color", {}).get("mode", "thresholds")
    return draw.colour(step_colour(series.config, value)) if mode == "thresholds" else series.colour


def stat(canvas, answer, place, _grafana):
    x, y, w, h = place
    options, found = answer.panel.json.get("options", {}), draw.series_of(answer)
    stacked = options.get("orientation") == "horizontal" or len(found) == 1
    names = options.get("textMode") in ("value_and_name", "name") or (options.get("textMode", "auto") == "auto" and len(found) > 1)
    for at, series in enumerate(found):
        value = reduced(series.values, _calcs(answer)[0])
        words, fill = text_of(series.config, value), _value_colour(series, value)
        left, top, wide, high = (x, y + at * h / len(found), w, h / len(found)) if stacked else (x + at * w / len(found), y, w / len(found), h)
        if options.get("colorMode", "value").startswith("background"):
            canvas.box(left, top, wide, high, fill)
            fill = "#ffffff"
        points = [v for v in series.values if v is not None]
        if options.get("graphMode", "none") == "area" and len(points) > 1:
            axes = canvas.axes(left, top + high * 0.6, wide, high * 0.4)
            axes.fill_between(range(len(points)), points, min(0, min(points)), color=fill, alpha=0.25, linewidth=0)
            axes.plot(points, color=fill, linewidth=1)
            axes.axis("off")
        if names and stacked:
            canvas.text(left + 2, top + high / 2, series.name, size=12, width=wide * 0.56)
            size = min(24, high * 0.5, wide * 0.9 / max(len(words), 1))
            canvas.text(left + wide - 2, top + high / 2, words, size=size, fill=fill, align="right", weight="bold")
        else:
            size = min(36, high * 0.5, wide * 1.5 / max(len(words), 1))
            canvas.text(left + wide / 2, top + high * (0.4 if names else 0.5), words, size=size, fill=fill, align="center", weight="bold")
            if names:
                canvas.text(left + wide / 2, top + high * 0.8, series.name, size=12, align="center", width=wide)


def _legend(canvas, answer, found, place):
    """Draws the legend at the bottom; returns the place that is left."""
    x, y, w, h = place
    legend = answer.panel.json.get("options", {}).get("legend", {})
    if not legend.get("showLegend", True):
        return place
    if legend.get("displayMode") == "table":
        calcs = legend.get("calcs", []) or [v for v in legend.get("values", [])]
        shown = found[:max(1, int(h * 0.45 / 17) - 1)]
        top, step = y + h - 17 * (len(shown) + 1), 78
        names = {"lastNotNull": "last", "mean": "mean", "max": "max", "min": "min", "sum": "total", "last": "last"}
        for at, calc in enumerate(calcs):
            canvas.text(x + w - step * (len(calcs) - at - 1), top + 8, names.get(calc, calc), size=10, fill="#6e9fff", align="right")
        total = sum(reduced(s.values, "lastNotNull") or 0 for s in found) or 1
        for line, series in enumerate(shown):
            middle = top + 17 * (line + 1) + 8
            canvas.box(x, middle - 2, 14, 4, series.colour)
            more = f" (+{len(found) - len(shown)} more)" if line == len(shown) - 1 and len(found) > len(shown) else ""
            canvas.text(x + 20, middle, series.name + more, size=10.5, width=w - 30 - step * len(calcs))
            for at, calc in enumerate(calcs):
                last = reduced(series.values, "lastNotNull")
                words = text_of(series.config, last) if calc == "value" else f"{100 * (last or 0) / total:.0f}%" if calc == "percent" else \
                    text_of(series.config, reduced(series.values, calc))
                canvas.text(x + w - step * (len(calcs) - at - 1), middle, words, size=10.5, align="right", width=step + 6)
        return x, y, w, h - 17 * (len(shown) + 1) - 6
    left, lines = x, 1
    for series in found:
        wide = 24 + len(series.name) * 6.4
        if left + wide > x + w:
            left, lines = x, lines + 1
        left += wide
    left, middle = x, y + h - 16 * lines + 8
    for series in found:
        wide = 24 + len(series.name) * 6.4
        if left + wide > x + w and left > x:
            left, middle = x, middle + 16
        canvas.box(left, middle - 2, 14, 4, series.colour)
        canvas.text(left + 18, middle, series.name, size=10.5)
        left += wide
    return x, y, w, h - 16 * lines - 4


def _time_axis(axes, answer, grafana):
    scope = grafana.scope(answer.panel.dashboard, answer.panel.json)
    axes.set_xlim(scope.start, scope.end)
    locator = AutoDateLocator(minticks=3, maxticks=7, tz=timezone.utc)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=timezone.utc, show_offset=False))


def _when(times):
    return [datetime.fromtimestamp(at, timezone.utc) for at in times]


def timeseries(canvas, answer, place, grafana):
    found = draw.series_of(answer)
    x, y, w, h = _legend(canvas, answer, found, place)
    axes = canvas.axes(x + 58, y + 2, w - 62, h - 20)
    base, drawn = {}, [0.0]
    for series in found:
        when, values = _when(series.times), [math.nan if v is None else float(v) for v in series.values]
        stacking = series.custom.get("stacking", {}).get("mode", "none") != "none"
        below = [base.get(at, 0.0) if stacking else 0.0 for at in series.times]
        upper = [v + b for v, b in zip(values, below)]
        if stacking:
            base.update({at: u for at, u in zip(series.times, upper) if not math.isnan(u)})
        drawn += [u for u in upper if not math.isnan(u)]
        opacity = series.custom.get("fillOpacity", 0) / 100
        if series.custom.get("drawStyle") == "bars":
            step = min((b - a for a, b in zip(series.times, series.times[1:])), default=60) / 86_400
            axes.bar(when, values, bottom=below, width=step * series.custom.get("barWidthFactor", 0.6), color=series.colour,
                     alpha=max(opacity, 0.3), linewidth=0)
        else:
            lone = len([v for v in values if not math.isnan(v)]) < 2 or series.custom.get("drawStyle") == "points"
            axes.plot(when, upper, color=series.colour, linewidth=max(series.custom.get("lineWidth", 1), 1.1), marker="o" if lone else None,
                      markersize=3)
            if opacity:
                axes.fill_between(when, below, upper, color=series.colour, alpha=opacity, linewidth=0)
    config = answer.panel.json["fieldConfig"]["defaults"]
    low = min(0.0, *drawn) if "axisSoftMin" in config.get("custom", {}) or "min" in config else min(drawn[1:] or [0])
    high = max(config.get("max", -math.inf), *drawn)
    if config.get("custom", {}).get("thresholdsStyle", {}).get("mode", "off") != "off":
        for step in config.get("thresholds", {}).get("steps", []):
            if step["value"] is not None:
                axes.axhline(step["value"], color=draw.colour(step["color"]), linewidth=0.9, linestyle="--")
    axes.set_ylim(low, (high if high > low else low + 1) * 1.06)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=config.get("decimals") == 0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _at: text_of({**config, "mappings": []}, v, axis=True)))
    _time_axis(axes, answer, grafana)


def _bars(canvas, place, names, values, colours, configs):
    x, y, w, h = place
    high, most = h / max(len(names), 1), max([v for v in values if v is not None], default=0) or 1
    label = min(w * 0.3, 8 + 7 * max(map(len, names), default=0))
    for at, (name, value, fill, config) in enumerate(zip(names, values, colours, configs)):
        middle = y + high * (at + 0.5)
        canvas.text(x + label - 8, middle, name, size=11, align="right", width=label)
        canvas.box(x + label, middle - high * 0.36, (w - label - 70) * (value or 0) / most, high * 0.72, fill)
        canvas.text(x + label + (w - label - 70) * (value or 0) / most + 6, middle, text_of(config, value), size=11)


def barchart(canvas, answer, place, _grafana):
    frame = answer.frames[0]
    key = next(c for c in frame.fields if c.name == answer.panel.json["options"].get("xField", frame.fields[0].name))
    series = draw.series_of(answer)[0]
    _bars(canvas, place, [str(v) for v in key.values], series.values, [series.colour] * frame.rows, [series.config] * frame.rows)


def bargauge(canvas, answer, place, _grafana):
    found = draw.series_of(answer)
    values = [reduced(s.values, _calcs(answer)[0]) for s in found]
    _bars(canvas, place, [s.name for s in found], values, [s.colour for s in found], [s.config for s in found])


def piechart(canvas, answer, place, _grafana):
    found = draw.series_of(answer)
    x, y, w, h = _legend(canvas, answer, found, place)
    values = [max(reduced(s.values, _calcs(answer)[0]) or 0, 0) for s in found]
    axes = canvas.axes(x + (w - h) / 2, y, h, h)
    donut = answer.panel.json["options"].get("pieType") == "donut"
    total = sum(values) or 1
    labels = [f"{s.name}\n{100 * v / total:.0f}%" for s, v in zip(found, values)]
    axes.pie(values, labels=labels, colors=[s.colour for s in found], startangle=90, counterclock=False, labeldistance=0.72 if donut else 0.5,
             wedgeprops={"width": 0.55 if donut else 1, "edgecolor": draw.PANEL},
             textprops={"color": "#ffffff", "fontsize": 8, "ha": "center", "va": "center"})


def table(canvas, answer, place, _grafana):
    x, y, w, h = place
    frame = answer.frames[0]
    configs = [config_of(answer.panel.json, c, frame.ref) for c in frame.fields]
    shown = [(c, config) for c, config in zip(frame.fields, configs) if not config["custom"].get("hidden")]
    fixed = sum(config["custom"].get("width", 0) for _c, config in shown)
    free = max(1, sum(not config["custom"].get("width") for _c, config in shown))
    scale = min(1.0, w / fixed) if fixed else 1.0
    line, left = 24, x
    lines = int((h - line) / line)
    for column, config in shown:
        wide = config["custom"]["width"] * scale if config["custom"].get("width") else max(60, (w - fixed) / free)
        number = column.kind == "number"
        edge, side = (left + wide - 10, "right") if number else (left + 4, "left")
        canvas.text(edge, y + line / 2, config.get("displayName") or column.name, size=11.5, fill="#6e9fff", align=side, width=wide)
        cell = config["custom"].get("cellOptions", {})
        top_value = config.get("max") or max([v for v in column.values if isinstance(v, (int, float))], default=1) or 1
        for row, value in enumerate(column.values[:lines]):
            middle = y + line * (row + 1.5)
            # A time of Prometheus is in seconds here; units of time go by milliseconds.
            timed = column.kind == "time" and value is not None
            words = f"{datetime.fromtimestamp(value, timezone.utc):%Y-%m-%d %H:%M:%S}" if timed else text_of(config, value)
            found = mapped(config, value).get("color") or step_colour(config, value if number else None)
            if cell.get("type") == "gauge" and number:
                bar = draw.colour(config.get("color", {}).get("fixedColor", "green"))
                canvas.box(left + 4, middle - 7, (wide - 70) * (value or 0) / top_value, 14, bar)
            elif cell.get("type") == "color-background":
                canvas.box(left + 1, middle - line / 2 + 1, wide - 2, line - 2, draw.colour(found))
            fill = draw.colour(found) if cell.get("type") == "color-text" else draw.TEXT
            canvas.text(edge, middle, words, size=11.5, fill=fill, align=side, width=wide - 6)
        left += wide
    if frame.rows > lines:
        canvas.text(x + w, y + h, f"{frame.rows - lines} rows more", size=9, fill=draw.FAINT, align="right")


def state_timeline(canvas, answer, place, grafana):
    found = draw.series_of(answer)
    x, y, w, h = place
    names = 18 + 6.6 * min(28, max(len(s.name) for s in found))
    axes = canvas.axes(x + names, y, w - names, h - 34)
    scope = grafana.scope(answer.panel.dashboard, answer.panel.json)
    seen = {}
    for at, series in enumerate(found):
        # Where nothing is written, the state before goes on (SQL) or there is none (Prometheus: a scrape is missing).
        points = [(t, v) for t, v in zip(series.times, series.values) if v is not None]
        gap = 3 * scope.interval if "expr" in answer.panel.targets[0] else math.inf
        for (begin, value), after in zip(points, [*(p[0] for p in points[1:]), scope.end.timestamp()]):
            end = min(after, begin + gap)
            fill, words = _value_colour(series, value), text_of(series.config, value)
            seen[words] = fill
            axes.barh(at, width=(end - begin) / 86_400, left=_when([begin])[0], height=0.8, color=fill, alpha=0.75, linewidth=0)
    axes.set_yticks(range(len(found)), [s.name[:28] for s in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.tick_params(axis="y", colors=draw.TEXT, labelsize=8)
    _time_axis(axes, answer, grafana)
    left = x
    for words, fill in seen.items():
        canvas.box(left, y + h - 9, 10, 8, fill)
        canvas.text(left + 15, y + h - 5, words, size=10.5)
        left += 30 + 6.6 * len(words)


def heatmap(canvas, answer, place, grafana):
    found = sorted(draw.series_of(answer), key=lambda s: math.inf if s.name == "+Inf" else float(s.name))
    x, y, w, h = place
    axes = canvas.axes(x + 58, y, w - 62, h - 20)
    times = sorted({t for s in found for t in s.times})
    counts = numpy.zeros((len(found), len(times)))
    for at, series in enumerate(found):
        values = dict(zip(series.times, series.values))
        counts[at] = [values.get(t) or 0 for t in times]
    # Buckets of Prometheus hold all below them; a cell holds its own.
    counts[1:] -= counts[:-1].copy()
    edges = _when([*times, times[-1] + (times[1] - times[0] if len(times) > 1 else 60)])
    axes.pcolormesh(edges, range(len(found) + 1), numpy.ma.masked_less_equal(counts, 0), cmap="plasma")
    unit = answer.panel.json["options"].get("yAxis", {}).get("unit") or "s"
    labels = ["∞" if s.name == "+Inf" else text_of({"unit": unit}, float(s.name)) for s in found]
    axes.set_yticks(range(1, len(found) + 1, 2), labels[::2])
    _time_axis(axes, answer, grafana)


KINDS = {"stat": stat, "timeseries": timeseries, "barchart": barchart, "bargauge": bargauge, "piechart": piechart, "table": table,
         "state-timeline": state_timeline, "heatmap": heatmap}
