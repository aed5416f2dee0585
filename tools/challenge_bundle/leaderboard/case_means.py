"""Resampled scores from the values of cases, for scoring programs that write cases.csv alone.

The draws are those of the scoring program's resampling.py, so that such an entry can be paired with one whose
resamples come from there. The package imports no program; a test compares the two.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from challenge_bundle.formats.resamples import Resamples

SEED = 0
BLOCK_VALUES = 2**20
LARGEST_BLOCK = 256
SAME_SCORE = 1e-6
"""Share of a score by which it may differ from the mean of its cases: what printed digits leave."""


def draw_group_weights(cases: int, groups: int, resamples: int) -> Iterator[np.ndarray]:
    """Draw each group's weight, from the exponential distribution with mean 1.

    Args:
        cases: N.
        groups: G.
        resamples: R.

    Yields:
        (G, B), float64; the blocks' B sum to R.

    Source:
        Rubin 1981, "The Bayesian Bootstrap", Annals of Statistics 9:130.
    """
    fitting = max(8, BLOCK_VALUES // cases)
    size = min(LARGEST_BLOCK, 2 ** int(math.log2(fitting)))
    for block, start in enumerate(range(0, resamples, size)):
        stream, _ = np.random.SeedSequence(SEED, spawn_key=(block,)).spawn(2)
        weights = np.random.default_rng(stream).standard_exponential((groups, size))
        yield weights[:, : resamples - start]


def draws_id(names: Sequence[str], groups: np.ndarray, resamples: int) -> str:
    """The name of these draws, as in resamples.npz: names (N,) sorted, groups (N,) of 0..G-1."""
    digest = hashlib.sha256(f"bayesian bootstrap 1\n{resamples}\n{SEED}\n".encode())
    digest.update("\n".join(names).encode())
    digest.update(np.ascontiguousarray(groups, dtype="<i8").tobytes())
    return digest.hexdigest()


def resample_means(
    names: Sequence[str], groups: np.ndarray, values: np.ndarray, scores: np.ndarray, resamples: int
) -> list[Resamples | None]:
    """Resample scores that are means over the cases, or over the groups' means.

    Args:
        names: Of the cases (N,), sorted.
        groups: (N,), int64, of 0..G-1.
        values: (S, N), of each entry's cases; nan where undefined.
        scores: (S,), what the scoring program gave.
        resamples: R.

    Returns:
        For each entry its resamples; None where a case has no value, or the score is neither
        of the two means.
    """
    sizes = np.bincount(groups).astype(np.float64)
    sums = np.stack([np.bincount(groups, row, len(sizes)) for row in values])
    over_cases = _is_score(sums.sum(axis=1) / sizes.sum(), scores)
    over_groups = _is_score((sums / sizes).mean(axis=1), scores) & ~over_cases
    # A mean over groups is one over "cases" of which each group has one.
    sums[over_groups] /= sizes
    sizes_of = np.where(over_groups[:, np.newaxis], 1.0, sizes)
    found = np.flatnonzero(over_cases | over_groups)
    drawn = np.empty((len(values), resamples))
    start = 0
    for weights in draw_group_weights(len(names), len(sizes), resamples):
        block = slice(start, start + weights.shape[1])
        totals = np.where(over_groups[:, np.newaxis], weights.sum(axis=0), sizes @ weights)
        drawn[found, block] = (sums[found] @ weights) / totals[found]
        start = block.stop
    draws = draws_id(names, groups, resamples)
    made: list[Resamples | None] = [None] * len(values)
    for entry in found.tolist():
        made[entry] = Resamples(draws, drawn[entry], _influence(sums[entry], sizes_of[entry]))
    return made


def _is_score(means: np.ndarray, scores: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(means - scores) <= SAME_SCORE * np.maximum(1.0, np.abs(scores)))


def _influence(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray | None:
    """By how much each group moves the mean (G,), with the mean 0: the jackknife."""
    if len(sizes) < 2:
        return None
    left_out = (sums.sum() - sums) / (sizes.sum() - sizes)
    return np.asarray((len(sizes) - 1) * (left_out.mean() - left_out))
