"""Pairs of entries that repeat one another's errors more than two methods of their own would."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

LEVEL = 0.01
# Of the errors that the cases' difficulty does not explain, the share that two honest methods may have in
# common: the same network, pretrained weights or augmentation.
KINSHIP = 0.6
# With fewer distinct entries nothing is known of how hard a case is.
FEWEST_ENTRIES = 4
# Standard deviations above the allowed; below, no exact p-value could reach the level.
WORTH_A_LOOK = 2.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two entries that agree suspiciously.

    Args:
        first: Index of one entry.
        second: Index of the other, the greater one.
        kind: "identical" (the same answer on every case) or "same errors".
        shared_errors: Cases on which both give the same wrong class.
        expected_errors: How many of those two methods of their own would share, given how hard the cases are
            for all others; 0 where too few entries tell.
        p_value: Of "same errors": the chance that related but honest methods share so many, times the number
            of ordered pairs. Of "identical": 0, since it is a fact and no finding.
    """

    first: int
    second: int
    kind: Literal["identical", "same errors"]
    shared_errors: int
    expected_errors: float
    p_value: float


def find_agreements(reference: np.ndarray, predictions: np.ndarray, class_count: int) -> list[Agreement]:
    """Find pairs whose answers are identical, or whose errors are.

    Hard cases make everybody err alike, so errors alone say little. What an entry would answer on a case is
    foretold from all other entries: the share of them that err there, moved to the entry's own number of
    errors, times the share of those that give the same wrong class. Beyond that, honest relatives may have
    more than half of their errors in common (KINSHIP). A pair is marked if one of the two repeats yet more of
    the other's errors, at a chance under 1 % that any honest pair of the board is marked (Bonferroni). Each
    pair is seen from both sides: who adds errors of his own to a copy still repeats the original's.

    It is a reason to ask the teams, no proof. Identical entries without an error are not listed: all perfect
    entries are alike. Several near copies on one board make their errors look like hard cases, and hide.

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
    """Pairs of entries in the same place of the distinct ones, that err at all."""
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
        foretold = _foretell(entry, reference, predictions, counts)
        # (S, N): the chance that this entry repeats each other entry's error, 0 where that one is right.
        chances = np.where(wrong, foretold[predictions, np.arange(len(reference))], 0.0)
        allowed = np.where(wrong, chances + KINSHIP * (1.0 - chances), 0.0)
        shared = (wrong & (predictions == predictions[entry])).sum(axis=1)
        spread = np.sqrt((allowed * (1.0 - allowed)).sum(axis=1))
        suspects = shared > allowed.sum(axis=1) + WORTH_A_LOOK * spread
        suspects[entry] = False
        for other in np.flatnonzero(suspects).tolist():
            p_value = upper_tail(allowed[other][wrong[other]], int(shared[other])) * tests
            pair = (min(entry, other), max(entry, other))
            if p_value <= min(LEVEL, found[pair][2] if pair in found else 1.0):
                found[pair] = (int(shared[other]), float(chances[other].sum()), p_value)
    return [(*pair, *finding) for pair, finding in found.items()]


def _foretell(entry: int, reference: np.ndarray, predictions: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Chance that an entry gives each wrong class, by what all other entries do.

    Args:
        entry: Its index.
        reference: Labels (N,).
        predictions: Labels (S, N).
        counts: How many of all S entries give each wrong class (K, N).

    Returns:
        (K, N); the row of the true class is of no use.
    """
    cases = np.arange(len(reference))
    others = counts.copy()
    erred = predictions[entry] != reference
    others[predictions[entry][erred], cases[erred]] -= 1.0
    errors = others.sum(axis=0)
    rate = errors.mean() / (len(predictions) - 1)
    # One more imagined entry with the mean of all cases keeps chances off 0 and 1.
    share = np.clip((errors + rate) / len(predictions), 1e-6, 1.0 - 1e-6)
    usual = np.stack([others[:, reference == label].sum(axis=1) for label in range(len(counts))], axis=1)
    usual = (usual + 1.0 / len(counts)) / (usual.sum(axis=0) + 1.0)
    of_class = (others + usual[:, reference]) / (errors + 1.0)
    return np.asarray(_move(share, float(erred.sum())) * of_class)


def _move(chances: np.ndarray, total: float) -> np.ndarray:
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
    """Chance that at least so many of independent events happen.

    Args:
        chances: Of each event (E,).
        at_least: How many.

    Returns:
        The exact tail of the Poisson binomial distribution.
    """
    likely = np.zeros(len(chances) + 1)
    likely[0] = 1.0
    for chance in chances:
        likely[1:] = likely[1:] * (1.0 - chance) + likely[:-1] * chance
        likely[0] *= 1.0 - chance
    return min(1.0, float(likely[at_least:].sum()))
