"""The pictures of a report. The one file that knows matplotlib; what is drawn was computed in ``study``.

No ``pyplot`` and no state: a ``Figure`` object each, drawn by Agg or as SVG. Colours of an SVG are the
page's CSS variables, so that it is readable in light and dark; a PNG has the light ones on white. The palette
is Okabe and Ito's, which people with colour-blindness tell apart; no meaning rests on colour alone.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from PIL import Image

from xadapt.record.figure import Curve, Figure, Forest, Front, Heatmap, Point, Series
from xadapt.report.svg import LIGHT, STAND_INS, for_page
from xadapt.statistics.estimate import Estimate

ALONE = 36  # characters of a name in a picture; the numbers below it have the whole one
MARKERS = "osD^vPX*"
# Where a name may stand: to the right, above...
_AROUND = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 2), (0, -2))
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # letters stay letters: small, and to be found and read aloud
    "text.parse_math": False,  # a name may hold a dollar
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.unicode_minus": False,
    "path.simplify": True,
}


def svg(figure: Figure, name: str) -> str:
    """The picture as an SVG element for a page whose CSS has ``--ink``, ``--c0``...

    Args:
        name: of the element's ids, which must differ from those of other pictures.
    """
    out = io.StringIO()
    with mpl.rc_context(_SETTINGS | {"svg.hashsalt": name}):
        drawn = _drawn(figure, STAND_INS)
        drawn.savefig(
            out, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    return for_page(out.getvalue(), figure.title, name)


def png(figure: Figure) -> bytes:
    """The same on white, in few colours: small enough to be kept."""
    with mpl.rc_context(_SETTINGS):
        drawn = _drawn(figure, LIGHT)
        canvas = FigureCanvasAgg(drawn)
        drawn.set_dpi(110)
        canvas.draw()
        image = Image.frombytes("RGBA", canvas.get_width_height(physical=True), bytes(canvas.buffer_rgba()))
    white = Image.new("RGBA", image.size, "white")
    white.alpha_composite(image)
    out = io.BytesIO()
    white.convert("RGB").quantize(32, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _drawn(figure: Figure, colours: Mapping[str, str]) -> Canvas:
    match figure:
        case Heatmap():
            return _heatmap(figure, colours)
        case Forest():
            return _forest(figure, colours)
        case Curve():
            return _curve(figure, colours)
        case Front():
            return _front(figure, colours)
    raise TypeError(f"a {type(figure).__name__} is no picture")


def short(name: str, most: int = ALONE) -> str:
    """A name for a picture; of a long one the middle is left out."""
    name = " ".join(name.split())
    return name if len(name) <= most else f"{name[: most * 2 // 3 - 1]}…{name[-(most - most * 2 // 3) :]}"


# -- differences ------------------------------------------------------------------------------


def _heatmap(figure: Heatmap, colours: Mapping[str, str]) -> Canvas:
    columns = [_two_lines(short(c, 30)) for c in figure.columns]
    left = 0.35 + 0.075 * max((len(short(r)) for r in figure.rows), default=0)
    top, wide, high = 0.5 if any("\n" in c for c in columns) else 0.33, 1.25, 0.46
    width, height = left + wide * len(figure.columns) + 0.1, top + high * len(figure.rows) + 0.1
    canvas = Canvas(figsize=(width, height))
    axes = canvas.add_axes((left / width, 0.1 / height, 1 - (left + 0.1) / width, 1 - (top + 0.1) / height))
    there = [abs(e.value) for row in figure.values for e in row if e is not None]
    low = 0.0 if figure.difference else min(there, default=0.0)
    full = max(there, default=1.0) - low or 1.0
    for y, row in enumerate(figure.values):
        for x, one in enumerate(row):
            if one is None:
                axes.text(x + 0.5, y + 0.5, "-", ha="center", va="center", color=colours["muted"])
                continue
            marked = one.shown or not figure.difference
            shade = 0.1 + 0.45 * (abs(one.value) - low) / full
            fill: Any = {
                "fc": colours["c0" if one.value >= 0 else "c1"],
                "alpha": shade,
                "ec": "none",
                "lw": 0,
            }
            frame: Any = {"fc": "none", "ec": colours["muted"], "lw": 0.6, "ls": (0, (2, 2))}
            axes.add_patch(Rectangle((x + 0.03, y + 0.04), 0.94, 0.92, **(fill if marked else frame)))
            value, interval = _cell(one, figure.difference)
            look: Any = {"weight": "bold"} if marked else {"fontsize": 7, "color": colours["muted"]}
            at: Any = {"ha": "center", "va": "center"}
            axes.text(x + 0.5, y + 0.34, value, **({"color": colours["ink"]} | at | look))
            axes.text(x + 0.5, y + 0.7, interval, fontsize=6.5, color=colours["ink"], **at)
    axes.set(xlim=(0, len(figure.columns)), ylim=(len(figure.rows), 0))
    axes.xaxis.tick_top()
    axes.set_xticks([x + 0.5 for x in range(len(columns))], columns)
    axes.set_yticks([y + 0.5 for y in range(len(figure.rows))], [short(r) for r in figure.rows])
    axes.tick_params(length=0, colors=colours["ink"])
    axes.spines[:].set_visible(False)
    return canvas


def _cell(one: Estimate, difference: bool) -> tuple[str, str]:
    """A number and its interval; in words where no difference is shown, with Holm's p where that is why."""
    if not difference:
        return f"{one.value:.1f}", f"({one.low:.1f} to {one.high:.1f})"
    value, low, high = (f"{round(number, 1) + 0.0:+.1f}" for number in (one.value, one.low, one.high))
    interval = f"{low} to {high}"
    if one.shown:
        return value, f"({interval})"
    apart = one.low > 0 or one.high < 0
    why = f", p {one.adjusted:.2g}" if apart and one.adjusted is not None else ""
    return "no difference shown", f"({interval}{why})"


