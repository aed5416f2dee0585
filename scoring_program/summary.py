"""The result of scoring some cases: scores, intervals, and what the organiser needs besides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cases import Cases
from files import TASK_NAME
from findings import Finding, InputError, shown
from interval_notes import interval_notes
from metric import Metric
from metrics import DEFAULT_METRICS, REGISTRY, metrics_of, per_class, score_all
from reference import Reference
from resampling import write_private
from uncertainty import resampled_metrics, score_intervals

HEADLINE = ("weighted_precision", "weighted_recall", "weighted_f1")
MOST_ERRORS_SHOWN = 100
FEWEST_FOR_AREAS = 5


def score_cases(cases: Cases, note: str, show_cases: bool) -> dict[str, Any]:
    """Compute all scores.

    Args:
        cases: Reference and predictions.
        note: Whether the probability columns are used.
        show_cases: Whether to list the images that went wrong.

    Returns:
        The content of scores.json: scores by name at the top, as a platform's board reads them, the headline
        scores first; all else below `details`.

    Raises:
        InputError: task.json names a metric that the task does not have.
    """
    known = [metric.name for metric in REGISTRY.values() if cases.task.name in metric.tasks]
    if cases.task.metric and cases.task.metric not in known:
        message = f"expected a metric of {', '.join(known)}, but got {shown(cases.task.metric)}"
        raise InputError(Finding("task-invalid", TASK_NAME, message))
    scores, undefined = score_all(cases)
    metrics = [REGISTRY[name] for name in scores]
    ordered = {name: scores[name] for name in (*HEADLINE, *scores) if name in scores}
    wrong = wrong_rows(cases)
    intervals = score_intervals(cases, metrics)
    details: dict[str, Any] = {
        "task": cases.task.name,
        "metric": cases.task.metric or DEFAULT_METRICS[cases.task.name],
        "cases": len(cases.names),
        "groups": int(cases.groups.max()) + 1 if len(np.unique(cases.groups)) < len(cases.names) else None,
        "class_names": list(cases.task.class_names),
        "metrics": {metric.name: describe(metric) for metric in metrics},
        "intervals": intervals,
        "interval_notes": interval_notes(cases, intervals),
        "undefined": undefined,
        "per_class": report_classes(cases, show_cases),
        "probabilities": note,
        "wrong": None if wrong is None else len(wrong),
        "wrong_cases": list_wrong_cases(cases, wrong) if show_cases else None,
    }
    if cases.reference.dtype == np.int64:
        count = len(cases.task.class_names)
        cells = np.bincount(cases.reference * count + cases.predictions, minlength=count**2)
        details["confusion_matrix"] = cells.reshape(count, count).tolist()
    return {**ordered, "details": details}


def report_classes(cases: Cases, show_cases: bool) -> dict[str, dict[str, float]]:
    """The scores of each class; without `show_cases`, no area of a class with few cases.

    With one positive case the area under its curve says where in the order of the participant's own
    probabilities that case stands, and so which case it is.
    """
    found = per_class(cases)
    for scores in found.values():
        few = min(scores["support"], len(cases.reference) - scores["support"])
        if few < FEWEST_FOR_AREAS and not show_cases:
            for name in ("auc", "average_precision"):
                scores.pop(name, None)
    return found


def describe(metric: Metric) -> dict[str, Any]:
    """What people need to know of a metric; a bound that is not there is null."""
    return {
        "title": metric.title,
        "unit": metric.unit,
        "low": metric.low if np.isfinite(metric.low) else None,
        "high": metric.high if np.isfinite(metric.high) else None,
        "higher_is_better": metric.higher_is_better,
        "policy": metric.policy,
        "source": metric.source,
    }


def wrong_rows(cases: Cases) -> np.ndarray | None:
    """The cases that are not predicted as they are; None where predictions are seldom equal: of values."""
    if cases.task.name == "regression":
        return None
    differs = (cases.reference != cases.predictions).reshape(len(cases.names), -1).any(axis=1)
    return np.flatnonzero(differs)


def list_wrong_cases(cases: Cases, wrong: np.ndarray | None) -> list[dict[str, str]]:
    """The cases that went wrong, by name; of values those with the largest errors, the largest first.

    Of several labels, the cases with the most wrong labels come first.
    """
    if wrong is None:
        errors = np.abs(cases.reference - cases.predictions)
        wrong = np.argsort(-errors, kind="stable")[:MOST_ERRORS_SHOWN]
    elif cases.reference.ndim == 2:
        differ = (cases.reference[wrong] != cases.predictions[wrong]).sum(axis=1)
        wrong = wrong[np.argsort(-differ, kind="stable")]
    return [
        {
            "file": str(cases.names[row]),
            "reference": answer_text(cases, cases.reference[row]),
            "prediction": answer_text(cases, cases.predictions[row]),
        }
        for row in wrong.tolist()
    ]


def answer_text(cases: Cases, value: Any) -> str:
    """A reference or a prediction as text: equal texts are equal answers."""
    if cases.task.name == "regression":
        return repr(float(value))
    if cases.task.name == "multilabel":
        return "|".join(name for name, is_set in zip(cases.task.class_names, value) if is_set)
    return str(cases.task.class_names[value])


def write_organisers_files(
    cases: Cases, reference: Reference, scored: Iterable[str], folder: Path, resamples: int
) -> None:
    """Write a value per case and the resampled scores: never where participants see them.

    Args:
        cases: What was scored.
        reference: Gives the names of groups, and attributes.
        scored: Names of the metrics that have a score.
        folder: Gets the files.
        resamples: R, at most.
    """
    wrong = np.zeros(len(cases.names), dtype=np.int64)
    found = wrong_rows(cases)
    wrong[found if found is not None else []] = 1
    columns: dict[str, Sequence[Any]] = {
        "answer": [answer_text(cases, value) for value in cases.predictions],
        "wrong": [""] * len(wrong) if found is None else wrong.tolist(),
    }
    for metric in metrics_of(cases):
        if metric.values is not None:
            values = metric.values(cases).tolist()
            columns[metric.name] = ["" if np.isnan(value) else value for value in values]
    metrics = [REGISTRY[name] for name in scored]
    resampled, influences = resampled_metrics(cases, metrics, resamples)
    names = [str(name) for name in cases.names]
    group_of = [reference.group_names[group] for group in cases.groups] if reference.group_names else None
    write_private(
        folder, names, cases.groups, {**columns, **reference.attributes}, resampled, influences, group_of
    )
