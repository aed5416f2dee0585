"""What a test set can tell apart, and by how much its winner's score flatters."""

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from challenge_bundle.leaderboard.ranking import LEVEL

POWER = 0.8
"""Share of test sets of this size on which the difference would be found."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The smallest differences that a test set of this size finds.

    Args:
        pairs: Number of pairs among the entries, for which the level is divided.
        first_two: Difference at which two entries like the first and the second are told apart with POWER;
            nan if the two gave the same answers, or one has no resamples.
        neighbours: Median of the same over all pairs of neighbours on the board.
    """

    pairs: int
    first_two: float
    neighbours: float


def find_resolution(resamples: np.ndarray, order: list[int]) -> Resolution | None:
    """Find what differences this test set can tell apart.

    The difference of two entries has the standard error of its resamples, which are paired. At the level of
    5 % divided by the number of pairs (the hardest that Holm's method asks for), a true difference of (z of
    the level + z of the power) standard errors is found with that power.

    Args:
        resamples: (S, R), of the same draws for all; rows of nan where an entry has none.
        order: Indices of the entries, the best first.

    Returns:
        The resolution; None with fewer than two entries that have resamples.

    Source:
        Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", chapter 2.
    """
    paired = [entry for entry in order if resamples.shape[1] and not math.isnan(resamples[entry, 0])]
    if len(paired) < 2:
        return None
    pairs = len(paired) * (len(paired) - 1) // 2
    errors = [standard_error(resamples[one] - resamples[other]) for one, other in pairwise(paired)]
    found = [error for error in errors if error > 0.0]
    if not found:
        return None
    factor = detection_factor(pairs)
    first_two = errors[0] * factor if errors[0] > 0.0 and order[:2] == paired[:2] else math.nan
    return Resolution(pairs, first_two, float(np.median(found)) * factor)


def standard_error(differences: np.ndarray) -> float:
    """Standard deviation of resampled differences (R,); 0 where rounding alone makes them differ."""
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    return spread if spread > 1e-12 * max(1.0, float(np.abs(differences).max())) else 0.0


def detection_factor(pairs: int, power: float = POWER) -> float:
    """How many standard errors a true difference needs to be found with a power, among so many pairs."""
    normal = NormalDist()
    return normal.inv_cdf(1.0 - LEVEL / (2.0 * pairs)) + normal.inv_cdf(power)


def expected_shrinkage(resamples: np.ndarray, higher_is_better: bool) -> float:
    """By how much the winner's score is expected to be worse on other cases: it was chosen as the best.

    On each resample the entry that is first there is taken; its score there is compared with its own mean
    over all resamples, and the differences are averaged. For a single entry this is 0, for many equally good
    ones it approaches the expected maximum of their errors. It covers the choice among the entries of the
    board, not the choice of each team's best submission.

    Args:
        resamples: (S, R), finite, S >= 1.
        higher_is_better: Whether the highest score is first.

    Returns:
        At least 0, in units of the score.

    Source:
        Efron 1983, "Estimating the error rate of a prediction rule: improvement on cross-validation", Journal
        of the American Statistical Association 78:316 (optimism, estimated by the bootstrap).
    """
    moved = resamples - resamples.mean(axis=1, keepdims=True)
    first = resamples.argmax(axis=0) if higher_is_better else resamples.argmin(axis=0)
    chosen = moved[first, np.arange(resamples.shape[1])]
    return max(0.0, float(chosen.mean()) * (1.0 if higher_is_better else -1.0))
