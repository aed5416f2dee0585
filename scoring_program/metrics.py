"""The registry of metrics: what each measures, its direction and range, policy.

A metric is one function, one entry of `_METRICS` and a test; then it can rank. Its score is the mean of a
value of each case (`values`), or what `finish` makes of a `measure`: sums over the cases for many sets of
weights at once, which several metrics may share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import count_metrics as counts
import value_metrics as values_of
from cases import Cases
from weighted_sums import Scorer

Values = Callable[[Cases], np.ndarray]
Measure = Callable[[Cases], Scorer]

LABELLED = ("classification", "ordinal")
NAMED = (*LABELLED, "multilabel")
REPORT = "scikit-learn, classification_report"
DEFAULT_METRICS = {
    "classification": "weighted_f1",
    "ordinal": "quadratic_kappa",
    "multilabel": "macro_auc",
    "regression": "mean_absolute_error",
}
"""The metric that ranks where task.json names none."""


def _as_it_is(measured: np.ndarray) -> np.ndarray:
    return measured


@dataclass(frozen=True)
class Metric:
    """One number of how well predictions agree with the reference.

    Args:
        name: Its key in scores.json, in snake_case; never changed.
        title: What people read.
        tasks: The tasks it is defined for.
        policy: What it does where a class, a label or a variation that it needs is missing.
        source: Who defined it, or whose numbers it equals.
        measure: Cases to weights (B, N) to whatever `finish` takes; None if there are `values`.
        finish: What was measured to scores (B,), nan where undefined.
        values: Cases to the value of each case (N,), nan where it has none, if the score is their mean.
        higher_is_better: Its direction.
        low: The worst or least possible score, may be -inf.
        high: The greatest possible score, may be inf.
        unit: Of the score; empty for a number without one, `value` for that of the reference's values.
        needs: `probabilities`, `events`, or empty.
        undefined: Why a score may be nan.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    policy: str
    source: str
    measure: Measure | None = None
    finish: Callable[[np.ndarray], np.ndarray] = _as_it_is
    values: Values | None = None
    higher_is_better: bool = True
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    needs: str = ""
    undefined: str = "no case"

    def prepare(self, cases: Cases) -> Scorer:
        """What depends on the cases alone, done once: weights (B, N) to scores (B,), nan where undefined."""
        measured = self.measuring(cases)
        return lambda weights: self.finish(measured(weights))

    @property
    def measuring(self) -> Measure:
        """`measure`, or the mean of `values`."""
        if self.measure is not None:
            return self.measure
        if self.values is not None:
            return values_of.mean_of(self.values)
        raise TypeError(f"metric {self.name}: expected a measure or values")

    def score(self, cases: Cases, weights: np.ndarray) -> np.ndarray:
        """Scores (B,) of weights (B, N), nan where undefined; a weight of 2 is the case listed twice."""
        return self.prepare(cases)(weights)


def metrics_of(cases: Cases) -> list[Metric]:
    """Choose the metrics that apply: to the task, and to what the predictions hold.

    Where some values are censored (`events`), an error of the value is not known: those metrics stay out.
    """
    has = {"": cases.events is None or bool(cases.events.all())}
    has["probabilities"] = cases.probabilities is not None
    has["events"] = cases.events is not None
    return [metric for metric in REGISTRY.values() if cases.task.name in metric.tasks and has[metric.needs]]


