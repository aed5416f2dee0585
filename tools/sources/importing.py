"""From a source to input_data/: sample, check, split, name, and publish all of it or nothing."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import time
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from PIL import Image

from tools.errors import DataError, shown
from tools.files import write_csv, write_text
from tools.formats.label_table import HEADER
from tools.layout import SPLITS, Layout, solution_name, split_dir_name
from tools.pictures import MAX_PIXELS, READ_FAULTS, describe_fault, hash_pixels
from tools.sources.base import IMAGE_SUFFIXES, ImportRequest, Progress, Source, SourceImage
from tools.sources.placed import DataSummary, refuse_to_replace_foreign
from tools.sources.publishing import READY, recover_import, secret_staging_dir, staging_dir
from tools.sources.splitting import missing_splits, rank, sample, split_groups

_IMAGES_A_TASK = 32
_TASKS_AHEAD = 16


@dataclass(frozen=True, slots=True)
class StagedImage:
    """An image that was read, found sound and copied into the staging folder.

    Args:
        source: Where it came from.
        file: The copy.
        sha256: Of its bytes, in hexadecimal.
        pixels_sha256: Of its pixels; images that share it are the same picture.
        size: (width, height), pixels.
        split: Where it goes.
        name: Its name there.
    """

    source: SourceImage
    file: str
    sha256: str
    pixels_sha256: str
    size: tuple[int, int]
    split: str = ""
    name: str = ""


def import_images(source: Source, request: ImportRequest, layout: Layout, progress: Progress) -> DataSummary:
    """Fill input_data/ and the reference from a source; the old data stay whole until the new are complete.

    Raises:
        DataError: The source or an image in it is at fault; nothing was changed.
    """
    recover_import(layout)
    if not request.replace:
        refuse_to_replace_foreign(layout)
    staging, secret = staging_dir(layout), secret_staging_dir(layout)
    staging.mkdir(parents=True)
    secret.mkdir(parents=True)
    try:
        listing = source.list_images(request, progress)
        listed = listing.images
        _check_classes(listed, request.class_names)
        chosen = _sample(listed, request)
        staged = _stage(chosen, staging, progress)
        warned = (*listing.warnings, *_check_images(staged, request), *_too_few(staged, request))
        split = _split(staged, request)
        warned += _check_leaks(split, request)
        placed = _name(split, keep=request.keep_names or source.names_are_public)
        summary = _write_staging(placed, source.description, warned, request, layout)
        (staging / "images").rmdir()
        (secret / READY).touch()
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(secret, ignore_errors=True)
        raise
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
        raise DataError(
            f"the images' classes are {', '.join(sorted(found))}, but 'bundle.class_names' in bundle.toml"
            f" says {', '.join(expected)}; correct the folders, or the line, or use another bundle (--bundle)"
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


def _sample(listed: Sequence[SourceImage], request: ImportRequest) -> list[SourceImage]:
    ranked = sorted(listed, key=lambda image: rank(request.seed, _key(image)))
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
        chosen += sample(same_room, count, request.seed, _key, lambda image: (image.split, image.class_name))
    return sorted(chosen, key=lambda image: rank(request.seed, _key(image)))


def _key(image: SourceImage) -> str:
    """What an image's place in the random order depends on: not on where the source lies on this machine."""
    return f"{image.split}/{image.class_name}/{_base_name(image)}"


def _base_name(image: SourceImage) -> str:
    name = PurePosixPath(image.origin.replace(os.sep, "/"))
    return name.with_suffix(image.suffix).name if image.suffix else name.name


def _stage(chosen: Sequence[SourceImage], staging: Path, progress: Progress) -> list[StagedImage]:
    (staging / "images").mkdir()
    staged: list[StagedImage] = []
    faults: list[str] = []
    # Around the threads, not in them: the filters are the whole process's.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        tasks = _ahead(pool, chosen, staging / "images")
        for done, result in enumerate(tasks, start=1):
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


def _ahead(
    pool: ThreadPoolExecutor, images: Sequence[SourceImage], folder: Path
) -> Iterator[StagedImage | str]:
    """Stage in order with a bounded number of images in flight: memory stays flat, Ctrl-C is quick.

    A task takes many images, for one task an image costs as much as a small image does.
    """

    def work(start: int) -> list[StagedImage | str]:
        part = images[start : start + _IMAGES_A_TASK]
        return [_stage_one(start + offset, image, folder) for offset, image in enumerate(part)]

    pending: deque[Future[list[StagedImage | str]]] = deque()
    for start in range(0, len(images), _IMAGES_A_TASK):
        pending.append(pool.submit(work, start))
        if len(pending) > _TASKS_AHEAD:
            yield from pending.popleft().result()
    for task in pending:
        yield from task.result()


