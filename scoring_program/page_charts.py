"""Charts as inline SVG: pure functions from numbers to text, without a plotting library.

Colours are classes of CHART_STYLE, so that a chart follows the page into dark mode and onto paper. Every
chart has a title and a description for those who do not see it; every text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

CHART_STYLE = """
svg.chart { max-width: 100%; height: auto; display: block; }
svg.chart text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg.chart .grid { stroke: var(--line); stroke-width: 1; fill: none; }
svg.chart .rule { stroke: var(--soft); stroke-width: 1.2; fill: none; }
svg.chart .limit { stroke: rgb(var(--wrong)); stroke-width: 1.4; stroke-dasharray: 5 4; fill: none; }
svg.chart .curve { stroke: rgb(var(--right)); stroke-width: 2; fill: none; stroke-linejoin: round; }
svg.chart .dot { fill: rgb(var(--right)); } svg.chart .case { fill: rgb(var(--right) / .45); }
svg.chart .cell { fill: rgb(var(--right)); } svg.chart .few { fill: rgb(var(--right) / .16); }
svg.chart .span { fill: rgb(var(--right) / .45); }
@media print { svg.chart * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

FEWEST = 5
"""No aggregate of fewer cases is shown as a number where participants see the page; see page_data.py."""

Points = Sequence[Sequence[float]]


class Axis(NamedTuple):
    """One axis of a plot.

    Args:
        low: The value at its beginning.
        high: The value at its end, greater than `low`.
        label: What it measures.
        begin_px: Where it begins.
        end_px: Where it ends; of a vertical axis, above its beginning, so a smaller number.
    """

    low: float
    high: float
    label: str
    begin_px: float
    end_px: float

    def place(self, value: float) -> float:
        """Where a value lies, pixels; one beyond an end lies on that end."""
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        return round(self.begin_px + share * (self.end_px - self.begin_px), 1)


class Plot(NamedTuple):
    """The frame of a plot: its size and its axes."""

    x: Axis
    y: Axis
    width_px: int
    height_px: int


def make_plot(
    x: tuple[float, float, str], y: tuple[float, float, str], width_px: int = 360, height_px: int = 300
) -> Plot:
    """Lay out a plot; each axis is given by (lowest value, highest value, label)."""
    return Plot(
        Axis(*x, begin_px=58.0, end_px=width_px - 14.0),
        Axis(*y, begin_px=height_px - 44.0, end_px=10.0),
        width_px,
        height_px,
    )


def nice_step(span: float, count: int) -> float:
    """The least of 1, 2, 2.5 or 5 times a power of ten that divides a span into at most `count` steps."""
    rough = span / count
    power = 10.0 ** math.floor(math.log10(rough))
    return next(
        factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9)
    )


