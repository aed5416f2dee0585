"""From a source to input_data/: sample, check, split, name, and publish all of it or nothing."""

import contextlib
import itertools
import json
import os
import shutil
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from challenge_bundle.dataset.duplicates import Dropped, by_pixels, drop_copies
from challenge_bundle.dataset.invalidate import keep_evaluation
from challenge_bundle.dataset.patient_groups import (
    check_parted,
    find_groups,
    refuse_one_group,
    warn_of_unknown,
)
from challenge_bundle.dataset.previous_import import read_earlier
from challenge_bundle.dataset.publish import recover_import, secret_staging_dir, staging_dir, staging_folders
from challenge_bundle.dataset.split_assignment import deal
from challenge_bundle.dataset.staging import StagedImage, describe_files, stage_images
from challenge_bundle.dataset.stratify import missing_splits, rank, sample
from challenge_bundle.dataset.summary import DataSummary, refuse_to_replace_foreign
from challenge_bundle.errors import DataError, shown
from challenge_bundle.files import write_csv, write_text
from challenge_bundle.formats.label_table import HEADER
from challenge_bundle.formats.origins import Origin, write_origins
from challenge_bundle.layout import SPLITS, Layout, solution_name, split_dir_name
from challenge_bundle.progress import Progress
from challenge_bundle.sources.base import (
    ImportRequest,
    Source,
    SourceImage,
    base_name,
    image_key,
    place_of,
    refuse_odd_names,
)
from challenge_bundle.sources.download_cache import Downloads, open_downloads


def import_images(source: Source, request: ImportRequest, layout: Layout, progress: Progress) -> DataSummary:
    """Fill input_data/ and the reference from a source; the old data stay whole until the new are complete.

    Raises:
        DataError: The source or an image in it is at fault; nothing was changed.
    """
    recover_import(layout)
    if not request.replace:
        refuse_to_replace_foreign(layout)
    earlier = read_earlier(layout)
    with staging_folders(layout) as (staging, secret):
        listing = source.list_images(request, progress)
        listed = listing.images
        refuse_odd_names(listed)
        _check_classes(listed, request.class_names)
        groups = find_groups(listed, request.group)
        chosen = _sample(listed, request)
        warned = (*listing.warnings, *warn_of_unknown(chosen, groups))
        if not request.drop_copies:
            # Before the images are read, for that may take long.
            warned += (*check_parted(chosen, groups, request.allow_leaks, listing.group_hint),)
        # Not before it is known that there is such a source: a slip in its name must cost nothing.
        downloads = open_downloads(source.description, layout)
        staged = _stage(chosen, staging, downloads, request, progress)
        dropped = Dropped()
        if request.drop_copies:
            staged, dropped = drop_copies(staged, groups)
            left = [image.source for image in staged]
            warned += (*dropped.told, *check_parted(left, groups, request.allow_leaks, listing.group_hint))
        warned += (*_check_images(staged, request), *_too_few(staged, request))
        refuse_one_group([image.source for image in staged], groups, listing.group_hint)
        split, dealing = deal(staged, groups, request, earlier, dropped)
        warned += (*dealing, *_check_leaks(split, request), *describe_files(split))
        keep = request.keep_names or (source.names_are_public and not request.new_names)
        placed = _name(split, keep)
        summary = _write_staging(placed, groups, source.description, warned, request, layout)
        # With copies, and what is over where they make a sample uneven.
        shutil.rmtree(staging / "images")
        put_away = keep_evaluation(layout, staging, secret, request.replace)
        summary = replace(summary, warnings=(*summary.warnings, *filter(None, [put_away])))
    recover_import(layout)
    _open_outputs(layout)
    return summary


def _open_outputs(layout: Layout) -> None:
    """Let the images' user, who is nobody here, write where the README's docker commands have it write."""
    for folder in (layout.model_output, layout.results_dir, layout.scoring_output):
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):
            folder.chmod(0o777)


def _check_classes(listed: Sequence[SourceImage], expected: Sequence[str]) -> None:
    found = {image.class_name for image in listed}
    if expected and found != set(expected):
        odd = next((image for image in listed if image.class_name not in expected), None)
        example = f" ({odd.class_name} is that of {place_of(odd)})" if odd else ""
        raise DataError(
            f"the images' classes are {', '.join(sorted(found))}, but 'bundle.class_names' in bundle.toml"
            f" says {', '.join(expected)}{example}; correct the folders, or the line, or use another bundle"
            " (--bundle)"
        )
    if len(found) < 2:
        raise DataError(
            f"{len(found)} class found ({', '.join(sorted(found))}); a classification needs two or more"
        )
    for name in found:
        if not name.isprintable() or name != name.strip():
            raise DataError(
                f"the class name {shown(name)} has blanks at its ends or unprintable characters; rename it"
            )
    _refuse_lookalikes(found)


