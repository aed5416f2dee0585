"""Sums over cases for many sets of weights at once: what every metric is made of.

Weights are (B, N), B sets of one weight a case; a weight of 2 counts as the case listed twice. Resampling
hands over Fortran-ordered views, in memory (N, B): there a sparse product adds whole rows of B weights,
several times as fast as a dense product, and needs no (B, N, K) array.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse

Scorer = Callable[[np.ndarray], np.ndarray]
"""Weights (B, N) to something of each set of weights (B, ...)."""

_BLOCK = 32


class CaseSums:
    """Sums of chosen cases' weights, each times a value: `sums(weights)` is (rows, B).

    Args:
        rows: The sum to which each entry is added (E,).
        columns: The case of each entry (E,).
        shape: (number of sums, N).
        values: What the case's weight is multiplied by (E,); ones if None.
    """

    def __init__(
        self, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int], values: np.ndarray | None = None
    ) -> None:
        data = np.ones(len(rows)) if values is None else np.asarray(values, dtype=np.float64)
        self._double = sparse.csr_matrix((data, (rows, columns)), shape=shape)
        # Weights in single precision stay so: a matrix in double precision would copy them to double.
        self._single = self._double.astype(np.float32)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Sums (rows, B), in the precision of the weights."""
        matrix = self._single if weights.dtype == np.float32 else self._double
        sums: np.ndarray = matrix @ weights.T
        return sums


def running_sums(rows: np.ndarray) -> np.ndarray:
    """Sums of each row and those before it: numpy's cumsum along axis 0, several times as fast.

    Args:
        rows: (R, B), in C order.

    Returns:
        (R, B), a new array.
    """
    count, sets = rows.shape
    if count <= _BLOCK:
        sums = rows.copy()
        for row in range(1, count):
            sums[row] += sums[row - 1]
        return sums
    blocks = -(-count // _BLOCK)
    padded = np.zeros((blocks * _BLOCK, sets), dtype=rows.dtype)
    padded[:count] = rows
    within = padded.reshape(blocks, _BLOCK, sets)
    for row in range(1, _BLOCK):
        within[:, row] += within[:, row - 1]
    within[1:] += running_sums(within[:-1, -1])[:, np.newaxis]
    return padded[:count]


def ratio(numerator: np.ndarray, denominator: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """Divide; what is divided by nothing is `empty`."""
    divided = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), empty)
    np.divide(numerator, denominator, out=divided, where=denominator > 0)
    return divided
