"""Which images belong together, such as a patient's, so that no two splits share them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from challenge_bundle.errors import DataError, shown
from challenge_bundle.formats.group_rules import NamePattern, guess_groups, parse_group_rule
from challenge_bundle.sources.base import SourceImage


def find_groups(images: Sequence[SourceImage], rule: str) -> dict[str, str]:
    """Name the group of each image.

    Args:
        images: The images.
        rule: See parse_group_rule. Empty takes the groups that the source knows of.

    Returns:
        Group by origin; without those that have none.

    Raises:
        DataError: The rule is at fault, or tells no group of an image.
    """
    if not rule:
        return {image.origin: image.group for image in images if image.group}
    parsed = parse_group_rule(rule, Path())
    found = parsed.groups_of([(image.origin, image.class_name) for image in images])
    unknown = [image.origin for image, group in zip(images, found, strict=True) if group is None]
    if unknown:
        mend = "add their rows"
        if isinstance(parsed, NamePattern):
            mend = "correct it, or, if such images are a group each, use '.*?(?:RULE)|(.+)'"
        raise DataError(
            f"--group {shown(rule)} tells no group of {len(unknown)} of {len(images)} images, the first:"
            f" {unknown[0]}; {mend}",
            details=tuple(unknown[1:]),
        )
    return {image.origin: group for image, group in zip(images, found, strict=True) if group}


def refuse_one_group(images: Sequence[SourceImage], groups: Mapping[str, str], hint: str) -> None:
    """Refuse images that are to be split and are all of one group, as where one word stands for all patients.

    Args:
        images: The images.
        groups: Those that are known, by origin.
        hint: What to do; empty says the usual.

    Raises:
        DataError: They are, and so no two splits can be made of them.
    """
    found = {groups.get(image.origin) for image in images}
    group = found.pop() if len(found) == 1 else None
    if group is not None and len(images) > 1 and not all(image.split for image in images):
        raise DataError(
            f"all {len(images):,} images are of one group (patient), {shown(group)}, which cannot be split;"
            f" {hint or 'tell the groups apart with another --group'}"
        )


def warn_of_unknown(images: Sequence[SourceImage], groups: Mapping[str, str]) -> list[str]:
    """Say of how many images no group is known where there seem to be some.

    Args:
        images: The images.
        groups: Those that are known, by origin.
    """
    without = [image for image in images if image.origin not in groups]
    if groups and without:
        return [
            f"images without a group (patient), though others have one: {len(without):,} of {len(images):,},"
            f" such as {without[0].origin}; each may come into any split, so tell the groups of all (--group)"
        ]
    if groups:
        return []
    pattern, guessed = guess_groups([(image.origin, image.class_name) for image in images])
    several = sum(count > 1 for group, count in Counter(guessed).items() if group)
    if not several:
        return []
    # (.+) fits from the start on, so what comes before it must too.
    rule = pattern if None not in guessed else f".*?(?:{pattern})|(.+)"
    # Splits of the source's own are never cut anew.
    use = "refuses to part them" if all(image.split for image in images) else "keeps each in one split"
    return [
        f"names look like those of {several:,} patients with several images; --group '{rule}' {use}, if they"
        " are right"
    ]


def check_parted(
    images: Sequence[SourceImage], groups: Mapping[str, str], allow_leaks: bool, hint: str = ""
) -> list[str]:
    """Refuse groups that the source's own splits part, unless that is allowed; return what is worth knowing.

    Args:
        images: The images.
        groups: Those that are known, by origin.
        allow_leaks: Whether a group may be in training and in testing.
        hint: What to do where all images are of one group.

    Raises:
        DataError: One has images in training and in testing.
    """
    # Of each group the first image of each split.
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for image in images:
        if image.split and image.origin in groups:
            found[groups[image.origin]].setdefault(image.split, image.origin)
    parted = sorted(group for group, of_split in found.items() if len(of_split) > 1)
    leaking = [group for group in parted if {"training", "testing"} <= found[group].keys()]
    if leaking and not allow_leaks:
        named = [_name_parted(group, found[group], ("training", "testing")) for group in leaking]
        if hint and len(found) == 1:
            raise DataError(
                f"all {len(images):,} images are of one group (patient), {named[0]}; {hint}, or take them as"
                " they are with --allow-leaks (in bundle.toml: data.allow_leaks = true)"
            )
        raise DataError(
            f"groups (patients) with images in training and in testing: {len(leaking)}, the first"
            f" {named[0]}; leave the source's splits out, to have them cut by group, or take"
            " them all the same with --allow-leaks (in bundle.toml: data.allow_leaks = true)",
            details=tuple(named[1:]),
        )
    if not parted:
        return []
    named = [_name_parted(parted[0], found[parted[0]], sorted(found[parted[0]]))]
    return [f"groups that the given splits part: {len(parted)}, such as {named[0]}"]


def _name_parted(group: str, of_split: Mapping[str, str], splits: Sequence[str]) -> str:
    """A group, and an image of it in each of some splits."""
    where = " and ".join(f"{of_split[split]} in {split}" for split in splits)
    return f"{shown(group)} ({where})"
