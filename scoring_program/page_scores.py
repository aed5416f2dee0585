"""The page's rows of scores: interval, unit, direction and definition of each, as details.metrics says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from page_charts import svg_interval

TILES = 4


class ScoreRow(NamedTuple):
    """One score, ready to be shown; texts are not escaped.

    Args:
        name: Its key in scores.json.
        title: What people read.
        value: The number.
        interval: `low to high`; empty without one.
        unit: Of the number; empty for a number without one.
        direction: `↑ higher is better` or `↓ lower is better`.
        definition: What it does where something that it needs is missing.
        source: Who defined it.
        caution: Why the interval is not to be relied on; else empty.
        chart: The interval on the metric's range, as SVG; empty if there is none, or the range is endless.
        ranks: Whether the board ranks by it.
    """

    name: str
    title: str
    value: str
    interval: str
    unit: str
    direction: str
    definition: str
    source: str
    caution: str
    chart: str
    ranks: bool


def score_rows(result: Mapping[str, Any]) -> list[ScoreRow]:
    """A row for each number at the top level of scores.json, in its order."""
    return [score_row(name, value, result["details"]) for name, value in result.items() if name != "details"]


def score_row(name: str, value: float, details: Mapping[str, Any]) -> ScoreRow:
    """The row of one score."""
    known = details.get("metrics", {}).get(name, {})
    interval = details.get("intervals", {}).get(name)
    notes = details.get("interval_notes", {})
    caution = notes.get(name, "") if interval else "no interval: none is known that covers well"
    least, most = known.get("low"), known.get("high")
    bounded = all(isinstance(bound, (int, float)) and math.isfinite(bound) for bound in (least, most))
    chart = svg_interval(value, interval[0], interval[1], least, most) if interval and bounded else ""
    unit = known.get("unit", "")
    return ScoreRow(
        name=name,
        title=known.get("title") or name.replace("_", " "),
        value=number_text(value),
        interval=f"{number_text(interval[0])} to {number_text(interval[1])}" if interval else "",
        unit="unit of the values" if unit == "value" else unit,
        direction="↑ higher is better" if known.get("higher_is_better", True) else "↓ lower is better",
        definition=known.get("policy", ""),
        source=known.get("source", ""),
        caution=caution,
        chart=chart,
        ranks=name == details.get("metric"),
    )


def tiles(rows: list[ScoreRow]) -> list[ScoreRow]:
    """The scores that stand out at the top: the one that ranks, then the first others."""
    return sorted(rows, key=lambda row: not row.ranks)[:TILES]


def number_text(value: float) -> str:
    """A number as it is read: four decimals while it is small, thousands separated while it is large."""
    size = abs(value)
    if size >= 10_000 or (size and float(f"{size:.4f}") == 0):
        text = f"{value:,.0f}" if size < 1e15 and size >= 10_000 else f"{value:.3g}"
    else:
        text = f"{value:.4f}" if size < 10 else f"{value:,.2f}"
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text
