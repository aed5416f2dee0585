"""Which of two entries is better: a test of every pair, adjusted for the number of pairs, for any metric."""

import numpy as np

LEVEL = 0.05
FLIPS = 10_000
SEED = 0
SIGNS, RESAMPLES, NONE = "random signs", "resamples", ""
VALUES_AT_ONCE = 2**20
MOST_ROUNDS = 3
MOST_DISAGREEMENT = 4.0
FEWEST_GROUPS = 1_000
"""Resamples alone serve from so many groups on: at most 5 % of boards of equal entries have a finding there
(tests/unit/test_significance.py simulates it). With 20 patients it was up to 22 % of boards of 2 entries, and
up to 48 % of boards of 10."""

SMALL_SAMPLE_FACTOR = 1.15
"""Of the p-values of three or more entries, and of resamples alone. The largest of many gaps has its nominal
level for infinitely many groups only; without the factor, up to 5.4 % of boards of equal entries have a
finding, with it at most 5 % (benchmarks/COVERAGE.md). The test of two entries is that of their exchange and
needs none."""


def pair_tests(
    scores: np.ndarray,
    resamples: np.ndarray | None,
    influences: np.ndarray | None,
    higher_is_better: bool = True,
    groups: int | None = None,
) -> np.ndarray:
    """Test for every pair of entries whether their scores differ.

    With influences: under the null hypothesis the sign of each group's share in a difference is random. The
    difference is compared with those under random signs, the same signs for all pairs; of each set of signs
    the largest one over all pairs counts, in units of its standard deviation. For the accuracy, and for any
    mean over cases, this is the test that exchanges the two entries' predictions group by group; for other
    metrics it holds for many groups. Measured (benchmarks/COVERAGE.md): equally good entries are told apart
    in at most 5 % of boards from 20 groups on, and it finds as many differences as the exchange test.

    With resamples alone: a difference is compared with how far the resamples' differences lie from their
    mean. With fewer than FEWEST_GROUPS that does not hold its level, and nothing is tested.

    Pairs that are found to differ are set aside, and the others are tested again without them (step-down).

    Args:
        scores: (S,).
        resamples: Each entry's score on R shared draws (S, R), or None.
        influences: What each group adds to each entry's score (S, G), with the mean 0, or None.
        higher_is_better: Of the metric. Tests are two-sided: it changes no p-value.
        groups: Number of groups behind the resamples; None if it is not known.

    Returns:
        Two-sided p-values (S, S), symmetric, 1 on the diagonal, adjusted: the chance that any pair of equally
        good entries has one at or below the level stays at or below it. 1 everywhere where nothing can be
        tested: see `find_method`.

    Source:
        Romano & Wolf 2005, Econometrica 73:1237 (step-down with the largest statistic); Liu 1988, Annals of
        Statistics 16:1696 (wild bootstrap); Efron & Tibshirani 1993, "An Introduction to the Bootstrap",
        chapter 15 (exchange).
    """
    count = len(scores)
    p_values = np.ones((count, count))
    if count < 2:
        return p_values
    method = find_method(resamples, influences, groups)
    if method == SIGNS and influences is not None:
        drawn, spreads, gaps = _random_signs(scores, influences)
    elif method == RESAMPLES and resamples is not None:
        drawn, spreads, gaps = _centred_resamples(scores, resamples)
    else:
        return p_values
    factor = 1.0 if method == SIGNS and count == 2 else SMALL_SAMPLE_FACTOR
    inverse = np.divide(1.0, spreads, out=np.zeros_like(spreads), where=spreads > 0.0)
    statistics = gaps * inverse
    tested = ~np.eye(count, dtype=bool)
    least = 0.0
    for _ in range(MOST_ROUNDS):
        largest = np.sort(_largest_gaps(drawn, np.where(tested, inverse, 0.0).astype(np.float32)))
        # Signs that reproduce the statistic must count, whatever single precision makes of them.
        above = len(largest) - np.searchsorted(largest, statistics * (1.0 - 1e-5), side="left")
        found = np.clip(factor * (above + 1.0) / (len(largest) + 1.0), least, 1.0)
        p_values[tested] = np.where(statistics > 0.0, found, 1.0)[tested]
        differ = tested & (p_values <= LEVEL)
        if not differ.any() or not (tested & ~differ).any():
            break
        # No p-value of a later round may be below one of an earlier round.
        least = float(p_values[differ].max())
        tested &= ~differ
    return p_values


