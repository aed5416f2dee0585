"""Images that show the same picture: which are together, and which one of them is kept."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.findings import WARNING, Finding
from challenge_bundle.layout import SPLITS


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped.

    Args:
        patient_groups: Those of the dropped images by their pixels: they stay with the image that was kept.
        findings: How many were dropped; empty if none was.
    """

    patient_groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def by_pixels(images: Sequence[StagedImage]) -> list[list[StagedImage]]:
    """The images that show the same picture, together."""
    pictures: dict[str, list[StagedImage]] = defaultdict(list)
    for image in images:
        pictures[image.pixels_sha256].append(image)
    return list(pictures.values())


def drop_duplicates(
    staged: Sequence[StagedImage], patient_groups: Mapping[str, str]
) -> tuple[list[StagedImage], Dropped]:
    """Keep one image of each picture and class: the one in testing, then validation, then the first.

    Args:
        staged: The images; their order is kept.
        patient_groups: Patient group by origin.
    """
    best: dict[tuple[str, str], StagedImage] = {}
    for image in staged:
        key = (image.pixels_sha256, image.source.class_name)
        best[key] = min(best.get(key, image), image, key=_precedence)
    kept = [
        image for image in staged if best[image.pixels_sha256, image.source.class_name].source is image.source
    ]
    kept_origins = {image.source.origin for image in kept}
    gone = [image for image in staged if image.source.origin not in kept_origins]
    if not gone:
        return kept, Dropped()
    groups_of: dict[str, list[str]] = defaultdict(list)
    for image in gone:
        if image.source.origin in patient_groups:
            groups_of[image.pixels_sha256].append(patient_groups[image.source.origin])
    one = best[gone[0].pixels_sha256, gone[0].source.class_name].source.origin
    message = f"duplicates dropped: {len(gone):,}, such as {gone[0].source.origin}, of which {one} is kept"
    return kept, Dropped(groups_of, (Finding("duplicates-dropped", WARNING, "", message),))


def _precedence(image: StagedImage) -> tuple[int, str]:
    # The later split first, so that what is tested is no longer trained on, and no test image is lost.
    split = image.source.split
    return (-SPLITS.index(split) if split else 0, image.source.origin)
