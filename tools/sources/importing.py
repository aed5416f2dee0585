"""From a source to input_data/: sample, check, split, name, and publish all of it or nothing."""

import contextlib
import csv
import errno
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
from typing import Any

from PIL import Image

from tools.errors import DataError, shown
from tools.files import replacing, write_csv, write_text
from tools.formats.label_table import HEADER, LabelTable, read_label_table
from tools.layout import SPLITS, Layout, solution_name, split_dir_name
from tools.sources.base import IMAGE_SUFFIXES, ImportRequest, Progress, Source, SourceImage
from tools.sources.splitting import missing_splits, rank, sample, split_groups

MAX_PIXELS = 50_000_000
"""An image with more is refused: as raw pixels it would not fit beside a network."""

_READY = "READY"
_IMAGES_A_TASK = 32
_TASKS_AHEAD = 16


@dataclass(frozen=True, slots=True)
class StagedImage:
    """An image that was read, found sound and copied into the staging folder.

    Args:
        source: Where it came from.
        file: The copy.
        sha256: Of its bytes, in hexadecimal.
        size: (width, height), pixels.
        split: Where it goes.
        name: Its name there.
    """

    source: SourceImage
    file: str
    sha256: str
    size: tuple[int, int]
    split: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What input_data/ holds.

    Args:
        source: What was imported.
        class_names: In alphabetical order.
        counts: Images of each split.
        warnings: What a person should know of; nothing that stops the work.
        request: What was asked of the import; None if no import is known.
        has_reference: Whether the classes of the testing images are here, as they are at the organiser's.
    """

    source: str
    class_names: tuple[str, ...]
    counts: dict[str, int]
    warnings: tuple[str, ...] = ()
    request: ImportRequest | None = None
    has_reference: bool = True


def import_images(source: Source, request: ImportRequest, layout: Layout, progress: Progress) -> DataSummary:
    """Fill input_data/ and the reference from a source; the old data stay whole until the new are complete.

    Raises:
        DataError: The source or an image in it is at fault; nothing was changed.
    """
    recover_import(layout)
    if not request.replace:
        _refuse_to_replace_foreign(layout)
    staging, secret = _staging(layout), _secret_staging(layout)
    staging.mkdir(parents=True)
    secret.mkdir(parents=True)
    try:
        listing = source.list_images(request, progress)
        listed = listing.images
        _check_classes(listed, request.class_names)
        chosen = _sample(listed, request)
        staged = _stage(chosen, staging, progress)
        warned = (*listing.warnings, *_check_images(staged, request), *_too_few(staged, request))
        placed = _name(_split(staged, request), keep=request.keep_names or source.names_are_public)
        summary = _write_staging(placed, source.description, warned, request, layout)
        (staging / "images").rmdir()
        (secret / _READY).touch()
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(secret, ignore_errors=True)
        raise
    recover_import(layout)
    _open_outputs(layout)
    return summary


def recover_import(layout: Layout) -> None:
    """Finish an import that was interrupted while it was published; drop one that was interrupted before."""
    staging, secret = _staging(layout), _secret_staging(layout)
    if (secret / _READY).exists():
        for incoming, target in _moves(layout):
            if not incoming.exists():
                continue
            if target.is_dir():
                outgoing = staging / "outgoing" / target.name
                shutil.rmtree(outgoing, ignore_errors=True)
                outgoing.parent.mkdir(exist_ok=True)
                target.replace(outgoing)
            _move(incoming, target)
        # Removed first: a removal that is interrupted must not be taken for an import to publish.
        (secret / _READY).unlink()
    for folder in (staging, secret):
        if folder.is_dir():
            shutil.rmtree(folder)


def read_summary(layout: Layout) -> DataSummary | None:
    """Say what is in input_data/; None if it holds no data.

    Raises:
        DataError: input_data/ holds a part of the data only, or the reference is of other images.
    """
    recover_import(layout)
    there = [path for split in SPLITS for path in (layout.solution_csv(split), layout.split_dir(split))]
    # Participants do not have it.
    there.remove(layout.solution_csv("testing"))
    if not any(path.exists() for path in there):
        return None
    lacking = next((path for path in there if not path.exists()), None)
    if lacking is not None:
        raise DataError(
            "not found, though other data are there; put it there, or clear input_data/ and import again",
            lacking,
        )
    has_reference = layout.solution_csv("testing").exists()
    if has_reference:
        _check_reference(read_label_table(layout.solution_csv("testing")), layout)
    tables = {split: read_label_table(layout.solution_csv(split)) for split in ("training", "validation")}
    check_together(layout)
    record = _record(layout)
    return DataSummary(
        source=record[0] if record else "put there by hand",
        class_names=tuple(sorted(set(tables["training"].class_of.values()))),
        counts={split: len(table.class_of) for split, table in tables.items()}
        | {"testing": len(_names_in(layout.testing_data))},
        request=record[1] if record else None,
        has_reference=has_reference,
    )


def check_together(layout: Layout) -> None:
    """Refuse what is in input_data/ if it is of two data sets; what is not there is no fault.

    Raises:
        DataError: Files and rows do not fit each other, or something is there that should not be.
    """
    for split in ("training", "validation"):
        if layout.solution_csv(split).exists() and layout.split_dir(split).is_dir():
            _check_rows(read_label_table(layout.solution_csv(split)), layout.split_dir(split))
    if layout.input_data.is_dir():
        _check_leftovers(layout)


def _check_rows(table: LabelTable, folder: Path) -> None:
    """Refuse images without a row and rows without an image, such as those of two data sets in one folder.

    Raises:
        DataError: There are some.
    """
    unnamed, lost = _names_in(folder) - table.class_of.keys(), table.class_of.keys() - _names_in(folder)
    if unnamed or lost:
        what = "files without a row" if unnamed else "rows without a file"
        names = unnamed or lost
        raise DataError(
            f"{what} in the csv: {len(names)}, the first {shown(min(names))}; put one data set there alone",
            folder,
        )


def _check_leftovers(layout: Layout) -> None:
    """Refuse what an earlier import, or a folder in the wrong place, left among other images.

    Raises:
        DataError: There is some.
    """
    expected = {split_dir_name(split) for split in SPLITS}
    odd = [path for path in layout.input_data.iterdir() if path.is_dir() and path.name[0] != "."]
    odd = sorted(path for path in odd if path.name not in expected)
    if odd:
        raise DataError("is no part of the bundle layout; move it away, or what is in it up", odd[0])
    imported = {name for split, name in _imported_names(layout) if split == "testing"}
    there = _names_in(layout.testing_data)
    if imported & there and imported != there:
        raise DataError(
            f"mixes {len(imported & there)} images of an earlier import with others; clear it, and put one"
            " data set there alone",
            layout.testing_data,
        )


def _open_outputs(layout: Layout) -> None:
    """Let the images' user, who is nobody here, write where the README's docker commands have it write."""
    for folder in (layout.model_output, layout.results_dir, layout.scoring_output):
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(PermissionError):
            folder.chmod(0o777)


def _record(layout: Layout) -> tuple[str, ImportRequest] | None:
    """The source and the request of the last import, if the images that are there are its."""
    try:
        record = json.loads(layout.import_json.read_text(encoding="utf-8"))
        asked: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in record["request"].items()
        }
        return (str(record["source"]), ImportRequest(**asked)) if _is_imported(layout) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Lost or spoiled: it only says where the images came from.
        return None


def _is_imported(layout: Layout) -> bool:
    """Tell whether the images that are there are those of the last import, by their names."""
    placed = _imported_names(layout)
    return placed == {(split, name) for split in SPLITS for name in _names_in(layout.split_dir(split))}


def _imported_names(layout: Layout) -> set[tuple[str, str]]:
    """(split, name) of each image of the last import; empty if none is known."""
    try:
        with layout.origins_csv.open(encoding="utf-8", newline="") as opened:
            return {(row["split"], row["file"]) for row in csv.DictReader(opened)}
    except (OSError, KeyError, ValueError, csv.Error):
        return set()


def _names_in(folder: Path) -> set[str]:
    if not folder.is_dir():
        return set()
    return {entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")}


def _refuse_to_replace_foreign(layout: Layout) -> None:
    """Protect what an organiser handed out: it cannot be made again here.

    Raises:
        DataError: input_data/ holds images that are not an import's.
    """
    if any(_names_in(layout.split_dir(split)) for split in SPLITS) and not _is_imported(layout):
        raise DataError(
            "holds images that no import put there; move them away, or let them be replaced with --replace",
            layout.input_data,
        )


def _check_reference(table: LabelTable, layout: Layout) -> None:
    """Refuse a reference of other data, such as one that an earlier import left.

    Raises:
        DataError: It names other images than those of the testing split.
    """
    images = _names_in(layout.testing_data)
    other = sorted(images ^ table.class_of.keys())
    if other:
        raise DataError(
            f"is not of the images in {layout.testing_data.name}/ ('{other[0]}' is in one of the two alone);"
            " remove it if the organiser has the reference, or import the data again",
            layout.solution_csv("testing"),
        )


def _staging(layout: Layout) -> Path:
    """Beside what it replaces, so that images are moved by renames; holds nothing that is secret."""
    return layout.input_data / ".incoming"


def _secret_staging(layout: Layout) -> Path:
    """For the classes of the testing images: input_data/ is handed out and mounted."""
    return layout.state / "incoming"


def _moves(layout: Layout) -> list[tuple[Path, Path]]:
    """Where each staged file or folder goes; the record last, as the sign that all is in place."""
    staging, secret = _staging(layout), _secret_staging(layout)
    targets = [layout.split_dir(split) for split in SPLITS]
    targets += [layout.solution_csv("training"), layout.solution_csv("validation")]
    hidden = [layout.solution_csv("testing"), layout.origins_csv, layout.import_json]
    return [(staging / path.name, path) for path in targets] + [(secret / path.name, path) for path in hidden]


def _move(source: Path, target: Path) -> None:
    """Rename, or, where the folders lie on different file systems, copy and then rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as fault:
        if fault.errno != errno.EXDEV:
            raise
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
        source.unlink()


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
    return PurePosixPath(image.origin.replace(os.sep, "/")).name


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
    suffix = os.path.splitext(image.origin)[1]
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
            opened.load()
    except (
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as fault:
        return f"{image.origin}: {_first_line(fault)}"
    file = f"{folder}/{number:08d}{suffix}"
    with open(file, "wb") as out:
        out.write(data)
    return StagedImage(image, file, hashlib.sha256(data).hexdigest(), size)


def _first_line(fault: Exception) -> str:
    text = str(fault).strip() or type(fault).__name__
    return "not an image" if "cannot identify image file" in text else text.splitlines()[0]


def _check_images(staged: Sequence[StagedImage], request: ImportRequest) -> tuple[str, ...]:
    """Refuse what cannot be used; return what is only worth knowing."""
    _check_sizes(staged, request)
    by_content: dict[str, list[StagedImage]] = defaultdict(list)
    for image in staged:
        by_content[image.sha256].append(image)
    conflicts = [
        f"{one.source.origin} ({one.source.class_name}) and {twin.source.origin} ({twin.source.class_name})"
        for one, *twins in by_content.values()
        for twin in twins
        if twin.source.class_name != one.source.class_name
    ]
    if conflicts:
        raise DataError(
            f"{len(conflicts)} images lie in two classes with the same bytes, the first: {conflicts[0]};"
            " keep each in one class",
            details=tuple(conflicts[1:]),
        )
    warned: list[str] = []
    twins_count = sum(len(twins) - 1 for twins in by_content.values())
    if twins_count:
        warned.append(f"byte-identical copies of other images: {twins_count}")
    leaks = [
        [twin for twin in twins if twin.source.split == "testing"]
        for twins in by_content.values()
        if len({twin.source.split for twin in twins}) > 1
        and any(twin.source.split == "testing" for twin in twins)
    ]
    if leaks:
        warned.append(
            f"testing images that lie in another split too: {sum(map(len, leaks))},"
            f" the first {leaks[0][0].source.origin}"
        )
    return tuple(warned)


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
                by_class[image.source.class_name][image.sha256].append(image)
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
    staging, secret = _staging(layout), _secret_staging(layout)
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