def _two_lines(text: str) -> str:
    """A heading of a narrow column, broken at the space nearest its middle."""
    places = [m.start() for m in re.finditer(" ", text)]
    if len(text) <= 14 or not places:
        return text
    at = min(places, key=lambda place: abs(place - len(text) / 2))
    return f"{text[:at]}\n{text[at + 1 :]}"


def _forest(figure: Forest, colours: Mapping[str, str]) -> Canvas:
    lines: list[tuple[str, Any]] = []
    for group, members in groupby(figure.differences, key=lambda d: d.group):
        lines += [(group, None)] if group else []
        lines += [(d.name, d.estimate) for d in members]
    said = [d.estimate.text() for d in figure.differences]
    left = 0.3 + 0.072 * max((len(short(n)) for n, _ in lines), default=0)
    right = 0.35 + 0.066 * max(map(len, said), default=0)
    width, height = left + 3.4 + right, 0.6 + 0.26 * len(lines)
    canvas = Canvas(figsize=(width, height))
    axes = canvas.add_axes((left / width, 0.45 / height, 3.4 / width, 1 - 0.55 / height))
    axes.axvline(0, color=colours["muted"], lw=1)
    for y, (_, one) in enumerate(lines):
        if one is None:
            continue
        colour = colours["c0" if one.value >= 0 else "c1"] if one.shown else colours["muted"]
        axes.plot([one.low, one.high], [y, y], color=colour, lw=1.6, solid_capstyle="butt")
        face = colour if one.shown else colours["paper"]
        axes.plot([one.value], [y], marker="o" if one.shown else "D", ms=5, mec=colour, mfc=face, ls="none")
        axes.text(
            1.03, y, one.text(), transform=axes.get_yaxis_transform(), va="center", fontsize=8,
            color=colours["ink" if one.shown else "muted"],
        )  # fmt: skip
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [short(name) for name, _ in lines])
    for label, (_, one) in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if one is None else "normal")
    axes.set_xlabel(figure.x, color=colours["ink"])
    _plain(axes, colours)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return canvas


# -- curves -----------------------------------------------------------------------------------


