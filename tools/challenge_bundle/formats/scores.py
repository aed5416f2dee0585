"""scores.json, the scoring program's full result."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError

HEADLINE = ("weighted_precision", "weighted_recall", "weighted_f1")


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % confidence interval, bounds included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class WrongCase:
    """A case that was not predicted as it is, its reference and prediction as texts."""

    file: str
    reference: str
    prediction: str


@dataclass(frozen=True, slots=True)
class Scores:
    """The result of a scoring program; what it does not state is empty or None.

    Args:
        values: Every score by its name, all finite.
        intervals: The intervals of scores that have one.
        class_names: Of the task, in order.
        cases: Number of test cases.
        wrong_cases: Those that were not predicted as they are, or have the largest errors, in the order of
            the scoring program; empty if they were not asked for.
        metric: The score that ranks; empty if the scores do not say which.
        titles: What people read for a score's name.
        lower_is_better: Names of the scores of which a lower one is better.
    """

    values: dict[str, float]
    intervals: dict[str, Interval]
    class_names: tuple[str, ...]
    cases: int | None
    wrong_cases: tuple[WrongCase, ...]
    metric: str
    titles: Mapping[str, str]
    lower_is_better: frozenset[str]

    @property
    def headline(self) -> tuple[str, ...]:
        """The scores to be printed: the three of the weighted report if one of them ranks, else what does."""
        if self.metric in HEADLINE or not self.metric:
            return tuple(name for name in HEADLINE if name in self.values) or tuple(self.values)[:3]
        return (self.metric,)


def read_scores(path: Path) -> Scores:
    """Read the scores.json of any scoring program.

    Raises:
        DataError: Not there, not JSON, no score, or the score that ranks missing.
    """
    try:
        document = parse_scores(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise DataError(
            "there are no scores yet", path, code="no-scores", hint="run `score` or `run-all` first"
        ) from None
    except UnicodeDecodeError as fault:
        raise _unreadable(path, fault) from None
    # Programs of the first version wrote the intervals and the counts at the top level, beside the scores.
    is_first = "details" not in document and "confusion_matrix" in document
    details = document if is_first else _details(document)
    values = {name: float(document[name]) for name in score_names(document)}
    if is_first:
        values = {name: value for name, value in values.items() if name not in ("cases", "wrong")}
    metric = default_metric(document)
    if metric and metric not in values:
        raise DataError(
            f"{metric} is missing or not a finite number",
            path,
            code="scores-not-finite",
            hint="run `score` again",
        )
    try:
        return Scores(
            values=values,
            intervals={
                name: Interval(*map(float, bounds)) for name, bounds in details.get("intervals", {}).items()
            },
            class_names=tuple(map(str, details.get("class_names", ()))),
            cases=int(details["cases"]) if "cases" in details else None,
            wrong_cases=tuple(
                WrongCase(str(case["file"]), str(case["reference"]), str(case["prediction"]))
                for case in details.get("wrong_cases") or ()
            ),
            metric=metric,
            titles={
                name: str(about["title"])
                for name, about in details.get("metrics", {}).items()
                if about.get("title")
            },
            lower_is_better=frozenset(name for name in values if not higher_is_better(document, name)),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as fault:
        raise _unreadable(path, fault) from None


def _unreadable(path: Path, fault: Exception) -> DataError:
    return DataError(
        f"not the scoring program's scores.json ({fault!r})",
        path,
        code="scores-unreadable",
        hint="run `score` again",
    )


def read_values(path: Path) -> dict[str, float]:
    """Every number in a scores.json, whichever scoring program wrote it; none if it is not there."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {key: float(value) for key, value in document.items() if type(value) in (int, float)}
    except (OSError, ValueError, AttributeError):
        return {}


FORMER_METRIC = "weighted_f1"
"""What a board ranked by where nothing else was set, before scoring programs said which metric is theirs."""


def parse_scores(text: str, path: Path) -> dict[str, Any]:
    """Parse the scores.json of any scoring program.

    Raises:
        DataError: It is not an object with a finite number at its top level.
    """
    try:
        content = json.loads(text)
        if isinstance(content, dict) and score_names(content):
            return content
        fault = "no number at its top level"
    except (ValueError, RecursionError) as error:
        fault = str(error)
    raise DataError(
        f"not a scores.json: {fault}",
        path,
        code="scores-unreadable",
        hint='let the scoring program write an object such as {"accuracy": 0.9}',
    )


def find_score(content: Mapping[str, Any], metric: str) -> float | None:
    """A score of a scores.json; None if it is missing or not a finite number."""
    value = content.get(metric)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has whole numbers of any size
        return None
    return number if math.isfinite(number) else None


def score_names(content: Mapping[str, Any]) -> list[str]:
    """The scores of a scores.json, in its order."""
    return [name for name in content if find_score(content, name) is not None]


def default_metric(content: Mapping[str, Any]) -> str:
    """The metric that ranks where bundle.toml names none; empty if the scores do not say which.

    It is the scoring program's own, or the only score there is. Programs of former days, which name none,
    ranked by FORMER_METRIC.
    """
    named = _details(content).get("metric")
    if isinstance(named, str):
        return named
    names = score_names(content)
    if len(names) == 1:
        return names[0]
    return FORMER_METRIC if FORMER_METRIC in names else ""


def higher_is_better(content: Mapping[str, Any], metric: str) -> bool:
    """Whether a higher score is better; it is, unless the scoring program says otherwise."""
    about = _details(content).get("metrics")
    known = about.get(metric) if isinstance(about, dict) else None
    if isinstance(known, dict) and isinstance(known.get("higher_is_better"), bool):
        return bool(known["higher_is_better"])
    listed = content.get("higher_is_better")
    return not (isinstance(listed, dict) and listed.get(metric) is False)


def _details(content: Mapping[str, Any]) -> Mapping[str, Any]:
    details = content.get("details")
    return details if isinstance(details, dict) else {}