def _refuse_lookalikes(class_names: Iterable[str]) -> None:
    """Refuse two classes of one name: file systems and csvs may hold an accent as one character or as two.

    Raises:
        DataError: There are two.
    """
    known: dict[str, str] = {}
    for name in sorted(class_names):
        other = known.setdefault(unicodedata.normalize("NFC", name), name)
        if other != name:
            raise DataError(
                f"the classes {other!a} and {name!a} are one name, {name}, in two spellings; rename one"
            )


def _sample(listed: Sequence[SourceImage], request: ImportRequest) -> list[SourceImage]:
    ranked = sorted(listed, key=lambda image: rank(request.seed, image_key(image)))
    if not request.sample_size:
        return ranked
    given = {image.split for image in listed if image.split}
    shared = len(missing_splits(given)) + bool(given)

    def room(image: SourceImage) -> int:
        cut_from = image.split is None or (image.split == "training" and given)
        return request.sample_size * (shared if cut_from else 1)

    chosen: list[SourceImage] = []
    for count in {room(image) for image in ranked}:
        same_room = [image for image in ranked if room(image) == count]
        chosen += sample(
            same_room, count, request.seed, image_key, lambda image: (image.split, image.class_name)
        )
    return sorted(chosen, key=lambda image: rank(request.seed, image_key(image)))


def _stage(
    chosen: Sequence[SourceImage],
    staging: Path,
    downloads: Downloads,
    request: ImportRequest,
    progress: Progress,
) -> list[StagedImage]:
    (staging / "images").mkdir()
    staged: list[StagedImage] = []
    faults: list[str] = []
    results = stage_images(chosen, staging / "images", downloads, request.strip_metadata)
    for done, result in enumerate(results, start=1):
        if isinstance(result, str):
            faults.append(result)
        else:
            staged.append(result)
        progress("checking images", done, len(chosen))
    if faults:
        raise DataError(
            f"{len(faults)} of {len(chosen)} images cannot be read, the first: {faults[0]};"
            " mend or remove them, nothing was imported",
            details=tuple(faults[1:]),
        )
    return staged


def _check_images(staged: Sequence[StagedImage], request: ImportRequest) -> tuple[str, ...]:
    """Refuse what cannot be used; return what is only worth knowing."""
    _check_sizes(staged, request)
    pictures = by_pixels(staged)
    conflicts = [
        f"{one.source.origin} ({one.source.class_name}) and {twin.source.origin} ({twin.source.class_name})"
        for one, *twins in pictures
        for twin in twins
        if twin.source.class_name != one.source.class_name
    ]
    if conflicts:
        raise DataError(
            f"{len(conflicts)} images lie in two classes with the same pixels, the first: {conflicts[0]};"
            " keep each in one class",
            details=tuple(conflicts[1:]),
        )
    copies = sum(len(same) - 1 for same in pictures)
    if not copies:
        return ()
    return (f"copies of other images, pixel for pixel: {copies}; --drop-copies keeps one of each",)


def _check_leaks(placed: Sequence[StagedImage], request: ImportRequest) -> tuple[str, ...]:
    """Refuse testing images that can be learned by heart, unless they are allowed; return what else leaks.

    Raises:
        DataError: A testing image lies in the training split too.
    """
    found: dict[str, list[str]] = {"training": [], "validation": []}
    for same in by_pixels(placed):
        of_split = {image.split: image.source.origin for image in reversed(same)}
        tested = [image.source.origin for image in same if image.split == "testing"]
        for split, leaks in found.items():
            if split in of_split:
                leaks += [f"{origin} is {of_split[split]}" for origin in tested]
    leaks = found["training"]
    if leaks and not request.allow_leaks:
        raise DataError(
            f"testing images that lie in the training split too: {len(leaks)}, the first: {leaks[0]}; who"
            " learns it by heart is right there, so keep the testing ones alone (--drop-copies), or take them"
            " all the same with --allow-leaks (in bundle.toml: data.allow_leaks = true)",
            details=tuple(leaks[1:]),
        )
    return tuple(
        f"testing images that lie in the {split} split too: {len(leaks)}, the first: {leaks[0]}"
        for split, leaks in found.items()
        if leaks
    )