def _curve(figure: Curve, colours: Mapping[str, str]) -> Canvas:
    panels = {name: list(group) for name, group in _panels(figure.series).items()}
    across = min(3, len(panels)) or 1
    down = math.ceil(len(panels) / across) or 1
    one = len(panels) <= 1
    names = list(dict.fromkeys(s.name for s in figure.series))
    per_line = (
        1
        if any(s.slope for s in figure.series)
        else max(1, 90 // (max(map(len, map(short, names)), default=1) + 6))
    )
    below = 0.2 + 0.2 * math.ceil(len(names) / per_line)
    width, high = (7.4, 3.6) if one else (3.1 * across, 2.35)
    height = high * down + below
    canvas = Canvas(figsize=(width, height), layout=None)
    grid = canvas.subplots(down, across, squeeze=False, sharex=figure.log)
    canvas.subplots_adjust(
        left=0.65 / width, right=1 - 0.12 / width, top=1 - 0.3 / height, bottom=(below + 0.5) / height,
        wspace=0.22, hspace=0.42 if not figure.log else 0.3,
    )  # fmt: skip
    for axes, (panel, series) in zip(grid.flat, panels.items(), strict=False):
        axes.set_title(short(panel, 34), fontsize=9, color=colours["ink"], loc="left")
        edge = _edge(figure) if figure.log else 0.0
        said: set[str] = set()
        for s in series:
            at = names.index(s.name)
            _series(axes, figure, s, colours[f"c{at % 8}"], MARKERS[at % len(MARKERS)], edge)
            for p in s.points:
                if p.name and p.name not in said:
                    _name(axes, p.name, edge if p.x is None else p.x, p.value, 6.5)
            said |= {p.name for p in s.points}
        if figure.log:
            _log(axes, edge * 1.5 if any(p.x is None for s in series for p in s.points) else 0.0)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        if any(p.x is None for s in series for p in s.points):
            axes.axvspan(edge / 1.5, edge * 1.5, color=colours["line"], alpha=0.4, lw=0)
            axes.text(
                edge, 0.98, figure.nowhere, transform=axes.get_xaxis_transform(), ha="center", va="top",
                fontsize=7, color=colours["muted"], rotation=90,
            )  # fmt: skip
        _plain(axes, colours)
        _cut(axes, series)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1, :] if figure.log else grid.flat:
        axes.set_xlabel(figure.x, color=colours["ink"], fontsize=8)
    for axes in grid[:, 0]:
        axes.set_ylabel(figure.y, color=colours["ink"], fontsize=8)
    _legend(canvas, names, figure, colours, per_line)
    for axes in grid.flat:
        _name_points(axes, colours)
    return canvas


def _cut(axes: Axes, series: Sequence[Series]) -> None:
    """No interval makes a panel more than three times as high as its values do."""
    values = [p.value for s in series for p in s.points]
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(high - low, 5.0)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))


def _panels(series: Sequence[Series]) -> dict[str, list[Series]]:
    found: dict[str, list[Series]] = {}
    for s in series:
        found.setdefault(s.panel, []).append(s)
    return found


def _edge(figure: Curve) -> float:
    """Where points without x stand."""
    return min((p.x for s in figure.series for p in s.points if p.x), default=1.0) / 4


def _series(axes: Axes, figure: Curve, series: Series, colour: str, marker: str, edge: float) -> None:
    points = sorted(series.points, key=lambda p: -math.inf if p.x is None else p.x)
    xs = [edge if p.x is None else p.x for p in points]
    ys = [p.value for p in points]
    many = not figure.log and len(points) > 12
    axes.plot(
        xs, ys, color=colour, marker="" if many else marker, ms=4, lw=1.3,
        ls="-" if figure.joined else "none", gid=None,
    )  # fmt: skip
    across, ends = list[float](), list[float]()  # of all intervals, as one line with gaps: small
    for x, p in zip(xs, points, strict=True):
        if p.low is not None and p.high is not None:
            across, ends = [*across, x, x, x], [*ends, p.low, p.high, math.nan]
    axes.plot(across, ends, color=colour, lw=1, alpha=0.55)
    placed = [(math.log2(p.x), p.value) for p in points if p.x]
    if series.slope is not None and placed:
        middle = sum(x for x, _ in placed) / len(placed), sum(y for _, y in placed) / len(placed)
        outer = [placed[0][0], placed[-1][0]]
        axes.plot(
            [2**x for x in outer], [middle[1] + series.slope.value * (x - middle[0]) for x in outer],
            color=colour, lw=1.2, ls=(0, (4, 2)),
        )  # fmt: skip


