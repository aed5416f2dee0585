"""Metrics of the order in which scores put the cases: areas under curves, and Harrell's C."""

from __future__ import annotations

import numpy as np

from cases import Cases
from value_metrics import probabilities_of
from weighted_sums import CaseSums, Scorer, ratio, running_sums

AUC, AVERAGE_PRECISION, POSITIVES = range(3)
"""What `one_against_rest` gives of each class."""


def one_against_rest(cases: Cases) -> Scorer:
    """Each class's or label's areas under the ROC curve and of its precisions, by its probability.

    Of two classes both have the area of the second one's probability: the first one's differs from it by
    ties that rounding makes alone.

    Returns:
        Weights (B, N) to (B, 3, K), float64: `AUC` and `AVERAGE_PRECISION`, nan for a class without a case
        or, for `AUC`, with all of them; `POSITIVES`, the weight of its cases.
    """
    probabilities = probabilities_of(cases)
    if cases.task.name == "multilabel":
        positive = cases.reference
    else:
        positive = cases.reference[:, np.newaxis] == np.arange(probabilities.shape[1])
    two_classes = cases.task.name != "multilabel" and probabilities.shape[1] == 2
    areas = [_Areas(probabilities[:, label], positive[:, label]) for label in range(positive.shape[1])]

    def measure(weights: np.ndarray) -> np.ndarray:
        by_class = np.stack([of_class(weights) for of_class in areas], axis=-1)
        if two_classes:
            by_class[:, AUC, 0] = by_class[:, AUC, 1]
        return by_class

    return measure


class _Areas:
    """The areas of one class: weights (B, N) to (B, 3), float64.

    Both areas follow from sums at the G distinct scores of the positive cases, from the highest down: the
    weight of the positive cases with that score, of the negative ones from there up to the score before, and
    of those that tie with it, which count half. So a rare class costs one pass over the cases.

    Args:
        scores: (N,).
        positive: (N,), bool.
    """

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        falling, places = np.unique(-scores[positive], return_inverse=True)
        self._count = len(falling)
        negatives = np.flatnonzero(~positive)
        # The first distinct score that a negative case reaches; G if it is below all.
        reached = np.searchsorted(falling, -scores[negatives], side="left")
        tied = np.append(falling, np.inf)[reached] == -scores[negatives]
        self._tied_with, ties = np.unique(reached[tied], return_inverse=True)
        rows = [places, self._count + reached, 2 * self._count + 1 + ties]
        columns = [np.flatnonzero(positive), negatives, negatives[tied]]
        shape = (2 * self._count + 1 + len(self._tied_with), len(scores))
        self._sums = CaseSums(np.concatenate(rows), np.concatenate(columns), shape)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        sums = self._sums(weights)
        positive, negative = sums[: self._count], sums[self._count : 2 * self._count + 1]
        ties = sums[2 * self._count + 1 :]
        above = running_sums(negative)
        positives = positive.sum(axis=0, dtype=np.float64)
        negatives = above[-1].astype(np.float64)
        above = above[: self._count]
        disordered = np.einsum("gb,gb->b", positive, above) - 0.5 * np.einsum(
            "gb,gb->b", positive[self._tied_with], ties
        )
        hits = running_sums(positive)
        above += hits
        # Where nothing has any weight yet, neither has the positive case that asks for the precision.
        above[above == 0.0] = 1.0
        hits /= above
        precision = np.einsum("gb,gb->b", positive, hits)
        return np.stack(
            [
                1.0 - ratio(disordered, positives * negatives, empty=np.nan),
                ratio(precision, positives, empty=np.nan),
                positives,
            ],
            axis=-1,
        )


