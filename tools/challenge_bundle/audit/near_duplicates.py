"""Near-duplicates: the same picture resized, compressed again, brighter; or the next slice of one patient.

They are the pairs whose resized pictures correlate. All pairs are searched: a bound of the correlation, from
the slowest waves of each picture, rules out nearly all of them, none wrongly, and the pixels decide on the
rest.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from challenge_bundle.audit.base import (
    MAX_EXAMPLES,
    SMALL_SIDE_PX,
    UNKNOWN,
    AuditFinding,
    ImageTable,
    counted,
)
from challenge_bundle.findings import NOTE, WARNING, Finding
from challenge_bundle.formats.tasks import REGRESSION
from challenge_bundle.image_io import to_eight_bits

MIN_CORRELATIONS = (0.99, 0.995, 0.998, 0.9995)
"""Of the resized pictures' pixels; the first that leaves few enough candidates. 50 MedNIST images of 64 x 64
stay above 0.99 at 3/4 of the size, and 50 at JPEG quality 50; of 1.6 million pairs of different ones 20 reach
it (neighbouring slices), and of 5,216 X-rays none."""

MAX_CANDIDATES = 4_000_000

_WAVES = 31
_ROUNDING = 1e-5
"""More than the rounding error of 32 products of 32-bit numbers whose sum is at most 1."""
_ROWS, _COLUMNS = 128, 4096
"""Of a tile of pairs: its bounds stay in the processor's cache."""
_TASKS_AT_ONCE = 8
_PICTURES_AT_ONCE = 1024
_PAIRS_AT_ONCE = 8192
_SAMPLED_ROWS = 512


_KINDS = (
    Finding(
        "near-duplicates-label-conflict",
        WARNING,
        "",
        "images under two classes that show nearly the same",
        "look at them (all: near-duplicates.csv): one of the two classes may be wrong",
    ),
    Finding(
        "near-duplicates-across-splits",
        WARNING,
        "",
        "images in two splits that show nearly the same",
        "look at them (all: near-duplicates.csv): images of one patient belong in one split (`--group` finds"
        " patients by name, `data import --group-duplicates` by these pairs)",
    ),
    Finding(
        "near-duplicates-in-split",
        NOTE,
        "",
        "images in one split that show nearly the same",
        "look at them (all: near-duplicates.csv): near-duplicates of one picture count double",
    ),
)


@dataclass(frozen=True, slots=True)
class Pictures:
    """Resized pictures, with what is computed once for each.

    Args:
        small: (N, 32 * 32) gray levels, none constant.
        sums: (N,) of the gray levels.
        lengths: (N,) of the pictures as vectors, around their mean, times the square root of 32 * 32.
        waves: (N, 32) float32: how strong the slowest waves are and, last, all others together. Each row is
            of length 1, and the product of two is no less than the correlation of their pictures.
    """

    small: NDArray[np.uint8]
    sums: NDArray[np.int64]
    lengths: NDArray[np.float64]
    waves: NDArray[np.float32]