def find_method(resamples: np.ndarray | None, influences: np.ndarray | None, groups: int | None) -> str:
    """Which test holds its level: SIGNS, RESAMPLES, or NONE."""
    if influences is not None and _agree(influences, resamples):
        return SIGNS
    known = groups if groups is not None or influences is None else influences.shape[1]
    return RESAMPLES if resamples is not None and known is not None and known >= FEWEST_GROUPS else NONE


def _agree(influences: np.ndarray, resamples: np.ndarray | None) -> bool:
    """Whether influences explain how far the resamples of the entries lie apart: of a median they may not."""
    if resamples is None:
        return True
    apart = resamples - resamples.mean(axis=0)
    drawn = float(apart.var(axis=1).sum())
    explained = float(((influences - influences.mean(axis=0)) ** 2).mean(axis=1).sum()) / influences.shape[1]
    return drawn <= 1e-24 or 1.0 / MOST_DISAGREEMENT <= explained / drawn <= MOST_DISAGREEMENT


def _random_signs(scores: np.ndarray, influences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of each entry's shares under random signs (F, S), their pairs' deviations and the gaps (S, S)."""
    count, groups = influences.shape
    shares = influences + scores[:, np.newaxis]
    # One value for all is taken from all: no difference changes, and products keep their digits.
    shares = (shares - shares.mean(axis=0)).astype(np.float64)
    products = shares @ shares.T
    squares = np.diag(products)
    sums = squares[:, np.newaxis] + squares
    variance = sums - 2.0 * products
    # What rounding leaves of two equal rows is 0, and must not be divided by.
    variance[variance <= 1e-12 * sums] = 0.0
    gaps = np.abs(scores[:, np.newaxis] - scores) * groups
    # A mean of few distinct values is a whole number of groups: rounding must not make a tie a difference.
    gaps[gaps <= 1e-9 * np.maximum(1.0, np.abs(scores).max())] = 0.0
    rng = np.random.default_rng(SEED)
    drawn = np.empty((FLIPS, count), dtype=np.float32)
    block = max(1, VALUES_AT_ONCE // groups)
    compact = shares.T.astype(np.float32)
    for start in range(0, FLIPS, block):
        rows = min(block, FLIPS - start)
        bits = np.unpackbits(rng.integers(256, size=(rows, -(-groups // 8)), dtype=np.uint8), axis=1)
        signs = bits[:, :groups].astype(np.float32) * 2.0 - 1.0
        drawn[start : start + rows] = signs @ compact
    return drawn, np.sqrt(variance), gaps


def _centred_resamples(
    scores: np.ndarray, resamples: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The resamples around their means (R, S), their pairs' deviations and the gaps (S, S)."""
    centred = resamples - resamples.mean(axis=1, keepdims=True)
    products = centred @ centred.T / resamples.shape[1]
    squares = np.diag(products)
    sums = squares[:, np.newaxis] + squares
    variance = sums - 2.0 * products
    variance[variance <= 1e-12 * sums] = 0.0
    gaps = np.abs(scores[:, np.newaxis] - scores)
    gaps[gaps <= 1e-12 * np.maximum(1.0, np.abs(scores).max())] = 0.0
    return np.ascontiguousarray(centred.T, dtype=np.float32), np.sqrt(variance), gaps


def _largest_gaps(drawn: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Of each draw the largest gap of two entries, in units of the pair's standard deviation.

    Args:
        drawn: (F, S), float32.
        inverse: 1 over the standard deviation of each pair (S, S), float32; 0 for a pair that does not count.

    Returns:
        (F,), float32.
    """
    draws, count = drawn.shape
    largest = np.zeros(draws, dtype=np.float32)
    block = max(1, VALUES_AT_ONCE // (8 * count))
    for start in range(0, draws, block):
        rows = np.ascontiguousarray(drawn[start : start + block].T)
        best = largest[start : start + block]
        for entry in range(count - 1):
            gaps = rows[entry + 1 :] - rows[entry]
            np.abs(gaps, out=gaps)
            gaps *= inverse[entry + 1 :, entry, np.newaxis]
            np.maximum(best, gaps.max(axis=0), out=best)
    return largest
