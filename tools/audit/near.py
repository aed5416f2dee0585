"""Near copies: the same picture resized, compressed again, brighter; or the next slice of one patient.

A perceptual hash of 64 bits finds candidates among all pairs; a comparison of pixels decides.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from tools.audit.base import SMALL_SIDE_PX, UNKNOWN, AuditFinding, ImageTable, counted

RADII = (8, 6, 4, 2, 0)
"""Bits in which the hashes of candidates differ at most; the first that leaves few enough candidates."""

MAX_CANDIDATES = 4_000_000
MIN_CORRELATION = 0.99
"""Of the small copies' pixels. 224 x 224 X-rays at 3/4 of the size and JPEG quality 20 stay above 0.998; no
two different ones of 2,600 reach 0.98. Of 1,800 MedNIST images, 8 pairs (neighbouring slices) reach it."""

_HASH_SIDE = 8
_ROWS, _COLUMNS = 128, 4096
"""Of a tile of pairs: its distances stay in the processor's cache."""
_TILE_ROWS = 8
_PAIRS_AT_ONCE = 8192
_SAMPLED_ROWS = 512


def find_near_copies(images: ImageTable) -> list[AuditFinding]:
    """Find different images that show nearly the same.

    Args:
        images: All images; of exact copies the first stands for all, and blank images are passed over.

    Returns:
        Warnings for pairs under two classes and in two splits; a note for pairs in one split.
    """
    first = np.unique(np.array(images.pixel_hashes), return_index=True)[1]
    rows = np.sort(first[images.small[first].std(axis=1) > 0]) if len(images) else first
    if len(rows) < 2:
        return []
    small = images.small[rows]
    codes = hash_pictures(small)
    radius = _choose_radius(codes)
    pairs, complete = near_pairs(codes, radius)
    correlations = correlate(small, pairs)
    good = correlations >= MIN_CORRELATION
    order = np.argsort(-correlations[good], kind="stable")
    findings = _sort_out(images, rows[pairs[good][order]])
    if not complete or radius < RADII[0]:
        what = (
            f"the search for near copies was narrow (hashes within {radius} of 64 bits), for many are alike"
        )
        if not complete:
            what += f", and it ended after {MAX_CANDIDATES:,} candidates"
        findings.append(AuditFinding("near-copies", "note", what, "look for near copies class by class"))
    return findings


def hash_pictures(small: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hash pictures so that similar ones differ in few bits.

    Args:
        small: (N, 32 * 32) gray levels.

    Returns:
        (N,) 64 bits each: which of the 8 x 8 slowest cosine waves are stronger than their median.

    Source:
        Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions" (DCT hash).
    """
    places = np.arange(SMALL_SIDE_PX)
    waves = np.cos(np.pi * np.outer(np.arange(_HASH_SIDE), 2 * places + 1) / (2 * SMALL_SIDE_PX))
    both = np.kron(waves, waves).astype(np.float32)
    codes = np.empty(len(small), np.uint64)
    for start in range(0, len(small), _COLUMNS):
        strengths = small[start : start + _COLUMNS].astype(np.float32) @ both.T
        strengths[:, 0] = 0.0  # the mean, which brightness alone decides
        bits = strengths > np.median(strengths, axis=1, keepdims=True)
        codes[start : start + _COLUMNS] = np.packbits(bits, axis=1).view(np.uint64).ravel()
    return codes


def near_pairs(codes: NDArray[np.uint64], radius: int) -> tuple[NDArray[np.int64], bool]:
    """All pairs of codes that differ in few bits.

    Args:
        codes: (N,) of 64 bits.
        radius: Bits that may differ.

    Returns:
        Pairs (M, 2), the lower row first, in order; and whether they are all (else there are too many).
    """

    def tile_row(start: int) -> list[NDArray[np.int64]]:
        found: list[NDArray[np.int64]] = []
        mine = codes[start : start + _ROWS, None]
        for other in range(start, len(codes), _COLUMNS):
            distances = np.bitwise_count(mine ^ codes[None, other : other + _COLUMNS])
            near = np.flatnonzero(distances <= radius)
            rows, columns = np.divmod(near, distances.shape[1])
            pairs = np.stack([rows + start, columns + other], axis=1)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
            if sum(map(len, found)) > MAX_CANDIDATES:
                break
        return found

    kept: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
    count = 0
    with ThreadPoolExecutor() as pool:
        starts = range(0, len(codes), _ROWS)
        # A few at a time, so that pictures that are all alike do not fill the memory.
        for begin in range(0, len(starts), _TILE_ROWS):
            for found in pool.map(tile_row, starts[begin : begin + _TILE_ROWS]):
                kept += found
                count += sum(map(len, found))
            if count > MAX_CANDIDATES:
                return np.concatenate(kept)[:MAX_CANDIDATES], False
    pairs = np.concatenate(kept)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))], True


def correlate(small: NDArray[np.uint8], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Correlation of the pixels of each pair, which neither brightness nor contrast changes.

    Args:
        small: (N, P) gray levels, none constant.
        pairs: (M, 2) rows of it.

    Returns:
        (M,), -1..1.
    """
    mean = small.mean(axis=1)
    norm = np.sqrt(small.shape[1]) * small.std(axis=1)
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        one, other = pairs[start : start + _PAIRS_AT_ONCE].T
        # Whole numbers, so that the sums are exact whatever their order.
        products = np.einsum("ij,ij->i", small[one], small[other], dtype=np.int32, casting="unsafe")
        covariance = products - small.shape[1] * mean[one] * mean[other]
        found[start : start + _PAIRS_AT_ONCE] = covariance / (norm[one] * norm[other])
    return found


def _choose_radius(codes: NDArray[np.uint64]) -> int:
    """The widest search that leaves few enough candidates, by the distances from some images to all."""
    sampled = codes[:: max(1, len(codes) // _SAMPLED_ROWS)]
    counts = np.zeros(65, np.int64)
    for code in sampled:
        counts += np.bincount(np.bitwise_count(codes ^ code), minlength=65)
    # Each is at no distance from itself.
    within = np.cumsum(counts) - len(sampled)
    expected = within * (len(codes) / len(sampled) / 2)
    return next((radius for radius in RADII if expected[radius] <= MAX_CANDIDATES), RADII[-1])


def _sort_out(images: ImageTable, pairs: NDArray[np.int64]) -> list[AuditFinding]:
    """Findings of pairs (M, 2), the most similar first: each pair counts where it does most harm."""
    labels, splits = images.labels[pairs], images.splits[pairs]
    conflict = (labels[:, 0] != labels[:, 1]) & (labels != UNKNOWN).all(axis=1)
    across = (splits[:, 0] != splits[:, 1]) & ~conflict
    kinds = (
        (conflict, "warning", "under two classes", "look at them: one of the two classes may be wrong"),
        (
            across,
            "warning",
            "in two splits",
            "look at them: images of one patient belong in one split (`--group` finds patients by name)",
        ),
        (~conflict & ~across, "note", "in one split", "look at them: copies of one picture count double"),
    )
    return [
        AuditFinding(
            "near-copies",
            severity,
            f"{counted(int(mask.sum()), 'pair', 'pairs')} of images {where} that show nearly the same",
            mend,
            int(mask.sum()),
            tuple((int(one), int(other)) for one, other in pairs[mask]),
        )
        for mask, severity, where, mend in kinds
        if mask.any()
    ]