def small_picture(image: Image.Image) -> NDArray[np.uint8]:
    """An image's gray levels (32 * 32,), resized: what near-duplicates are searched by."""
    gray = to_eight_bits(image).convert("L")
    # Not BOX: where the sides are no multiple of 32, it shifts parts of the picture by a quarter of a pixel.
    return np.asarray(gray.resize((SMALL_SIDE_PX, SMALL_SIDE_PX), Image.Resampling.BILINEAR)).ravel()


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Pairs of pictures that show nearly the same.

    Args:
        pairs: (M, 2) rows of the pictures, the lower one first; in order.
        correlations: (M,) of their pixels, `least`..1.
        least: Correlation from which on pairs were searched; more than 0.99 where very many are alike.
        complete: Whether they are all from there on.
    """

    pairs: NDArray[np.int64]
    correlations: NDArray[np.float64]
    least: float
    complete: bool


def near_duplicate_pairs(small: NDArray[np.uint8]) -> NearPairs:
    """Find all pairs of pictures that show nearly the same, among them those that are equal.

    Args:
        small: (N, 32 * 32) gray levels of the pictures, as `small_picture` makes them; constant ones are in
            no pair.

    Returns:
        The pairs. There are at most 4 million, so that the memory (100 MB and 130 bytes a picture) does not
        grow with what the pictures are.
    """
    rows = np.flatnonzero(small.min(axis=1, initial=255) < small.max(axis=1, initial=0))
    if len(rows) < 2:
        return NearPairs(np.empty((0, 2), np.int64), np.empty(0), MIN_CORRELATIONS[0], True)
    from threadpoolctl import threadpool_limits

    # One thread a product: they are small, and the tiles of pairs are assigned to several threads.
    with threadpool_limits(1):
        pictures = describe_pictures(small if len(rows) == len(small) else small[rows])
        least = _choose_least(pictures.waves)
        pairs, correlations, complete = near_pairs(pictures, least)
    return NearPairs(rows[pairs], correlations, least, complete)


def find_near_duplicates(images: ImageTable) -> list[AuditFinding]:
    """Find different images that show nearly the same.

    Args:
        images: All images; of exact duplicates the first stands for all, and blank images are ignored.

    Returns:
        Warnings for pairs under two classes and in two splits; a note for pairs in one split.
    """
    rows = np.sort(np.unique(np.array(images.pixel_hashes), return_index=True)[1])
    found = near_duplicate_pairs(images.small if len(rows) == len(images) else images.small[rows])
    order = np.argsort(-found.correlations, kind="stable")
    findings = _sort_out(images, rows[found.pairs[order]], 1.0 - found.correlations[order])
    if not found.complete or found.least > MIN_CORRELATIONS[0]:
        ended = "" if found.complete else ", and it ended early"
        what = f"many images are alike: only correlations from {found.least} on were searched{ended}"
        hint = "look for near-duplicates class by class"
        narrow = Finding("near-duplicates-search-limited", NOTE, "", what, hint)
        findings.append(AuditFinding("near-copies", narrow))
    return findings


def describe_pictures(small: NDArray[np.uint8]) -> Pictures:
    """Compute what the search needs of each picture.

    The correlation of two pictures is the product of two vectors: their pixels around the mean, scaled to
    length 1. Cosine waves are right-angled to each other, so that the product is a sum over waves, and what
    the fast ones add to it is at most the product of their lengths (Cauchy-Schwarz).

    Args:
        small: (N, 32 * 32) gray levels, none constant.
    """
    sums = small.sum(axis=1, dtype=np.int64)
    squares = np.einsum("ij,ij->i", small, small, dtype=np.int64, casting="unsafe")
    lengths = np.sqrt(small.shape[1] * squares - sums * sums)
    slow = _slow_waves()
    waves = np.empty((len(small), _WAVES + 1), np.float32)
    for start in range(0, len(small), _PICTURES_AT_ONCE):
        part = slice(start, start + _PICTURES_AT_ONCE)
        strengths = small[part] @ slow.T * (SMALL_SIDE_PX / lengths[part, None])
        waves[part, :-1] = strengths
        waves[part, -1] = np.sqrt(np.maximum(0.0, 1.0 - np.square(strengths).sum(axis=1)))
    return Pictures(small, sums, lengths, waves)


def near_pairs(pictures: Pictures, least: float) -> tuple[NDArray[np.int64], NDArray[np.float64], bool]:
    """All pairs of pictures that correlate.

    Args:
        pictures: Of which pairs are made.
        least: Correlation.

    Returns:
        Pairs (M, 2), the lower row first, in order; their correlations (M,); and whether they are all (else
        there are too many candidates).
    """
    kept, found, count, complete = [np.empty((0, 2), np.int64)], [np.empty(0)], 0, True
    starts = range(0, len(pictures.waves), _ROWS)
    search = functools.partial(_search_rows, pictures, least)
    with ThreadPoolExecutor() as pool:
        # A few at a time, so that similar pictures do not fill the memory.
        for begin in range(0, len(starts), _TASKS_AT_ONCE):
            for candidates, pairs, correlations in pool.map(search, starts[begin : begin + _TASKS_AT_ONCE]):
                count += candidates
                complete &= candidates <= MAX_CANDIDATES // _TASKS_AT_ONCE
                kept.append(pairs)
                found.append(correlations)
            complete &= count <= MAX_CANDIDATES
            if not complete:
                break
    pairs, correlations = np.concatenate(kept), np.concatenate(found)
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return pairs[order], correlations[order], complete


def correlate(pictures: Pictures, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Correlation of the pixels of each pair, which neither brightness nor contrast changes.

    Args:
        pictures: What the pairs are of.
        pairs: (M, 2) rows of it.

    Returns:
        (M,), -1..1.
    """
    small, sums, lengths = pictures.small, pictures.sums, pictures.lengths
    found = np.empty(len(pairs))
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        one, other = pairs[start : start + _PAIRS_AT_ONCE].T
        # Whole numbers, so that the sums are exact whatever their order.
        products = np.einsum("ij,ij->i", small[one], small[other], dtype=np.int64, casting="unsafe")
        covariance = small.shape[1] * products - sums[one] * sums[other]
        found[start : start + _PAIRS_AT_ONCE] = covariance / (lengths[one] * lengths[other])
    return found


