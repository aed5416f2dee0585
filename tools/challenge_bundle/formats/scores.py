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
    """An image whose predicted class is not its reference class."""

    file: str
    reference: str
    prediction: str


@dataclass(frozen=True, slots=True)
class Scores:
    """The result of the scoring program.

    Args:
        values: Every score by its name, all finite.
        intervals: The interval of each headline score.
        class_names: Of the reference, in label order.
        cases: Number of test images.
        wrong_cases: Those that were classified wrongly, by file name; empty if they were not asked for.
    """

    values: dict[str, float]
    intervals: dict[str, Interval]
    class_names: tuple[str, ...]
    cases: int
    wrong_cases: tuple[WrongCase, ...]


def read_scores(path: Path) -> Scores:
    """Read a scores.json.

    Raises:
        DataError: Not there, not JSON, a headline score missing or not a finite number.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        # Programs of the first version wrote all of it at the top level.
        details = document.get("details", document)
        values = {
            key: float(value)
            for key, value in document.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        scores = Scores(
            values=values,
            intervals={key: Interval(*map(float, bounds)) for key, bounds in details["intervals"].items()},
            class_names=tuple(map(str, details["class_names"])),
            cases=int(details["cases"]),
            wrong_cases=tuple(
                WrongCase(case["file"], case["reference"], case["prediction"])
                for case in details["wrong_cases"] or ()
            ),
        )
    except FileNotFoundError:
        raise DataError(
            "there are no scores yet", path, code="no-scores", hint="run `score` or `run-all` first"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError) as fault:
        raise DataError(
            f"not the scoring program's scores.json ({fault!r})",
            path,
            code="scores-unreadable",
            hint="run `score` again",
        ) from None
    faulty = [name for name in HEADLINE if not math.isfinite(values.get(name, math.nan))]
    if faulty:
        raise DataError(
            f"{faulty[0]} is missing or not a finite number",
            path,
            code="scores-not-finite",
            hint="run `score` again",
        )
    return scores


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
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


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