def nice_range(low: float, high: float) -> tuple[float, float]:
    """Round bounds around two values, one apart if they are equal; they do not reveal the extreme values."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    for _ in range(3):  # wider bounds may have a wider step, and are then not yet multiples of it
        step = nice_step(high - low, 5)
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return low, high


def ticks(low: float, high: float) -> list[float]:
    """Round values from `low` to `high`, both included where they are round."""
    step = nice_step(high - low, 5)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def svg_chart(title: str, description: str, width_px: float, height_px: float, body: str) -> str:
    """A whole chart around its marks."""
    return (
        f'<svg class="chart" role="img" xmlns="http://www.w3.org/2000/svg" width="{width_px:g}"'
        f' height="{height_px:g}" viewBox="0 0 {width_px:g} {height_px:g}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{body}</svg>"
    )


def svg_plot(title: str, description: str, plot: Plot, marks: Sequence[str]) -> str:
    """A chart with two axes, their ticks, and the marks in between."""
    return svg_chart(title, description, plot.width_px, plot.height_px, svg_axes(plot) + "".join(marks))


def svg_axes(plot: Plot) -> str:
    """Grid, ticks and labels of both axes."""
    x, y = plot.x, plot.y
    parts = []
    for tick in ticks(x.low, x.high):
        at = x.place(tick)
        parts.append(f'<path class="grid" d="M{at:g} {y.begin_px:g}V{y.end_px:g}"/>')
        parts.append(f'<text x="{at:g}" y="{y.begin_px + 16:g}" text-anchor="middle">{_tick(tick)}</text>')
    for tick in ticks(y.low, y.high):
        at = y.place(tick)
        parts.append(f'<path class="grid" d="M{x.begin_px:g} {at:g}H{x.end_px:g}"/>')
        parts.append(f'<text x="{x.begin_px - 6:g}" y="{at + 4:g}" text-anchor="end">{_tick(tick)}</text>')
    middle_x, middle_y = (x.begin_px + x.end_px) / 2, (y.begin_px + y.end_px) / 2
    parts.append(
        f'<text x="{middle_x:g}" y="{plot.height_px - 8}" text-anchor="middle">{escape(x.label)}</text>'
        f'<text transform="translate(14 {middle_y:g}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.label)}</text>"
    )
    return "".join(parts)


def svg_line(plot: Plot, points: Points, kind: str = "curve") -> str:
    """A line through points (x, y); `kind` is `curve`, `rule` or `limit`."""
    places = " ".join(f"{plot.x.place(x):g},{plot.y.place(y):g}" for x, y in points)
    return f'<polyline class="{kind}" points="{places}"/>'


def svg_level(plot: Plot, value: float, text: str, kind: str = "limit") -> str:
    """A horizontal line across the plot, with its text above."""
    at = plot.y.place(value)
    return (
        svg_line(plot, [(plot.x.low, value), (plot.x.high, value)], kind)
        + f'<text x="{plot.x.end_px - 3:g}" y="{at - 4:g}" text-anchor="end">{escape(text)}</text>'
    )


def svg_dots(plot: Plot, points: Points, texts: Sequence[str] = (), kind: str = "dot") -> str:
    """A dot at each point (x, y), each with its tooltip if there are texts."""
    radius = 2.2 if kind == "case" else 3.5
    parts = []
    for number, (x, y) in enumerate(points):
        tip = f"<title>{escape(texts[number])}</title>" if texts else ""
        place = f'cx="{plot.x.place(x):g}" cy="{plot.y.place(y):g}" r="{radius}"'
        parts.append(
            f'<circle class="{kind}" {place}>{tip}</circle>' if tip else f'<circle class="{kind}" {place}/>'
        )
    return "".join(parts)


def svg_bands(plot: Plot, bands: Sequence[tuple[float, float, float]]) -> str:
    """A vertical stroke for each (x, lowest y, highest y), such as an interval."""
    return "".join(
        f'<path class="rule" d="M{plot.x.place(x):g} {plot.y.place(low):g}V{plot.y.place(high):g}"/>'
        for x, low, high in bands
    )


def svg_cells(plot: Plot, counts: np.ndarray, exact: bool) -> str:
    """A histogram of two values: a shaded rectangle for each cell with a case.

    Args:
        plot: Its axes are divided into equal bins.
        counts: (columns, rows), from the lowest values on.
        exact: Whether counts below FEWEST may be shown.
    """
    columns, rows = counts.shape
    xs = [plot.x.place(plot.x.low + (plot.x.high - plot.x.low) * at / columns) for at in range(columns + 1)]
    ys = [plot.y.place(plot.y.low + (plot.y.high - plot.y.low) * at / rows) for at in range(rows + 1)]
    most = max(int(counts.max(initial=0)), 1)
    parts = []
    for column, row in np.argwhere(counts > 0).tolist():
        count = int(counts[column, row])
        shape = (
            f'x="{xs[column] + 0.5:g}" y="{ys[row + 1] + 0.5:g}"'
            f' width="{xs[column + 1] - xs[column] - 1:.1f}"'
            f' height="{ys[row] - ys[row + 1] - 1:.1f}"><title>{count_text(count, exact)}</title></rect>'
        )
        if count < FEWEST and not exact:
            parts.append(f'<rect class="few" {shape}')
        else:
            parts.append(
                f'<rect class="cell" fill-opacity="{0.2 + 0.8 * math.sqrt(count / most):.2f}" {shape}'
            )
    return "".join(parts)


def svg_columns(plot: Plot, counts: Sequence[int], exact: bool) -> str:
    """A histogram: a bar for each of the equal bins of the horizontal axis; `exact` as in svg_cells."""
    width = (plot.x.high - plot.x.low) / len(counts)
    parts = []
    for number, count in enumerate(counts):
        if not count:
            continue
        few = count < FEWEST and not exact
        left, right = (plot.x.place(plot.x.low + width * at) for at in (number, number + 1))
        top = plot.y.place(FEWEST - 1 if few else count)
        parts.append(
            f'<rect class="{"few" if few else "cell"}" x="{left + 0.5:g}" y="{top:g}"'
            f' width="{right - left - 1:.1f}" height="{plot.y.begin_px - top:.1f}">'
            f"<title>{count_text(count, exact)}</title></rect>"
        )
    return "".join(parts)


def count_text(count: int, exact: bool) -> str:
    """A number of cases in words; a small one is not shown exactly unless it may be."""
    if not exact and 0 < count < FEWEST:
        return f"1 to {FEWEST - 1} cases"
    return f"{count:,} case{'' if count == 1 else 's'}"


def svg_interval(value: float, low: float, high: float, least: float, most: float) -> str:
    """A small chart of a score and its interval on the metric's range."""
    axis = Axis(least, most, "", 5.0, 155.0)
    left, right = axis.place(low), axis.place(high)
    body = (
        '<path class="grid" d="M5 8H155M5 4V12M155 4V12"/>'
        f'<rect class="span" x="{left:g}" y="4" width="{max(right - left, 1.5):.1f}" height="8" rx="2"/>'
        f'<circle class="dot" cx="{axis.place(value):g}" cy="8" r="3.5"/>'
    )
    return svg_chart(
        "Interval", f"{low:.4g} to {high:.4g} on a range of {least:g} to {most:g}", 160, 16, body
    )


def _tick(value: float) -> str:
    return f"{0.0 if abs(value) < 1e-12 else value:.6g}".replace("-", "\N{MINUS SIGN}")