def _search_rows(
    pictures: Pictures, least: float, start: int
) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
    """Candidates, pairs and correlations of some rows with themselves and all later ones."""
    waves = pictures.waves
    count, found, values = 0, [np.empty((0, 2), np.int64)], [np.empty(0)]
    for other in range(start, len(waves), _COLUMNS):
        bounds = waves[start : start + _ROWS] @ waves[other : other + _COLUMNS].T
        rows, columns = np.divmod(np.flatnonzero(bounds >= least - _ROUNDING), bounds.shape[1])
        pairs = np.stack([rows + start, columns + other], axis=1)
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        correlations = correlate(pictures, pairs)
        good = correlations >= least
        found.append(pairs[good])
        values.append(correlations[good])
        count += len(pairs)
        if count > MAX_CANDIDATES // _TASKS_AT_ONCE:
            break
    return count, np.concatenate(found), np.concatenate(values)


def _slow_waves() -> NDArray[np.float64]:
    """(31, 32 * 32) cosine waves of length 1, right-angled to each other and to what is constant."""
    side = SMALL_SIDE_PX
    numbers = np.arange(side)
    waves = np.cos(np.pi * np.outer(numbers, 2 * numbers + 1) / (2 * side)) * np.sqrt(2.0 / side)
    waves[0] /= np.sqrt(2.0)
    speeds = np.add.outer(numbers**2, numbers**2).ravel()
    slowest = np.argsort(speeds, kind="stable")[1 : _WAVES + 1]
    return np.stack([np.outer(waves[place // side], waves[place % side]).ravel() for place in slowest])


def _choose_least(waves: NDArray[np.float32]) -> float:
    """The lowest correlation that leaves few enough candidates, by the bounds of some pictures with all."""
    sampled = waves[:: max(1, len(waves) // _SAMPLED_ROWS)]
    counts = np.zeros(len(MIN_CORRELATIONS))
    for start in range(0, len(waves), _COLUMNS):
        bounds = sampled @ waves[start : start + _COLUMNS].T
        counts += [np.count_nonzero(bounds >= least - _ROUNDING) for least in MIN_CORRELATIONS]
    # Each is like itself.
    expected = (counts - len(sampled)) * (len(waves) / len(sampled) / 2)
    few = [least for least, count in zip(MIN_CORRELATIONS, expected, strict=True) if count <= MAX_CANDIDATES]
    return few[0] if few else MIN_CORRELATIONS[-1]


def _sort_out(
    images: ImageTable, pairs: NDArray[np.int64], distances: NDArray[np.float64]
) -> list[AuditFinding]:
    """Findings of pairs (M, 2), the most similar first: each pair counts where it does most harm."""
    labels, splits = images.labels[pairs], images.splits[pairs]
    conflict = (labels[:, 0] != labels[:, 1]) & (labels != UNKNOWN).all(axis=1)
    if images.task == REGRESSION:
        # Of pictures that are a little apart, values may be too.
        conflict &= False
    across = (splits[:, 0] != splits[:, 1]) & ~conflict
    return [
        AuditFinding(
            "near-copies",
            replace(kind, message=f"{counted(int(mask.sum()), 'pair', 'pairs')} of {kind.message}"),
            int(mask.sum()),
            tuple((int(one), int(other)) for one, other in pairs[mask][:MAX_EXAMPLES]),
            pairs=pairs[mask],
            distances=distances[mask],
        )
        for mask, kind in zip((conflict, across, ~conflict & ~across), _KINDS, strict=True)
        if mask.any()
    ]
