"""scores.json, the scoring program's full result."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

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