def _stage_one(number: int, image: SourceImage, folder: Path) -> StagedImage | str:
    suffix = image.suffix or os.path.splitext(image.origin)[1]
    if suffix.lower() not in IMAGE_SUFFIXES:
        return (
            f"{image.origin}: '{suffix}' is not an image format; expected {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    try:
        data = image.load()
        with Image.open(io.BytesIO(data)) as opened:
            size = opened.size
            if size[0] * size[1] > MAX_PIXELS:
                return f"{image.origin}: {size[0]}x{size[1]} pixels; at most {MAX_PIXELS:,} are read"
            pixels_sha256 = hash_pixels(opened)
    except DataError as fault:
        return str(fault)
    except READ_FAULTS as fault:
        return f"{image.origin}: {describe_fault(fault)}"
    file = f"{folder}/{number:08d}{suffix}"
    with open(file, "wb") as out:
        out.write(data)
    return StagedImage(image, file, hashlib.sha256(data).hexdigest(), pixels_sha256, size)


def _check_images(staged: Sequence[StagedImage], request: ImportRequest) -> tuple[str, ...]:
    """Refuse what cannot be used; return what is only worth knowing."""
    _check_sizes(staged, request)
    pictures = _by_pixels(staged)
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
    return (f"copies of other images, pixel for pixel: {copies}",) if copies else ()


def _by_pixels(images: Sequence[StagedImage]) -> list[list[StagedImage]]:
    """The images that show the same picture, together."""
    pictures: dict[str, list[StagedImage]] = defaultdict(list)
    for image in images:
        pictures[image.pixels_sha256].append(image)
    return list(pictures.values())


def _check_leaks(placed: Sequence[StagedImage], request: ImportRequest) -> tuple[str, ...]:
    """Refuse testing images that can be learned by heart, unless they are allowed; return what else leaks.

    Raises:
        DataError: A testing image lies in the training split too.
    """
    found: dict[str, list[str]] = {"training": [], "validation": []}
    for same in _by_pixels(placed):
        of_split = {image.split: image.source.origin for image in reversed(same)}
        tested = [image.source.origin for image in same if image.split == "testing"]
        for split, leaks in found.items():
            if split in of_split:
                leaks += [f"{origin} is {of_split[split]}" for origin in tested]
    leaks = found["training"]
    if leaks and not request.allow_leaks:
        raise DataError(
            f"testing images that lie in the training split too: {len(leaks)}, the first: {leaks[0]}; who"
            " learns it by heart is right there, so remove them from one of the splits, or take them all the"
            " same with --allow-leaks (in bundle.toml: data.allow_leaks = true)",
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
            f" the first: {wrong[0]}; mend or remove them, or allow it with --any-size",
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


def _split(staged: Sequence[StagedImage], request: ImportRequest) -> list[StagedImage]:
    """Give every image its split: its own where the source has one, else its share of what has none."""
    given = {image.source.split for image in staged if image.source.split}
    missing = missing_splits(given)
    if not missing:
        placed = [replace(image, split=image.source.split or "") for image in staged]
    else:
        cut_from = "training" if given else None
        targets = [split for split in SPLITS if split in missing or split == cut_from]
        placed = [replace(i, split=i.source.split or "") for i in staged if i.source.split != cut_from]
        by_class: dict[str, dict[str, list[StagedImage]]] = defaultdict(lambda: defaultdict(list))
        for image in staged:
            if image.source.split == cut_from:
                by_class[image.source.class_name][image.pixels_sha256].append(image)
        for class_name, groups in sorted(by_class.items()):
            count, wanted_count = sum(map(len, groups.values())), request.sample_size * len(targets)
            even = request.sample_size and count >= wanted_count
            wanted = {split: 1.0 if even else request.split[SPLITS.index(split)] for split in targets}
            shares = {split: share / sum(wanted.values()) for split, share in wanted.items()}
            try:
                dealt = split_groups(list(groups.values()), shares)
            except DataError as fault:
                raise DataError(f"class {class_name}: {fault}") from None
            placed += [
                replace(image, split=split)
                for split, images in dealt.items()
                for image in images[: request.sample_size or None]
            ]
    classes = {image.source.class_name for image in placed}
    for split in SPLITS:
        absent = sorted(classes - {image.source.class_name for image in placed if image.split == split})
        if absent:
            raise DataError(
                f"class {absent[0]} has no {split} image; every split needs at least one of each class"
            )
    return placed


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
        (replace(image, name=_base_name(image.source)) for image in placed), key=lambda image: image.name
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
            os.utime(image.file, (now, now))
            os.replace(image.file, f"{folder}/{image.name}")
        rows = [(f"{folder.name}/{image.name}", image.source.class_name) for image in images]
        write_csv((secret if split == "testing" else staging) / solution_name(split), HEADER, rows)
        counts[split] = len(images)
    origins = [
        (image.name, image.split, image.source.class_name, image.sha256, image.source.origin)
        for image in sorted(placed, key=lambda image: image.name)
    ]
    write_csv(secret / layout.origins_csv.name, ("file", "split", "class", "sha256", "origin"), origins)
    summary = DataSummary(
        description, tuple(sorted({image.source.class_name for image in placed})), counts, warned, request
    )
    record = {"source": description, "counts": counts, "class_names": summary.class_names, "warnings": warned}
    record["request"] = asdict(request)
    write_text(secret / layout.import_json.name, json.dumps(record, indent=2) + "\n")
    return summary