def weighted_auc(areas: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, mean over the classes by their cases, of areas (B, 3, K)."""
    return _mean(areas[:, AUC], areas[:, POSITIVES])


def macro_auc(areas: np.ndarray) -> np.ndarray:
    """Area under the ROC curve, mean over the classes, of areas (B, 3, K)."""
    return _mean(areas[:, AUC], np.ones_like(areas[:, AUC]))


def macro_average_precision(areas: np.ndarray) -> np.ndarray:
    """Average precision, mean over the classes, of areas (B, 3, K)."""
    return _mean(areas[:, AVERAGE_PRECISION], np.ones_like(areas[:, AUC]))


def _mean(areas: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mean over the classes that have an area (B,)."""
    defined = ~np.isnan(areas)
    shares = shares * defined
    return ratio((np.where(defined, areas, 0.0) * shares).sum(axis=-1), shares.sum(axis=-1), empty=np.nan)


def harrell_c(cases: Cases) -> Scorer:
    """Share of the comparable pairs of cases whose predicted values are in the order of the true ones.

    A pair is comparable if the lower value was reached: that of the other one, censored or not, is higher.
    Equal predictions count half. The time is O(N log N) for each set of weights, not O(N²): two different
    ranks differ in a first binary digit, and for each digit running sums count its pairs.

    Returns:
        Weights (B, N) to scores (B,), nan without a comparable pair.

    Source:
        Harrell et al. 1982, "Evaluating the yield of medical tests".
    """
    reached = np.ones(len(cases.reference), bool) if cases.events is None else cases.events
    # Of equal values those that were reached come first, and are not comparable with one another.
    order = np.lexsort((~reached, cases.reference))
    values, later = cases.reference[order], ~reached[order]
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.cumsum(np.append(False, (np.diff(values) > 0) | (np.diff(later) > 0)))
    digits = [
        _Digit(ranks, digit, reached, cases.predictions) for digit in range(int(ranks.max()).bit_length())
    ]

    def score(weights: np.ndarray) -> np.ndarray:
        pairs = np.zeros((2, len(weights)))
        for digit in digits:
            pairs += digit(weights)
        return ratio(pairs[0], pairs[1], empty=np.nan)

    return score


class _Digit:
    """The pairs of cases whose ranks differ first in one binary digit: weights (B, N) to pairs (2, B).

    Row 0: those whose predictions are in order, ties half; row 1: all.

    Args:
        ranks: Of the values (N,), from 0.
        digit: Which one, 0 the last.
        reached: Whether the value was reached (N,), bool.
        predictions: (N,).
    """

    def __init__(self, ranks: np.ndarray, digit: int, reached: np.ndarray, predictions: np.ndarray) -> None:
        blocks, higher = np.divmod(ranks >> digit, 2)
        order = np.lexsort((-predictions, blocks))
        blocks, self._higher = blocks[order], higher[order].astype(bool)
        falling = -predictions[order]
        self._order = order
        starts = np.flatnonzero(np.append(True, np.diff(blocks) > 0))
        tie_starts = np.flatnonzero(np.append(True, (np.diff(blocks) > 0) | (np.diff(falling) > 0)))
        lower = np.flatnonzero(~self._higher & reached[order])
        self._lower = order[lower]
        # Running sums with a zero before them: the weight before a place is at its index.
        self._block = starts[np.searchsorted(starts, lower, side="right") - 1]
        self._block_end = np.append(starts, len(order))[np.searchsorted(starts, lower, side="right")]
        self._tie = tie_starts[np.searchsorted(tie_starts, lower, side="right") - 1]
        self._tie_end = np.append(tie_starts, len(order))[np.searchsorted(tie_starts, lower, side="right")]

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        by_case = weights.T
        ordered = np.zeros((len(self._order) + 1, len(weights)), dtype=weights.dtype)
        ordered[1:] = by_case[self._order]
        ordered[1:][~self._higher] = 0
        before = running_sums(ordered)
        lower = by_case[self._lower]
        start = before[self._block]
        in_order = 0.5 * (before[self._tie] + before[self._tie_end]) - start
        return np.stack(
            [
                np.einsum("nb,nb->b", lower, in_order),
                np.einsum("nb,nb->b", lower, before[self._block_end] - start),
            ]
        ).astype(np.float64)
