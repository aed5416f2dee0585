"""Which images belong together, such as a patient's, so that no two splits share them."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from tools.errors import DataError, shown
from tools.sources.base import SourceImage


def find_groups(images: Sequence[SourceImage], pattern: str) -> dict[str, str]:
    """Name the group of each image.

    Args:
        images: The images.
        pattern: Regular expression that is searched for in an image's name; the first of its groups that
            matched names the image's. Empty takes the groups that the source knows of.

    Returns:
        Group by origin; without those that have none.

    Raises:
        DataError: It is no regular expression, has no capture group, or does not match every name.
    """
    if not pattern:
        return {image.origin: image.group for image in images if image.group}
    try:
        compiled = re.compile(pattern)
    except re.error as fault:
        raise DataError(f"'data.group' ({shown(pattern)}) is not a regular expression: {fault}") from None
    if not compiled.groups:
        raise DataError(
            f"'data.group' ({shown(pattern)}) has no capture group; put what names the patient in parentheses"
        )
    groups: dict[str, str] = {}
    unmatched: list[str] = []
    for image in images:
        match = compiled.search(_name(image))
        group = next((found for found in match.groups() if found), None) if match else None
        if group is None:
            unmatched.append(image.origin)
        else:
            groups[image.origin] = group
    if unmatched:
        raise DataError(
            f"'data.group' ({shown(pattern)}) matches {len(unmatched)} of {len(images)} names not, the first:"
            f" {unmatched[0]}; correct it, or end it in |(.+) if such images are a group each",
            details=tuple(unmatched[1:]),
        )
    return groups


def parted_groups(images: Sequence[SourceImage], groups: Mapping[str, str]) -> list[str]:
    """Say whether the source's own splits part groups; they are kept as they are."""
    splits: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image.split and image.origin in groups:
            splits[groups[image.origin]].add(image.split)
    parted = sorted(group for group, found in splits.items() if len(found) > 1)
    if not parted:
        return []
    where = " and ".join(sorted(splits[parted[0]]))
    return [f"groups that the given splits part: {len(parted)}, such as {shown(parted[0])} ({where})"]


def _name(image: SourceImage) -> str:
    """The path below the class folder, else the base name: what lies above differs by machine."""
    path = image.origin.replace("\\", "/")
    _, found, below = path.rpartition(f"/{image.class_name}/")
    return below if found else PurePath(path).name
