"""Files that are not images, images that show nothing, and several sizes or modes where one is expected."""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from challenge_bundle.audit.base import AuditFinding, Figures, ImageTable, counted
from challenge_bundle.findings import ERROR, WARNING, Finding

BLANK_DEVIATION = 2.0
"""Gray levels, 0..255; an image whose pixels vary less shows nothing."""


def find_unreadable(images: ImageTable) -> list[AuditFinding]:
    """Find files that cannot be read to their last byte."""
    if not images.unreadable:
        return []
    count = len(images.unreadable)
    what = counted(count, "file cannot be read as an image", "files cannot be read as images")
    first, why = images.unreadable[0]
    files = tuple(f"{file}: {reason}" for file, reason in images.unreadable)
    message = f"{what}, the first: {first}: {why}"
    finding = Finding("image-unreadable", ERROR, "", message, "replace or remove them")
    return [AuditFinding("unreadable", finding, count, files=files)]


def find_blank(images: ImageTable) -> list[AuditFinding]:
    """Find images of one gray level, or nearly so."""
    deviation, least, greatest = images.brightness[:, 1], images.brightness[:, 2], images.brightness[:, 3]
    rows = np.flatnonzero((deviation < BLANK_DEVIATION) | (least == greatest))
    if not len(rows):
        return []
    what = counted(len(rows), "image is blank", "images are blank")
    finding = Finding("image-blank", WARNING, "", what, "remove them: nothing can be learned from them")
    return [AuditFinding("blank", finding, len(rows), tuple((int(row),) for row in rows))]


def find_sizes(images: ImageTable) -> list[AuditFinding]:
    """Find several sizes."""
    sizes = [f"{width}x{height}" for width, height in images.sizes_px.tolist()]
    hint = "bring them to one size, or expect each program to resize them its own way"
    return _several("sizes", sizes, Finding("image-sizes", WARNING, "", "images have several sizes", hint))


def find_modes(images: ImageTable) -> list[AuditFinding]:
    """Find several modes."""
    hint = "save them in one mode, or expect programs to see them converted"
    kind = Finding("image-modes", WARNING, "", "images have several modes", hint)
    return _several("modes", images.modes, kind)


def _several(check: str, values: Sequence[Hashable], kind: Finding) -> list[AuditFinding]:
    counts = Counter(values).most_common()
    if len(counts) < 2:
        return []
    # The odd ones before the usual one.
    named = [odd for odd, _ in counts[1:8]] + [counts[0][0]]
    examples = tuple((next(row for row, value in enumerate(values) if value == odd),) for odd in named)
    figures = Figures((check.removesuffix("s"), "images"), tuple((str(odd), n) for odd, n in counts[:12]))
    text = f"{len(counts):,} {check}: {counts[0][0]} in {counts[0][1]:,} of {len(values):,} images"
    labels = tuple(map(str, named))
    finding = replace(kind, message=text)
    return [AuditFinding(check, finding, len(counts), examples, figures=figures, labels=labels)]