def _check_sizes(staged: Sequence[StagedImage], request: ImportRequest) -> None:
    if request.any_size:
        return
    sizes = Counter(image.size for image in staged)
    expected = request.image_size or sizes.most_common(1)[0][0]
    wrong = [
        f"{image.source.origin}: {image.size[0]}x{image.size[1]} pixels"
        for image in staged
        if image.size != expected
    ]
    if wrong:
        why = "'data.image_size' in bundle.toml says" if request.image_size else "most images have"
        raise DataError(
            f"{len(wrong)} of {len(staged)} images are not {expected[0]}x{expected[1]}, as {why},"
            f" the first: {wrong[0]}; mend or remove them, or allow it with --any-size (in bundle.toml:"
            " data.any_size = true)",
            details=tuple(wrong[1:]),
        )


def _too_few(staged: Sequence[StagedImage], request: ImportRequest) -> list[str]:
    """Say which classes have fewer images than were asked for; each is then cut as 'data.split' says."""
    counts = Counter((image.source.split, image.source.class_name) for image in staged)
    return [
        f"class {class_name} has {count} {split or 'unsplit'} images, fewer than the sample size asks for"
        for (split, class_name), count in sorted(counts.items(), key=str)
        if request.sample_size and count < request.sample_size * (3 if split is None else 1)
    ]


def _name(placed: Sequence[StagedImage], keep: bool) -> list[StagedImage]:
    """Name the images: as they are, or by numbers in random order that tell neither class nor split."""
    # By their content alone: an order that hangs on class or split could be computed by who knows the seed.
    ordered = sorted(placed, key=lambda image: (image.sha256, image.source.origin))
    if not keep:
        return [
            replace(image, name=f"{number:06d}{os.path.splitext(image.file)[1].lower()}")
            for number, image in enumerate(ordered, start=1)
        ]
    named = sorted(
        (replace(image, name=base_name(image.source)) for image in placed), key=lambda image: image.name
    )
    odd = next((image for image in named if not image.name.isprintable()), None)
    if odd is not None:
        raise DataError(
            f"{shown(odd.name)} has a character that does not print, so the name cannot be kept; rename it,"
            " or leave out --keep-names"
        )
    clashes = [
        f"{one.source.origin} and {other.source.origin}"
        for one, other in itertools.pairwise(named)
        if one.name.casefold() == other.name.casefold()
    ]
    if clashes:
        raise DataError(
            f"{len(clashes)} base names appear twice, the first: {clashes[0]};"
            " base names must be unique in a bundle, so rename them (or leave out --keep-names)",
            details=tuple(clashes[1:]),
        )
    return named


def _write_staging(
    placed: Sequence[StagedImage],
    groups: Mapping[str, str],
    description: str,
    warned: tuple[str, ...],
    request: ImportRequest,
    layout: Layout,
) -> DataSummary:
    staging, secret = staging_dir(layout), secret_staging_dir(layout)
    # One time for all: the order in which they were written would tell more than their names do.
    now = time.time()
    counts: dict[str, int] = {}
    for split in SPLITS:
        folder = staging / split_dir_name(split)
        folder.mkdir()
        images = sorted((image for image in placed if image.split == split), key=lambda image: image.name)
        for image in images:
            target = f"{folder}/{image.name}"
            if split == "testing":
                # A new file: inode numbers tell in which order files were made, and the staged ones were made
                # in an order that who knows the seed can compute from the names at the source.
                shutil.copyfile(image.file, target)
            else:
                os.replace(image.file, target)
            os.utime(target, (now, now))
        rows = [(f"{folder.name}/{image.name}", image.source.class_name) for image in images]
        write_csv((secret if split == "testing" else staging) / solution_name(split), HEADER, rows)
        counts[split] = len(images)
    write_origins(
        secret / layout.origins_csv.name,
        (
            Origin(
                image.name,
                image.split,
                image.source.class_name,
                image.sha256,
                image.source.origin,
                groups.get(image.source.origin),
                image.pixels_sha256,
            )
            for image in sorted(placed, key=lambda image: image.name)
        ),
    )
    classes = Counter(image.source.class_name for image in placed)
    summary = DataSummary(
        description,
        tuple(sorted(classes)),
        counts,
        warned,
        request,
        classes=classes,
        groups=_count_groups(placed, groups),
    )
    record = {"source": description, "counts": counts, "class_names": summary.class_names, "warnings": warned}
    record["request"] = asdict(request)
    write_text(secret / layout.import_json.name, json.dumps(record, indent=2) + "\n", private=True)
    return summary


def _count_groups(placed: Sequence[StagedImage], groups: Mapping[str, str]) -> tuple[int, int]:
    """How many groups there are, and how many of them are in two splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    for image in placed:
        if image.source.origin in groups:
            splits[groups[image.source.origin]].add(image.split)
    return len(splits), sum(len(found) > 1 for found in splits.values())
