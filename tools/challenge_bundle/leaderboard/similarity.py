"""Pairs of entries that share more errors than two independent methods would."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

LEVEL = 0.01
"""Chance that any pair of honest entries of the board is marked."""

ALLOWED_SHARE = 0.6
"""Of the errors that the cases' difficulty does not explain, the share that two honest methods may have in
common because they use the same network, pretrained weights or augmentation."""

FEWEST_ENTRIES = 4
"""With fewer distinct entries the difficulty of a case is unknown."""

SCREENING_DEVIATIONS = 2.0
"""Pairs below so many standard deviations above the allowed number are skipped: no exact p-value of theirs
could reach LEVEL."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two entries that agree suspiciously.

    Args:
        first: Index of one entry.
        second: Index of the other, the greater one.
        kind: "identical" (the same answer on every case) or "same errors".
        shared_errors: Number of cases for which both predict the same wrong class.
        expected_errors: The number that two independent methods would share, given how hard the cases are for
            all other entries; 0 for "identical".
        p_value: Of "same errors": the chance that related but honest methods share so many, times the number
            of ordered pairs. Of "identical": 0, since it is a fact, not a test.
    """

    first: int
    second: int
    kind: Literal["identical", "same errors"]
    shared_errors: int
    expected_errors: float
    p_value: float


def find_agreements(reference: np.ndarray, predictions: np.ndarray, class_count: int) -> list[Agreement]:
    """Find pairs whose predictions are identical, or that share too many errors.

    Hard cases make everybody err alike, so a number of shared errors alone means little. The chance that an
    entry makes a certain error on a case is estimated from all other entries: the share of them that err
    there, shifted to the entry's own number of errors, times the share of those that predict the same wrong
    class. Beyond that, honest entries with related methods may share more than half of their errors
    (ALLOWED_SHARE). A pair is marked if one of the two repeats still more of the other's errors, with a
    chance under 1 % that any honest pair of the board is marked (Bonferroni). Each pair is tested in both
    directions: a duplicate with added errors still repeats the original's.

    A mark is a reason to ask the teams, not a proof. Identical entries without an error are not listed: all
    perfect entries are identical. Several near-duplicates on one board make their errors look like hard
    cases, and are not found.

    Args:
        reference: Labels (N,).
        predictions: Labels (S, N).
        class_count: K.

    Returns:
        The pairs, identical ones first, then by p-value.

    Source:
        Wesolowsky 2000, "Detecting excessive similarity in answers on multiple choice exams", Journal of
        Applied Statistics 27:909 (matching wrong answers, given each question's difficulty).
    """
    distinct, first_of, place = np.unique(predictions, axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    found = _identical(reference, predictions, place)
    if len(distinct) >= FEWEST_ENTRIES:
        found += [
            Agreement(
                first=int(min(first_of[one], first_of[other])),
                second=int(max(first_of[one], first_of[other])),
                kind="same errors",
                shared_errors=shared,
                expected_errors=expected,
                p_value=p_value,
            )
            for one, other, shared, expected, p_value in _same_errors(reference, distinct, class_count)
        ]
    return sorted(found, key=lambda pair: (pair.kind, pair.p_value, pair.first, pair.second))


def _identical(reference: np.ndarray, predictions: np.ndarray, place: np.ndarray) -> list[Agreement]:
    """Pairs of equal predictions that have at least one error; equal ones have the same `place`."""
    errors = (predictions != reference).sum(axis=1)
    return [
        Agreement(first, int(second), "identical", int(errors[first]), 0.0, 0.0)
        for first in range(len(place))
        if errors[first]
        for second in np.flatnonzero(place[first + 1 :] == place[first]) + first + 1
    ]


def _same_errors(
    reference: np.ndarray, predictions: np.ndarray, class_count: int
) -> list[tuple[int, int, int, float, float]]:
    """Marked pairs: (first, second, shared errors, expected errors, adjusted p-value)."""
    wrong = predictions != reference
    tests = len(predictions) * (len(predictions) - 1)
    counts = np.zeros((class_count, len(reference)))
    for label in range(class_count):
        counts[label] = ((predictions == label) & wrong).sum(axis=0)
    found: dict[tuple[int, int], tuple[int, float, float]] = {}
    for entry in range(len(predictions)):
        expected = _expected_errors(entry, reference, predictions, counts)
        # (S, N): the chance that this entry repeats each other entry's error; 0 where the other is right.
        chances = np.where(wrong, expected[predictions, np.arange(len(reference))], 0.0)
        allowed = np.where(wrong, chances + ALLOWED_SHARE * (1.0 - chances), 0.0)
        shared = (wrong & (predictions == predictions[entry])).sum(axis=1)
        spread = np.sqrt((allowed * (1.0 - allowed)).sum(axis=1))
        suspects = shared > allowed.sum(axis=1) + SCREENING_DEVIATIONS * spread
        suspects[entry] = False
        for other in np.flatnonzero(suspects).tolist():
            p_value = upper_tail(allowed[other][wrong[other]], int(shared[other])) * tests
            pair = (min(entry, other), max(entry, other))
            if p_value <= min(LEVEL, found[pair][2] if pair in found else 1.0):
                found[pair] = (int(shared[other]), float(chances[other].sum()), p_value)
    return [(*pair, *finding) for pair, finding in found.items()]


def _expected_errors(
    entry: int, reference: np.ndarray, predictions: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Chance that an entry predicts each wrong class for each case, estimated from all other entries.

    Args:
        entry: Its index.
        reference: Labels (N,).
        predictions: Labels (S, N).
        counts: Number of entries that predict each wrong class (K, N).

    Returns:
        (K, N); the value of the true class is meaningless.
    """
    cases = np.arange(len(reference))
    others = counts.copy()
    erred = predictions[entry] != reference
    others[predictions[entry][erred], cases[erred]] -= 1.0
    errors = others.sum(axis=0)
    rate = errors.mean() / (len(predictions) - 1)
    # One more, imagined entry that errs at the mean rate keeps the chances away from 0 and 1.
    share = np.clip((errors + rate) / len(predictions), 1e-6, 1.0 - 1e-6)
    usual = np.stack([others[:, reference == label].sum(axis=1) for label in range(len(counts))], axis=1)
    usual = (usual + 1.0 / len(counts)) / (usual.sum(axis=0) + 1.0)
    of_class = (others + usual[:, reference]) / (errors + 1.0)
    return np.asarray(_shift(share, float(erred.sum())) * of_class)


def _shift(chances: np.ndarray, total: float) -> np.ndarray:
    """Shift chances (N,) by one amount on the logit scale so that they sum to a total."""
    logits = np.log(chances / (1.0 - chances))
    low, high = -30.0, 30.0
    for _ in range(40):
        middle = (low + high) / 2.0
        if (1.0 / (1.0 + np.exp(-(logits + middle)))).sum() < total:
            low = middle
        else:
            high = middle
    return np.asarray(1.0 / (1.0 + np.exp(-(logits + low))))


def upper_tail(chances: np.ndarray, at_least: int) -> float:
    """Chance that at least `at_least` of independent events happen (Poisson binomial distribution).

    Args:
        chances: Of each event (E,).
        at_least: Number of events, 0 to E.

    Returns:
        The chance, exact to rounding however small it is.
    """
    if not len(chances):
        return 1.0
    from scipy.stats import poisson_binom

    # The lower tail of the events that do not happen: scipy's sf() is 1 - cdf(), which has no correct digit
    # below 1e-15.
    return float(poisson_binom.cdf(len(chances) - at_least, 1.0 - chances))
