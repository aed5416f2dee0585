"""What a scores.json says about its metrics: title, unit, range, direction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from challenge_bundle.formats.scores import find_score, higher_is_better

_LONGEST_TEXT = 300


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What a reader needs to know of a score.

    Args:
        name: As in scores.json.
        title: For readers.
        unit: Such as `mm`; empty if the score has none.
        low: The least possible score; -inf if there is none.
        high: The greatest possible score; inf if there is none.
        higher_is_better: Whether a higher score is better.
        policy: What the metric does where it is undefined.
        source: The publication that defines it.
        caution: How often its intervals were measured to hold the true score; empty if that is 95 %, or if
            nothing is said.
    """

    name: str
    title: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf
    higher_is_better: bool = True
    policy: str = ""
    source: str = ""
    caution: str = ""

    @property
    def worst(self) -> float:
        """The worst possible score; infinite if there is none."""
        return self.low if self.higher_is_better else self.high

    def shown(self, score: float, digits: int = 4) -> str:
        """A score as text: digits after the point, or significant ones where it is large."""
        return f"{score:.{digits}f}" if abs(score) < 100.0 else f"{score:.{digits + 2}g}"


def metric_info(content: Mapping[str, Any], name: str) -> MetricInfo:
    """What a scores.json says about one of its metrics; programs of one's own may say nothing."""
    found = _metrics(content).get(name)
    stated = found if isinstance(found, dict) else {}
    return MetricInfo(
        name=name,
        title=_text(stated, "title") or name.replace("_", " "),
        unit=_text(stated, "unit"),
        low=_number(stated.get("low"), -math.inf),
        high=_number(stated.get("high"), math.inf),
        higher_is_better=higher_is_better(content, name),
        policy=_text(stated, "policy"),
        source=_text(stated, "source"),
        caution=_text(_interval_notes(content), name) or _text(stated, "caution"),
    )


def known_metrics(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the metrics whose direction the scoring program states: those that could rank."""
    listed = content.get("higher_is_better")
    names = [*_metrics(content), *(listed if isinstance(listed, dict) else ())]
    return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def stated_interval(content: Mapping[str, Any], name: str) -> tuple[float, float]:
    """The scoring program's own 95 % interval of a score, nan where it gives none."""
    intervals = _details(content).get("intervals")
    bounds = intervals.get(name) if isinstance(intervals, dict) else None
    if not isinstance(bounds, Sequence) or isinstance(bounds, str) or len(bounds) != 2:
        return math.nan, math.nan
    low, high = (_number(bound, math.nan) for bound in bounds)
    return (low, high) if low <= high else (math.nan, math.nan)


def case_counts(content: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Number of cases and of groups, as far as a scores.json says so."""
    cases, groups = (_details(content).get(name) for name in ("cases", "groups"))
    return _count(cases), _count(groups)


def class_scores(content: Mapping[str, Any], metric: str) -> tuple[str, dict[str, float]]:
    """The measure that a metric averages over classes or labels, and its value of each.

    Args:
        content: Of a scores.json.
        metric: Such as `macro_f1`.

    Returns:
        Name of the measure, such as `f1`, and its value by class name; empty if the scoring program writes no
        such table. Other measures are left out: with made-up probabilities some reveal the reference.
    """
    table = _details(content).get("per_class")
    if not isinstance(table, dict) or not all(isinstance(row, dict) for row in table.values()):
        return "", {}
    measures = {key for row in table.values() for key in row}
    measure = max(
        (key for key in measures if metric == key or metric.endswith(f"_{key}")), key=len, default=""
    )
    values = {name: _number(row.get(measure), math.nan) for name, row in table.items()}
    return (measure, values) if measure else ("", {})


def class_names(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of classes or labels in the order of the challenge, as far as a scores.json has them."""
    names = _details(content).get("class_names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _details(content: Mapping[str, Any]) -> Mapping[str, Any]:
    details = content.get("details")
    # Scoring programs of version 0.1 wrote all at the top level.
    return details if isinstance(details, dict) else content


def _metrics(content: Mapping[str, Any]) -> Mapping[str, Any]:
    metrics = _details(content).get("metrics")
    return metrics if isinstance(metrics, dict) else {}


def _interval_notes(content: Mapping[str, Any]) -> Mapping[str, Any]:
    notes = _details(content).get("interval_notes")
    return notes if isinstance(notes, dict) else {}


def _text(stated: Mapping[str, Any], key: str) -> str:
    value = stated.get(key)
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""


def _number(value: Any, otherwise: float) -> float:
    number = find_score({"": value}, "")
    return otherwise if number is None else number


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
