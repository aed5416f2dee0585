"""Files that are no images, images that show nothing, and several sizes or modes where one is expected."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from challenge_bundle.audit.base import AuditFinding, Figures, ImageTable, counted

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
    mend = "replace or remove them"
    return [
        AuditFinding("unreadable", "error", f"{what}, the first: {first}: {why}", mend, count, files=files)
    ]


def find_blank(images: ImageTable) -> list[AuditFinding]:
    """Find images of one gray level, or nearly so."""
    deviation, least, greatest = images.brightness[:, 1], images.brightness[:, 2], images.brightness[:, 3]
    rows = np.flatnonzero((deviation < BLANK_DEVIATION) | (least == greatest))
    if not len(rows):
        return []
    what = counted(len(rows), "image is blank", "images are blank")
    mend = "remove them: what they show cannot be told from them"
    return [AuditFinding("blank", "warning", what, mend, len(rows), tuple((int(row),) for row in rows))]


def find_sizes(images: ImageTable) -> list[AuditFinding]:
    """Find several sizes."""
    sizes = [f"{width}x{height}" for width, height in images.sizes_px.tolist()]
    return _several(
        "sizes", sizes, "bring them to one size, or know that each program resizes them its own way"
    )


def find_modes(images: ImageTable) -> list[AuditFinding]:
    """Find several modes."""
    return _several("modes", images.modes, "save them in one mode, or know that programs see them converted")


def _several(what: str, values: Sequence[Hashable], mend: str) -> list[AuditFinding]:
    counts = Counter(values).most_common()
    if len(counts) < 2:
        return []
    # The odd ones before the usual one.
    told = [odd for odd, _ in counts[1:8]] + [counts[0][0]]
    examples = tuple((next(row for row, value in enumerate(values) if value == odd),) for odd in told)
    figures = Figures((what.removesuffix("s"), "images"), tuple((str(odd), n) for odd, n in counts[:12]))
    text = f"{len(counts):,} {what}; {counts[0][0]} is that of {counts[0][1]:,} of {len(values):,} images"
    labels = tuple(map(str, told))
    return [AuditFinding(what, "warning", text, mend, len(counts), examples, figures=figures, labels=labels)]
