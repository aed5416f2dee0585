"""Which images belong to one patient group, so that no two splits share it."""

from collections.abc import Sequence
from pathlib import Path

from challenge_bundle.formats.group_rules import parse_group_rule
from challenge_bundle.sources.base import SourceImage


def find_patient_groups(images: Sequence[SourceImage], rule: str) -> dict[str, str]:
    """Name the patient group of each image.

    Args:
        images: The images.
        rule: See parse_group_rule. Empty takes the patient groups that the source knows of.

    Returns:
        Patient group by origin; without those that have none.

    Raises:
        DataError: The rule cannot be read, or one row of its table fits several images.
    """
    if not rule:
        return {image.origin: image.patient_group for image in images if image.patient_group}
    found = parse_group_rule(rule, Path()).groups_of([(image.origin, image.class_name) for image in images])
    return {image.origin: group for image, group in zip(images, found, strict=True) if group}
