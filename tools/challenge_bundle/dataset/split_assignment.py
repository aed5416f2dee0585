"""Which split each image goes to: its own, that of the last import, or its share of what has none."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from challenge_bundle.dataset.duplicates import Dropped
from challenge_bundle.dataset.previous_import import Earlier, check_known, find_moves, strongest
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.dataset.stratify import connect, missing_splits, split_groups
from challenge_bundle.errors import DataError, shown
from challenge_bundle.layout import SPLITS
from challenge_bundle.sources.base import ImportRequest, place_of


def deal(
    staged: Sequence[StagedImage],
    groups: Mapping[str, str],
    request: ImportRequest,
    earlier: Earlier,
    dropped: Dropped,
) -> tuple[list[StagedImage], list[str]]:
    """Give every image its split: its own where the source has one, else its share of what has none.

    Args:
        staged: The images.
        groups: What stays together, by origin.
        request: What was asked.
        earlier: The last import, whose splits may be kept.
        dropped: Copies of the images that were dropped.

    Returns:
        The images with their splits, and what is worth knowing of them.

    Raises:
        DataError: A split has no image of a class, or splits that are to be kept are not known.
    """
    if request.keep_splits:
        check_known(staged, earlier)
    given = {image.source.split for image in staged if image.source.split}
    missing = missing_splits(given)
    cut_from = "training" if given else None
    placed = [
        replace(image, split=image.source.split or "")
        for image in staged
        if not missing or image.source.split != cut_from
    ]
    told: list[str] = []
    if missing:
        targets = [split for split in SPLITS if split in missing or split == cut_from]
        uncut = [image for image in staged if image.source.split == cut_from]
        together = connect(uncut, lambda image: _keys(image, groups, dropped))
        kept: list[str | None] = [None] * len(together)
        if request.keep_splits:
            were = [_known(same, earlier) & set(targets) for same in together]
            kept = [strongest(splits) for splits in were]
            told += _tell_parted(together, were, groups)
        placed += _cut(uncut, together, targets, kept, groups, request)
    _refuse_absent(placed, request)
    return placed, told + find_moves(placed, earlier, request.keep_splits)


def _keys(image: StagedImage, groups: Mapping[str, str], dropped: Dropped) -> list[tuple[str, str]]:
    """Images that share one stay together: identical ones and those of one group."""
    of_image = [groups[image.source.origin]] if image.source.origin in groups else []
    of_image += dropped.groups.get(image.pixels_sha256, [])
    return [("pixels", image.pixels_sha256), *(("group", group) for group in of_image)]


def _known(same: Sequence[StagedImage], earlier: Earlier) -> frozenset[str]:
    """The splits in which images that stay together were."""
    return frozenset(split for image in same for split in earlier.splits_of(image))


def _tell_parted(
    together: Sequence[Sequence[StagedImage]], were: Sequence[frozenset[str]], groups: Mapping[str, str]
) -> list[str]:
    """Say how many that stay together now were in several splits."""
    parted = [same for same, splits in zip(together, were, strict=True) if len(splits) > 1]
    if not parted:
        return []
    return [
        f"groups (patients) whose images the last import had in several splits: {len(parted):,}, such as"
        f" {_describe(parted[0], groups)}; each is whole in testing now if one of its images was there, else"
        " in validation"
    ]


def _cut(
    images: Sequence[StagedImage],
    together: Sequence[Sequence[StagedImage]],
    targets: Sequence[str],
    kept: Sequence[str | None],
    groups: Mapping[str, str],
    request: ImportRequest,
) -> list[StagedImage]:
    """Cut splits by class; what stays together is given as such, and the split that it keeps."""
    shares: dict[str, dict[str, float]] = {}
    for class_name, count in Counter(image.source.class_name for image in images).items():
        even = request.sample_size and count >= request.sample_size * len(targets)
        wanted = {split: 1.0 if even else request.split[SPLITS.index(split)] for split in targets}
        shares[class_name] = {split: share / sum(wanted.values()) for split, share in wanted.items()}
    dealt = split_groups(
        together,
        shares,
        lambda image: image.source.class_name,
        kept,
        lambda same: _describe(same, groups),
    )
    taken: Counter[tuple[str, str]] = Counter()
    placed: list[StagedImage] = []
    # Where groups or kept splits make the splits uneven, all that were asked for are kept.
    uneven = bool(groups) or any(kept)
    for split, of_split in dealt.items():
        for image in of_split:
            taken[split, image.source.class_name] += 1
            if uneven or not 0 < request.sample_size < taken[split, image.source.class_name]:
                placed.append(replace(image, split=split))
    return placed


def _describe(same: Sequence[StagedImage], groups: Mapping[str, str]) -> str:
    """Name images that stay together."""
    names = sorted({groups[image.source.origin] for image in same if image.source.origin in groups})
    first = place_of(same[0].source)
    if len(names) > 1:
        return f"{shown(names[0])} and {shown(names[1])}, which share an image, such as {first}"
    if names:
        return f"{shown(names[0])}, of {len(same)} images, such as {first}"
    return first if len(same) == 1 else f"{first} and {len(same) - 1} copies of it"


def _refuse_absent(placed: Sequence[StagedImage], request: ImportRequest) -> None:
    """Refuse classes that a split has no image of.

    Raises:
        DataError: There is one.
    """
    classes = {image.source.class_name for image in placed}
    for split in SPLITS:
        absent = sorted(classes - {image.source.class_name for image in placed if image.split == split})
        if not absent:
            continue
        others = [image for image in placed if image.source.class_name == absent[0]]
        count = f"{len(others):,} in other splits, such as" if len(others) > 1 else "only"
        kept = ", or leave out --keep-splits" if request.keep_splits else ""
        raise DataError(
            f"class {absent[0]} has no {split} image, {count} {place_of(others[0].source)}; every split needs"
            f" at least one of each class: correct the name of the class, or add images{kept}"
        )