def _legend(
    canvas: Canvas, names: Sequence[str], figure: Curve, colours: Mapping[str, str], per_line: int
) -> None:
    if len(names) < 2 and not any(s.slope for s in figure.series):
        return
    slopes = {s.name: f", per doubling: {s.slope.text()}" for s in figure.series if s.slope is not None}
    handles = [
        mpl.lines.Line2D(
            [], [], color=colours[f"c{i % 8}"], marker=MARKERS[i % len(MARKERS)], ms=4, lw=1.3,
            ls="-" if figure.joined else "none",
        )
        for i in range(len(names))
    ]  # fmt: skip
    canvas.legend(
        handles, [short(n) + slopes.get(n, "") for n in names], loc="lower left", ncols=per_line,
        frameon=False, fontsize=8, labelcolor=colours["ink"], bbox_to_anchor=(0.02, 0.0), borderaxespad=0.2,
        columnspacing=1.2,
    )  # fmt: skip


# -- cost -------------------------------------------------------------------------------------


def _front(figure: Front, colours: Mapping[str, str]) -> Canvas:
    canvas = Canvas(figsize=(7.4, 4.2))
    axes = canvas.add_axes((0.09, 0.13, 0.88, 0.83))
    if figure.log:
        _log(axes)
    placed = [(p.x, p) for p in figure.points if p.x is not None]
    if figure.tolerance is not None and placed:
        best = max(p.value for _, p in placed)
        axes.axhspan(best - figure.tolerance, best, color=colours["c2"], alpha=0.13, lw=0)
    on = sorted([(x, p.value) for x, p in placed if p.front])
    if on:
        axes.plot(*zip(*on, strict=True), color=colours["muted"], lw=1, ls=(0, (3, 2)))
    for x, p in placed:
        _one_of_front(axes, x, p, chosen=p.name == figure.chosen, colours=colours)
    axes.set_xlabel(figure.x, color=colours["ink"])
    axes.set_ylabel(figure.y, color=colours["ink"])
    axes.margins(0.12, 0.1)
    _plain(axes, colours)
    _name_points(axes, colours)
    return canvas


def _one_of_front(axes: Axes, x: float, p: Point, *, chosen: bool, colours: Mapping[str, str]) -> None:
    colour = colours["c0" if p.front else "muted"]
    if p.low is not None and p.high is not None:
        axes.plot([x, x], [p.low, p.high], color=colour, lw=1, alpha=0.55)
    axes.plot(
        [x], [p.value], marker="*" if chosen else "o", ms=12 if chosen else 6, mec=colour,
        mfc=colour if p.front else colours["paper"], ls="none",
    )  # fmt: skip
    _name(axes, short(p.name), x, p.value, 7.5)


# -- common -----------------------------------------------------------------------------------


def _plain(axes: Axes, colours: Mapping[str, str]) -> None:
    """No box, a faint grid behind."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(colours["line"])
    axes.grid(visible=True, color=colours["line"], lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=colours["ink"], labelsize=8)


def _name(axes: Axes, text: str, x: float, y: float, size: float) -> None:
    axes.annotate(text, (x, y), (5, 0), textcoords="offset points", fontsize=size, va="center")


def _log(axes: Axes, above: float = 0.0) -> None:
    """A logarithmic axis with few whole numbers on it, all of them ``above`` some value."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    wide = high > 300 * low
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}" if value > above else "")


def _name_points(axes: Axes, colours: Mapping[str, str]) -> None:
    """Move each name to where it covers no other name; one that finds no place is left out."""
    taken: list[tuple[float, float, float, float]] = []
    axes.autoscale_view()
    inside = axes.get_window_extent()
    scale = axes.figure.dpi / 72
    named = [
        (text, *axes.transData.transform(text.xy)) for text in axes.texts if isinstance(text, Annotation)
    ]
    near = 2.5 * scale
    taken += [(x - near, y - near, x + near, y + near) for _, x, y in named]
    for text, x, y in named:
        size = float(text.get_fontsize()) * scale
        wide, high = 0.6 * size * len(text.get_text()), 1.15 * size
        text.set_color(colours["muted"])
        for right, up in _AROUND:
            left = x + right * 6.5 * scale - wide * (1 - right) / 2
            bottom = y + up * high - high / 2
            box = (left, bottom, left + wide, bottom + high)
            fits = inside.x0 <= box[0] and box[2] <= inside.x1 + 4 * scale
            if fits and not any(_overlap(box, other) for other in taken):
                text.xyann = (6.5 * right, up * high / scale)
                text.set_horizontalalignment({1: "left", 0: "center", -1: "right"}[right])
                taken.append(box)
                break
        else:
            text.set_visible(False)


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
