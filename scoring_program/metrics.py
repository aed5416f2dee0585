"""The registry of metrics: what each measures, its direction and range, policy.

A metric is one function, one entry of `_METRICS` and a test; then it can rank. Its score is the mean of a
value of each case (`values`), or what `finish` makes of a `measure`: sums over the cases for many sets of
weights at once, which several metrics may share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

import count_metrics as counts
import rank_metrics as ranks
import regression_metrics as regression
import value_metrics as values_of
from cases import Cases, merge
from metric import Metric

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
    of_labels = [metric for metric in metrics if cases.task.name in LABELLED and not metric.needs]
    others = [metric for metric in metrics if metric not in of_labels]
    found: dict[str, np.ndarray] = {}
    if of_labels:
        merged, counts = merge(cases, np.ones(len(cases.reference)))
        found |= scorer(of_labels, merged)(counts[np.newaxis])
    if others:
        found |= scorer(others, cases)(np.ones((1, len(cases.reference))))
    scores = {one.name: float(found[one.name][0]) for one in metrics if not np.isnan(found[one.name][0])}
    undefined = {metric.name: metric.undefined for metric in metrics if metric.name not in scores}
    if cases.probabilities is not None:
        undefined.update(_classes_without_area(cases))
    return scores, undefined


def _classes_without_area(cases: Cases) -> dict[str, str]:
    """Why classes are left out of the means over AUROC and average precision, by `auc of CLASS`."""
    support = counts.class_counts(cases)(np.ones((1, len(cases.reference))))[0, counts.SUPPORT]
    undefined = {}
    for label, name in enumerate(cases.task.class_names):
        positives = support[label]
        if positives == 0:
            undefined[f"auc of {name}"] = "no positive case"
            undefined[f"average_precision of {name}"] = "no positive case"
        elif positives == len(cases.reference):
            undefined[f"auc of {name}"] = "no negative case"
    return undefined


def per_class(cases: Cases) -> dict[str, dict[str, float]]:
    """The scores of each class or label, in their order; none of a regression.

    Returns:
        By name of the class: `precision`, `recall`, `f1` (0 where nothing is divided by nothing), `support`
        (an integer) and, with probabilities and where they are defined, `auc` and `average_precision`.
    """
    if not cases.task.class_names:
        return {}
    ones = np.ones((1, len(cases.reference)))
    of_counts = counts.class_counts(cases)(ones)
    columns = {
        "precision": counts.precision(of_counts)[0],
        "recall": counts.recall(of_counts)[0],
        "f1": counts.f1(of_counts)[0],
        "support": of_counts[0, counts.SUPPORT].astype(np.int64),
    }
    if cases.probabilities is not None:
        areas = ranks.one_against_rest(cases)(ones)[0]
        columns["auc"] = areas[ranks.AUC]
        columns["average_precision"] = areas[ranks.AVERAGE_PRECISION]
    return {
        class_name: {
            name: column[label].item() for name, column in columns.items() if not np.isnan(column[label])
        }
        for label, class_name in enumerate(cases.task.class_names)
    }


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
_area = partial(
    Metric,
    tasks=NAMED,
    measure=ranks.one_against_rest,
    needs="probabilities",
    undefined="no class has both positive and negative cases",
)
_mean = partial(Metric, policy="Defined for every case.")
_calibration = partial(
    Metric,
    tasks=LABELLED,
    measure=values_of.calibration_bins,
    higher_is_better=False,
    needs="probabilities",
)
_moments = partial(Metric, tasks=("regression",), measure=regression.moments)
_error = partial(Metric, tasks=("regression",), higher_is_better=False, high=np.inf, unit="value")
_correlated = partial(
    Metric,
    tasks=("regression",),
    policy="0 where the predictions are all equal; undefined where the reference is.",
    low=-1.0,
    undefined="the reference's values are all equal",
)

_METRICS = (
    _counted("weighted_precision", "Precision, weighted by support", finish=counts.weighted_precision),
    _counted("weighted_recall", "Recall, weighted by support", finish=counts.weighted_recall),
    _counted("weighted_f1", "F1, weighted by support", finish=counts.weighted_f1),
    _kappa("quadratic_kappa", "Quadratic weighted kappa", finish=counts.quadratic_kappa),
    _kappa("linear_kappa", "Linear weighted kappa", finish=counts.linear_kappa),
    _mean(
        "mean_absolute_rank_error",
        "Mean absolute error of the rank",
        ("ordinal",),
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
        policy="0 where no case has or is given any label.",
        source="scikit-learn, f1_score with average micro",
    ),
    _mean(
        "accuracy",
        "Accuracy",
        LABELLED,
        source="scikit-learn, accuracy_score",
        values=values_of.hit_values,
    ),
    _mean(
        "subset_accuracy",
        "Share of cases with every label right",
        ("multilabel",),
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
    _counted(
        "cohen_kappa",
        "Cohen's kappa",
        finish=counts.cohen_kappa,
        policy="1 where reference and predictions are all of one and the same class.",
        source="Cohen 1960; scikit-learn, cohen_kappa_score",
        low=-1.0,
    ),
    _area(
        "weighted_auc",
        "AUROC, one class against the rest, weighted by support",
        tasks=LABELLED,
        finish=ranks.weighted_auc,
        policy="A class without cases is left out; of two classes, the AUROC of the second.",
        source="scikit-learn, roc_auc_score with multi_class ovr and average weighted",
    ),
    _area(
        "macro_auc",
        "AUROC, mean over classes",
        finish=ranks.macro_auc,
        policy="A class or label without positive or without negative cases is left out, and named.",
        source="scikit-learn, roc_auc_score with average macro",
    ),
    _area(
        "macro_average_precision",
        "Average precision, mean over classes",
        finish=ranks.macro_average_precision,
        policy="A class or label without positive cases is left out, and named.",
        source="scikit-learn, average_precision_score (without interpolation)",
        undefined="no class has positive cases",
    ),
    _mean(
        "brier_score",
        "Brier score: half the mean squared distance of the probabilities",
        LABELLED,
        source="Brier 1950, halved; scikit-learn, brier_score_loss with scale_by_half",
        values=values_of.brier_values,
        higher_is_better=False,
        needs="probabilities",
    ),
    _mean(
        "log_loss",
        "Log loss, natural logarithm",
        LABELLED,
        policy="A probability of 0 counts as 2.2e-16.",
        source="scikit-learn, log_loss",
        values=values_of.log_losses,
        higher_is_better=False,
        high=np.inf,
        unit="nats",
        needs="probabilities",
    ),
    _calibration(
        "calibration_error",
        "Expected calibration error, 15 bins of equal width",
        finish=values_of.calibration_error,
        policy="An empty bin has no share; a confidence on an edge is in the lower bin.",
        source="Guo et al. 2017, equation 5",
    ),
    _calibration(
        "calibration_error_l2",
        "Root mean squared calibration error, debiased, the same 15 bins",
        finish=values_of.calibration_error_l2,
        policy="A bin with fewer than two cases counts as 0, and so does a negative mean.",
        source="Kumar et al. 2019, definition 4.1",
    ),
    _error(
        "mean_absolute_error",
        "Mean absolute error",
        values=values_of.absolute_errors,
        policy="Defined for every case.",
        source="scikit-learn, mean_absolute_error",
    ),
    _error(
        "root_mean_squared_error",
        "Root mean squared error",
        measure=regression.moments,
        finish=regression.root_mean_squared_error,
        policy="Defined for every case.",
        source="scikit-learn, root_mean_squared_error",
    ),
    _error(
        "median_absolute_error",
        "Median absolute error",
        measure=regression.median_absolute_error,
        policy="The mean of the two errors in the middle of an even number.",
        source="scikit-learn, median_absolute_error",
    ),
    _moments(
        "r2",
        "Coefficient of determination, R²",
        finish=regression.r2,
        policy="Where the reference's values are all equal: 1 if every prediction is right, else 0.",
        source="scikit-learn, r2_score",
        low=-np.inf,
    ),
    _correlated(
        "pearson",
        "Pearson correlation",
        measure=regression.moments,
        finish=regression.pearson,
        source="scipy, pearsonr",
    ),
    _correlated(
        "spearman",
        "Spearman correlation",
        measure=regression.spearman,
        source="scipy, spearmanr: equal values have the mean of their ranks",
    ),
    _moments(
        "concordance_correlation",
        "Concordance correlation",
        finish=regression.concordance_correlation,
        policy="1 where reference and predictions are all one and the same value.",
        source="Lin 1989, with the variances of the population",
        low=-1.0,
    ),
    Metric(
        "harrell_c",
        "Harrell's C: pairs in the right order",
        ("regression",),
        policy="Equal predictions count half; equal values that were both reached are not compared.",
        source="Harrell et al. 1982; scikit-survival, concordance_index_censored",
        measure=ranks.harrell_c,
        needs="events",
        undefined="no pair of cases can be compared",
    ),
)

REGISTRY = {metric.name: metric for metric in _METRICS}
"""Every metric by name, in the order in which they are written and shown."""
