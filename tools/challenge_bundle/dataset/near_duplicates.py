"""Near-duplicates as patient groups: images that show nearly the same stay in one split."""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.near_duplicates import NearPairs, near_duplicate_pairs, small_picture
from challenge_bundle.dataset.duplicates import Dropped
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.dataset.stratify import connect
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.image_io import ignore_warnings, reading
from challenge_bundle.progress import Progress

_LARGE_SHARE = 0.1
"""A group of more of the images leaves the splits uneven."""


def join_near_duplicates(
    staged: Sequence[StagedImage], patient_groups: Mapping[str, str], dropped: Dropped, progress: Progress
) -> tuple[dict[str, str], list[Finding]]:
    """Join images that show nearly the same, and the patient groups that they are of, into one group each.

    Args:
        staged: The images; each is read once more.
        patient_groups: Patient group by origin.
        dropped: Duplicates of the images that were dropped, whose patient groups count too.
        progress: Called for every image.

    Returns:
        Patient group by origin, of near-duplicates too; and how many pairs were joined.
    """
    found = near_duplicate_pairs(_read_small(staged, progress))
    keys: dict[int, list[tuple[str, object]]] = defaultdict(list)
    for number, pair in enumerate(found.pairs.tolist()):
        for row in pair:
            keys[row].append(("pair", number))
    for row, image in enumerate(staged):
        known = [*dropped.patient_groups.get(image.pixels_sha256, [])]
        known += [patient_groups[image.source.origin]] if image.source.origin in patient_groups else []
        if known:
            keys[row] += [("patient group", group) for group in known]
    joined = dict(patient_groups)
    paired = set(found.pairs.ravel().tolist())
    sets = [rows for rows in connect(sorted(keys), keys.__getitem__) if paired.intersection(rows)]
    for rows in sets:
        origins = [staged[row].source.origin for row in rows]
        joined |= dict.fromkeys(origins, _name(origins, patient_groups))
    return joined, _findings(staged, found, max(map(len, sets), default=0))


def _read_small(staged: Sequence[StagedImage], progress: Progress) -> NDArray[np.uint8]:
    """The gray levels (N, 32 * 32) of the images."""

    def read(image: StagedImage) -> NDArray[np.uint8]:
        with reading(image.file) as opened:
            return small_picture(opened)

    pictures: list[NDArray[np.uint8]] = []
    # Around the threads, not in them: the filters are the whole process's.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        ignore_warnings()
        for picture in pool.map(read, staged):
            pictures.append(picture)
            progress("looking for near-duplicates", len(pictures), len(staged))
    return np.stack(pictures) if pictures else np.empty((0, 1), np.uint8)


def _name(origins: Sequence[str], patient_groups: Mapping[str, str]) -> str:
    """What a joined group is called: after its patients, else after its first image."""
    known = sorted({patient_groups[origin] for origin in origins if origin in patient_groups})
    more = f" and {len(known) - 2} more" if len(known) > 2 else ""
    return " + ".join(known[:2]) + more if known else f"near-duplicates of {min(origins)}"


def _findings(staged: Sequence[StagedImage], found: NearPairs, largest: int) -> list[Finding]:
    """How many pairs there are, and what of them is not as it should be."""
    if not len(found.pairs):
        return []
    one, other = (staged[row].source.origin for row in found.pairs[0])
    message = f"pairs of near-duplicates, kept in one split as of one patient: {len(found.pairs):,}, such as"
    findings = [Finding("near-duplicates-grouped", WARNING, "", f"{message} {one} and {other}")]
    if not found.complete:
        message = "so many images are alike that not all near-duplicates were found"
        hint = "name the patient groups with --group"
        findings.append(Finding("near-duplicates-incomplete", WARNING, "", message, hint))
    if largest > _LARGE_SHARE * len(staged):
        message = f"a chain of near-duplicates is one group of {largest:,} of {len(staged):,} images"
        hint = "it makes the splits uneven; leave --group-duplicates out if they are of different patients"
        findings.append(Finding("near-duplicates-chain", WARNING, "", message, hint))
    return findings
