"""A picture of each dashboard, drawn from its panels' answers in their own grid. Not a screenshot: Grafana has no part in it.

Assumes answers as panels.py gives them, and matplotlib. Promises that what is drawn is what was answered (an empty panel shows its own text
for that, a broken one its error), with the titles, units, thresholds, colours and legends that the dashboard's file says.
"""

import pathlib
import textwrap
from datetime import datetime, timezone

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

import draw_kinds  # noqa: E402
from fields import config_of  # noqa: E402

WIDTH, HEADER, ROW, GAP, DPI = 1680, 64, 38, 8, 100
NOTE = "drawn from the panels' queries; not a Grafana screenshot"
BACK, PANEL, EDGE, TEXT, FAINT = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8e9c"
NAMED = {"green": "#73BF69", "yellow": "#FADE2A", "red": "#F2495C", "orange": "#FF9830", "blue": "#5794F2", "purple": "#B877D9", "text": TEXT,
         "gray": "#808080", "grey": "#808080", "white": "#ffffff", "transparent": PANEL}
SHADES = {"dark": 0.75, "semi-dark": 0.88, "light": 1.15, "super-light": 1.3}
PALETTE = ["#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A", "#447EBC", "#C15C17",
           "#890F02", "#0A437C", "#6D1F62", "#584477", "#B7DBAB", "#F4D598", "#70DBED", "#F9BA8F"]


def colour(name):
    """A colour of Grafana's by its name."""
    if name is None:
        return TEXT
    if name.startswith("#"):
        return name
    shade, _, base = name.rpartition("-")
    red, green, blue = (int(NAMED[base][at:at + 2], 16) for at in (1, 3, 5))
    by = SHADES.get(shade, 1.0)
    return "#" + "".join(f"{min(255, int(part * by)):02x}" for part in (red, green, blue))


class Canvas:
    """Pixels from the top left, as a dashboard counts."""

    def __init__(self, height):
        self.height = height
        self.figure = pyplot.figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor=BACK)
        self.base = self.figure.add_axes((0, 0, 1, 1))
        self.base.set(xlim=(0, WIDTH), ylim=(height, 0))
        self.base.axis("off")

    def box(self, x, y, w, h, fill, edge=None):
        self.base.add_patch(Rectangle((x, y), w, h, facecolor=fill, edgecolor=edge or "none", linewidth=1))

    def text(self, x, y, words, *, size=11, fill=TEXT, align="left", weight="normal", width=None):
        """Words with their middle at y; shortened to a width."""
        words = str(words).replace("$", r"\$")
        most = None if width is None else max(3, int(width / (size * 0.56)))
        if most and len(words) > most:
            words = words[:most - 1] + "…"
        self.base.text(x, y, words, fontsize=size * 72 / DPI, color=fill, ha=align, va="center", weight=weight, clip_on=True)

    def paragraph(self, x, y, words, width, fill):
        """Words on several lines around a middle."""
        lines = textwrap.wrap(str(words), max(8, int(width / 6.4)))[:6]
        for at, line in enumerate(lines):
            self.text(x, y + 16 * (at - (len(lines) - 1) / 2), line, fill=fill, align="center")

    def axes(self, x, y, w, h):
        """A plot at that place, in the panel's colours."""
        axes = self.figure.add_axes((x / WIDTH, 1 - (y + h) / self.height, w / WIDTH, h / self.height), facecolor=PANEL)
        axes.tick_params(colors=FAINT, labelsize=7.5, length=0)
        axes.grid(True, color="#2b2e34", linewidth=0.6)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def save(self, path):
        self.figure.savefig(path, dpi=DPI, facecolor=BACK)
        pyplot.close(self.figure)


class Series:
    """A number column of an answer with how it is to look."""

    def __init__(self, panel, frame, column, index):
        self.config = config_of(panel.json, column, frame.ref)
        self.name = self.config.get("displayName") or column.name
        self.values, self.frame = column.values, frame
        times = frame.of("time")
        self.times = times[0].values if times else []
        chosen = self.config.get("color", {})
        self.colour = colour(chosen["fixedColor"]) if chosen.get("mode") == "fixed" else PALETTE[index % len(PALETTE)]
        self.custom = self.config.get("custom", {})


def series_of(answer):
    """All of them, in the order of the answer."""
    found = []
    for frame in answer.frames:
        for column in frame.of("number"):
            found.append(Series(answer.panel, frame, column, len(found)))
    return found


def layout(dashboard):
    """(list of (row's title, y) and of (panel's JSON, y)), and the height: rows that are folded in the file are unfolded here."""
    rows, places, down = [], [], 0
    for one in sorted(dashboard["panels"], key=lambda p: (p["gridPos"]["y"], p["gridPos"]["x"])):
        y = one["gridPos"]["y"] + down
        if one["type"] != "row":
            places.append((one, y))
            continue
        rows.append((one["title"], y))
        for inner in one.get("panels", []):
            places.append((inner, inner["gridPos"]["y"] + down))
        if one.get("collapsed") and one.get("panels"):
            down += max(i["gridPos"]["y"] + i["gridPos"]["h"] for i in one["panels"]) - one["gridPos"]["y"] - 1
    return rows, places, max(y + one["gridPos"]["h"] for one, y in places)


def draw(dashboard, answers, grafana, path):
    """One dashboard."""
    rows, places, height = layout(dashboard)
    canvas = Canvas(HEADER + height * ROW + GAP)
    canvas.text(16, 22, dashboard["title"], size=20, weight="bold")
    start, end = grafana.range(dashboard)
    canvas.text(16, 46, f"{NOTE} · {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC · {start} to {end} · refresh {dashboard.get('refresh')}",
                size=12, fill=FAINT)
    links = "  ·  ".join(link["title"] for link in dashboard.get("links", []))
    canvas.text(WIDTH - 16, 22, links, size=12, fill="#6e9fff", align="right")
    column = (WIDTH - GAP) / 24
    for title, y in rows:
        canvas.text(GAP + 4, HEADER + y * ROW + ROW / 2, f"▾ {title}", size=14, weight="bold")
    by_id = {answer.panel.json["id"]: answer for answer in answers}
    for one, y in places:
        place = one["gridPos"]
        x, top = GAP + place["x"] * column, HEADER + y * ROW
        w, h = place["w"] * column - GAP, place["h"] * ROW - GAP
        canvas.box(x, top, w, h, PANEL, EDGE)
        answer = by_id.get(one["id"])
        canvas.text(x + 10, top + 15, one.get("title", ""), size=12.5, weight="bold", width=w - 16)
        inside = (x + 10, top + 30, w - 20, h - 38)
        if answer is None:
            continue
        if answer.problems:
            canvas.paragraph(x + w / 2, top + h / 2, answer.problems[0], w - 20, colour("red"))
        elif not answer.frames or not any(frame.rows for frame in answer.frames):
            canvas.paragraph(x + w / 2, top + h / 2, one["fieldConfig"]["defaults"].get("noValue", "No data"), w - 20, FAINT)
        else:
            draw_kinds.KINDS[one["type"]](canvas, answer, inside, grafana)
    canvas.save(path)


def draw_all(answers, grafana, folder):
    """A PNG per dashboard; returns their paths."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found, made = {}, []
    for answer in answers:
        found.setdefault(answer.panel.dashboard["uid"], []).append(answer)
    for uid, its in found.items():
        made.append(folder / f"{uid}.png")
        draw(its[0].panel.dashboard, its, grafana, made[-1])
    return made