def scorer(metrics: Sequence[Metric], cases: Cases) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """Score several metrics at once; what they measure together is measured once.

    Returns:
        Weights (B, N) to scores (B,) by name, nan where undefined. It may be called from several threads.
    """
    shared = {metric.name: metric.measuring for metric in metrics}
    measured = {measure: measure(cases) for measure in shared.values()}

    def score(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = {measure: of_weights(weights) for measure, of_weights in measured.items()}
        return {metric.name: metric.finish(sums[shared[metric.name]]) for metric in metrics}

    return score


def score_all(cases: Cases) -> tuple[dict[str, float], dict[str, str]]:
    """Score every metric that applies, in double precision, each case once.

    Returns:
        (defined scores by name, in the registry's order; why a score, or a class's part in it, is undefined,
        by name: `macro_auc`, `auc of Hernia`)
    """
    metrics = metrics_of(cases)
    found = scorer(metrics, cases)(np.ones((1, len(cases.reference))))
    scores = {name: float(score[0]) for name, score in found.items() if not np.isnan(score[0])}
    undefined = {metric.name: metric.undefined for metric in metrics if metric.name not in scores}
    return scores, undefined


_counted = partial(
    Metric,
    tasks=LABELLED,
    measure=counts.class_counts,
    policy="Nothing divided by nothing is 0: the precision of a class that was never predicted.",
    source=REPORT,
)
_macro = partial(
    _counted,
    policy="The mean over the classes that the reference or a prediction has; nothing by nothing is 0.",
)
_kappa = partial(
    Metric,
    tasks=("ordinal",),
    measure=counts.confusion,
    policy="1 where reference and predictions are all of one and the same class.",
    source="Cohen 1968; scikit-learn, cohen_kappa_score with all classes in `labels`",
    low=-1.0,
)

_METRICS = (
    _counted("weighted_precision", "Precision, weighted by support", finish=counts.weighted_precision),
    _counted("weighted_recall", "Recall, weighted by support", finish=counts.weighted_recall),
    _counted("weighted_f1", "F1, weighted by support", finish=counts.weighted_f1),
    _kappa("quadratic_kappa", "Quadratic weighted kappa", finish=counts.quadratic_kappa),
    _kappa("linear_kappa", "Linear weighted kappa", finish=counts.linear_kappa),
    Metric(
        "mean_absolute_rank_error",
        "Mean absolute error of the rank",
        ("ordinal",),
        policy="Defined for every case.",
        source="scikit-learn, mean_absolute_error of the labels",
        values=values_of.rank_distances,
        higher_is_better=False,
        high=np.inf,
        unit="ranks",
    ),
    _macro("macro_precision", "Precision, mean over classes", finish=counts.macro_precision),
    _macro("macro_recall", "Recall, mean over classes", finish=counts.macro_recall),
    _macro("macro_f1", "F1, mean over classes", tasks=NAMED, finish=counts.macro_f1),
    _counted(
        "micro_f1",
        "F1 of all labels' hits together",
        tasks=("multilabel",),
        finish=counts.micro_f1,
        policy="0 where no label is positive in a case's reference or predictions.",
        source="scikit-learn, f1_score with average micro",
    ),
    _counted(
        "cohen_kappa",
        "Cohen's kappa",
        finish=counts.cohen_kappa,
        policy="1 where reference and predictions are all of one and the same class.",
        source="Cohen 1960; scikit-learn, cohen_kappa_score",
        low=-1.0,
    ),
    Metric(
        "accuracy",
        "Accuracy",
        LABELLED,
        policy="Defined for every case.",
        source="scikit-learn, accuracy_score",
        values=values_of.hit_values,
    ),
    Metric(
        "subset_accuracy",
        "Cases with every label right",
        ("multilabel",),
        policy="Defined for every case.",
        source="scikit-learn, accuracy_score of indicators",
        values=values_of.hit_values,
    ),
    _counted(
        "balanced_accuracy",
        "Balanced accuracy: mean recall",
        finish=counts.balanced_accuracy,
        policy="The mean over the classes that the reference has.",
        source="scikit-learn, balanced_accuracy_score",
    ),
    _counted(
        "matthews_correlation",
        "Matthews correlation",
        finish=counts.matthews_correlation,
        policy="0 where the reference or the predictions are of one class only.",
        source="Gorodkin 2004; scikit-learn, matthews_corrcoef",
        low=-1.0,
    ),
)

REGISTRY = {metric.name: metric for metric in _METRICS}
"""Every metric by name, in the order in which they are written and shown."""


# Replaced by the registry; score.py still calls what follows.
CONFIDENCE = 0.95
RESAMPLES = 2000
CALIBRATION_BINS = 15


def confusion_matrix(reference: np.ndarray, predictions: np.ndarray, class_count: int) -> np.ndarray:
    """Count the cases of each pair of classes.

    Args:
        reference: Labels (N,).
        predictions: Labels (N,).
        class_count: K.

    Returns:
        Counts (K, K), int64: rows the reference, columns the prediction.
    """
    cells = np.bincount(reference * class_count + predictions, minlength=class_count**2)
    return cells.reshape(class_count, class_count)


def classification_scores(
    confusion: np.ndarray, class_names: Sequence[str]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The numbers of scikit-learn's classification_report.

    It gets one case per cell, weighted by the cell's count: the same numbers, whatever the number of cases.

    Args:
        confusion: Counts (K, K).
        class_names: In label order.

    Returns:
        (scores by name, the headline three first; scores of each class by class name)
    """
    from sklearn.metrics import classification_report

    rows, columns = np.indices(confusion.shape)
    report: dict[str, Any] = classification_report(
        rows.ravel(),
        columns.ravel(),
        sample_weight=confusion.ravel(),
        labels=range(len(class_names)),
        target_names=[str(label) for label in range(len(class_names))],
        output_dict=True,
        zero_division=0.0,
    )
    scores = {
        f"{average}_{name}": float(report[f"{average} avg"][key])
        for average in ("weighted", "macro")
        for name, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"))
    }
    scores["accuracy"] = float(confusion.trace() / confusion.sum())
    per_class = {
        class_name: {
            "precision": float(report[str(label)]["precision"]),
            "recall": float(report[str(label)]["recall"]),
            "f1": float(report[str(label)]["f1-score"]),
            "support": int(report[str(label)]["support"]),
        }
        for label, class_name in enumerate(class_names)
    }
    return scores, per_class


def weighted_scores(confusion: np.ndarray) -> np.ndarray:
    """Weighted precision, recall and F1 of many confusion matrices at once; nothing divided by nothing is 0.

    Args:
        confusion: Counts (..., K, K).

    Returns:
        Scores (..., 3).
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    support = confusion.sum(axis=-1)
    predicted = confusion.sum(axis=-2)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2.0 * hits / np.maximum(support + predicted, 1)
    weights = support / support.sum(axis=-1, keepdims=True)
    return np.stack([(weights * score).sum(axis=-1) for score in (precision, recall, f1)], axis=-1)


def bootstrap_intervals(confusion: np.ndarray, seed: int = 0) -> dict[str, list[float]]:
    """Percentile intervals of the headline scores over resampled cases.

    Drawing N cases with replacement and counting their cells is drawing the counts from a multinomial
    distribution, so the resamples are drawn as counts: the time does not grow with the number of cases.

    Args:
        confusion: Counts (K, K).
        seed: Of the resamples.

    Returns:
        [low, high] of each headline score, 95 %.

    Source:
        Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    total = int(confusion.sum())
    cells = confusion.ravel()
    filled = np.flatnonzero(cells)
    drawn = np.random.default_rng(seed).multinomial(total, cells[filled] / total, size=RESAMPLES)
    resampled = np.zeros((RESAMPLES, cells.size), dtype=np.int64)
    resampled[:, filled] = drawn
    scores = weighted_scores(resampled.reshape(RESAMPLES, *confusion.shape))
    tail = 100.0 * (1.0 - CONFIDENCE) / 2.0
    low, high = np.percentile(scores, [tail, 100.0 - tail], axis=0)
    names = ("weighted_precision", "weighted_recall", "weighted_f1")
    return {name: [float(low[column]), float(high[column])] for column, name in enumerate(names)}


def probability_scores(reference: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Scores of the probabilities.

    Args:
        reference: Labels (N,), each of 0..K-1 at least once.
        probabilities: (N, K), rows that sum to about 1.

    Returns:
        `weighted_auc` (one class against the rest, weighted by support), `log_loss` (natural logarithm) and
        `calibration_error` (expected, of the predicted class, 15 bins of equal width).

    Source:
        scikit-learn, roc_auc_score and log_loss; Guo et al. 2017, "On Calibration of Modern Neural
        Networks", equation 5.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    labels = np.arange(probabilities.shape[1])
    if len(labels) == 2:
        auc = roc_auc_score(reference, probabilities[:, 1])
    else:
        auc = roc_auc_score(reference, probabilities, multi_class="ovr", average="weighted", labels=labels)
    return {
        "weighted_auc": float(auc),
        "log_loss": float(log_loss(reference, probabilities, labels=labels)),
        "calibration_error": calibration_error(reference, probabilities),
    }


def calibration_error(reference: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean distance, over bins of confidence, of confidence and accuracy, weighted by the bins' cases.

    Args:
        reference: Labels (N,).
        probabilities: (N, K), rows that sum to 1.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == reference
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    bins = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, CALIBRATION_BINS - 1)
    gap = np.bincount(bins, weights=confidence - correct, minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(reference))
