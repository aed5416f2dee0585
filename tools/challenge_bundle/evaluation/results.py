"""Reading a submission's csv in a process of its own: checking it, cutting it, comparing two of them."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.errors import SubmissionError
from challenge_bundle.evaluation.verdicts import LINE, MESSAGES, Refusal
from challenge_bundle.formats.label_table import cut_rows, most_rows, read_label_table, read_probabilities
from challenge_bundle.guarded import Exceeded, ReadLimits, run_guarded

_IMAGES_A_SECOND = 20_000
_IMAGES_A_MB = 500
_CELLS_MB = 40
"""Memory that the probabilities of each MB of csv take once they are read, MB."""


def check_results(path: Path, image_names: Collection[str], class_names: Sequence[str]) -> None:
    """Check a participant's csv; a fault is reported by its code and line, never by a name in the csv.

    Args:
        path: The csv.
        image_names: The images that need a row.
        class_names: The challenge's classes.

    Raises:
        Refusal: A row is invalid.
    """
    arguments = {"path": str(path.absolute()), "image_names": sorted(image_names)}
    arguments["class_names"] = list(class_names)
    try:
        found = run_guarded(
            "challenge_bundle.evaluation.results:find_fault", arguments, _limits(path, len(image_names))
        )
    except Exceeded:
        raise Refusal("csv-unsound", line=1) from None
    for code, number in found:
        # From a process that the csv may have taken over: only a verdict on a csv is accepted from it.
        if str(code).startswith("csv-") and code in MESSAGES:
            raise Refusal(code, (), **{"missing" if code == "csv-missing" else LINE: int(number)})


def cut_results(path: Path, names: Collection[str], target: Path) -> None:
    """Copy the rows of some images from a valid results csv, byte by byte.

    Args:
        path: The whole csv.
        names: Base names of the images.
        target: The csv to write.

    Raises:
        SubmissionError: The csv is not valid.
    """
    arguments = {"path": str(path.absolute()), "names": sorted(names), "target": str(target.absolute())}
    run_guarded("challenge_bundle.evaluation.results:write_rows", arguments, _limits(path, len(names)))


def compare(before: Path, after: Path, image_of: Mapping[str, str]) -> tuple[int, float]:
    """Compare two results csv on the same pixels.

    Args:
        before: The csv of the unchanged folder.
        after: The csv of the changed folder.
        image_of: The original name of each image of the changed folder.

    Returns:
        (number of images whose class differs, largest difference of a probability; 0 if neither has any)

    Raises:
        SubmissionError: A csv is not valid, or lacks an image.
    """
    arguments = {"before": str(before.absolute()), "after": str(after.absolute()), "image_of": dict(image_of)}
    limits = _limits(before, len(image_of), 2 * _CELLS_MB)
    ((changed, largest),) = run_guarded(
        "challenge_bundle.evaluation.results:find_differences", arguments, limits
    )
    return int(changed), float(largest)


def find_fault(path: str, image_names: list[str], class_names: list[str]) -> Iterator[list[Any]]:
    """Yield the first fault of a csv: (code, its line or the number of missing images)."""
    wanted, classes = frozenset(image_names), frozenset(class_names)
    try:
        table = read_label_table(Path(path), SubmissionError, most_rows(len(wanted)))
    except SubmissionError as fault:
        yield ["csv-unsound", fault.row or 1]
        return
    for name, row in table.row_of.items():
        if name not in wanted:
            yield ["csv-unknown-image", row]
            return
        if table.class_of[name] not in classes:
            yield ["csv-unknown-class", row]
            return
    if len(table.row_of) < len(wanted):
        yield ["csv-missing", len(wanted) - len(table.row_of)]


def write_rows(path: str, names: list[str], target: str) -> Iterator[None]:
    """Write the rows of some images; see cut_results."""
    with Path(target).open("w", encoding="utf-8", newline="") as out:
        out.writelines(cut_rows(Path(path), frozenset(names)))
    yield None


def find_differences(before: str, after: str, image_of: dict[str, str]) -> Iterator[list[float]]:
    """Yield what compare returns."""
    old, new = (read_label_table(Path(path), SubmissionError) for path in (before, after))
    absent = next(
        (name for name, image in image_of.items() if not (name in new.class_of and image in old.class_of)),
        None,
    )
    if absent is not None:
        raise SubmissionError(
            "a row is missing", Path(after).name, code="csv-missing-row", hint="write one row per image"
        )
    changed = sum(new.class_of[name] != old.class_of[image] for name, image in image_of.items())
    if set(old.probability_classes) != set(new.probability_classes):
        # A column that only one of them has is a difference: otherwise leaving it out would hide one.
        yield [changed, 1.0]
        return
    was, now = read_probabilities(Path(before)), read_probabilities(Path(after))
    columns = [old.probability_classes.index(name) for name in new.probability_classes]
    differences = (
        _difference(was[image][column], value)
        for name, image in image_of.items()
        for value, column in zip(now[name], columns, strict=True)
    )
    yield [changed, max(differences, default=0.0)]


def _difference(old: float, new: float) -> float:
    """Of two probabilities: 0 if neither is a finite number, 1 if only one is."""
    if math.isfinite(old) and math.isfinite(new):
        return abs(new - old)
    return float(math.isfinite(old) != math.isfinite(new))


def _limits(path: Path, images: int, memory_mb_a_mb: int = 0) -> ReadLimits:
    """Limits that a valid csv of so many images and bytes stays far below."""
    size_mb = path.stat().st_size // 2**20 + 1
    return ReadLimits(
        cpu_s=10 + images // _IMAGES_A_SECOND + size_mb,
        wall_s=60.0 + images / _IMAGES_A_SECOND + 6.0 * size_mb,
        memory_mb=512 + images // _IMAGES_A_MB + memory_mb_a_mb * size_mb,
        file_mb=size_mb + 1,
    )
