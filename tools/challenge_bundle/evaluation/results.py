"""What a submission's csv says, read in a process of its own: whether it is sound, what another says."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.errors import SubmissionError
from challenge_bundle.evaluation.verdicts import MESSAGES, Refusal
from challenge_bundle.formats.label_table import cut_rows, most_rows, read_label_table, read_probabilities
from challenge_bundle.guarded import Exceeded, Limits, run_guarded

_IMAGES_A_SECOND = 20_000
_IMAGES_A_MB = 500
_CELLS_MB = 40
"""Memory that the probabilities in each MB of a csv take once they are read, MB."""


def check_results(path: Path, image_names: Collection[str], class_names: Sequence[str]) -> None:
    """Check a participant's csv; a fault is told by its kind and line, never by a name in it.

    Args:
        path: The csv.
        image_names: That it must have a row for.
        class_names: The challenge's.

    Raises:
        Refusal: A row is at fault.
    """
    arguments = {"path": str(path.absolute()), "image_names": sorted(image_names)}
    arguments["class_names"] = list(class_names)
    try:
        found = run_guarded(
            "challenge_bundle.evaluation.results:find_fault", arguments, _limits(path, len(image_names))
        )
    except Exceeded:
        raise Refusal("csv-unsound", line=1) from None
    for code, number, value in found:
        if str(code).startswith("csv-") and code in MESSAGES:
            numbers: dict[str, Any] = {str(number): int(value)}
            raise Refusal(code, **numbers)


def cut_results(path: Path, names: Collection[str], target: Path) -> None:
    """Copy the rows of a part from a results csv that was found sound, as they are written.

    Args:
        path: The whole csv.
        names: Base names of the part's images.
        target: The csv of the part.

    Raises:
        SubmissionError: The csv is not sound.
    """
    arguments = {"path": str(path.absolute()), "names": sorted(names), "target": str(target.absolute())}
    run_guarded("challenge_bundle.evaluation.results:write_rows", arguments, _limits(path, len(names)))


def compare(before: Path, after: Path, image_of: Mapping[str, str]) -> tuple[int, float]:
    """Compare two results on the same pixels.

    Args:
        before: The csv on the plain folder.
        after: The csv on the other.
        image_of: The image under each name of the other.

    Returns:
        (images of another class, largest difference of a probability; 0 where there are none in both)

    Raises:
        SubmissionError: A csv is not sound, or lacks an image.
    """
    arguments = {"before": str(before.absolute()), "after": str(after.absolute()), "image_of": dict(image_of)}
    limits = _limits(before, len(image_of), 2 * _CELLS_MB)
    ((changed, largest),) = run_guarded(
        "challenge_bundle.evaluation.results:find_differences", arguments, limits
    )
    return int(changed), float(largest)


def find_fault(path: str, image_names: list[str], class_names: list[str]) -> Iterator[list[Any]]:
    """Yield the first fault of a csv as (code, name of its number, number); see check_results."""
    wanted, classes = frozenset(image_names), frozenset(class_names)
    try:
        table = read_label_table(Path(path), SubmissionError, most_rows(len(wanted)))
    except SubmissionError as fault:
        yield ["csv-unsound", "line", fault.row or 1]
        return
    for name, row in table.row_of.items():
        if name not in wanted:
            yield ["csv-unknown-image", "line", row]
            return
        if table.class_of[name] not in classes:
            yield ["csv-unknown-class", "line", row]
            return
    if len(table.row_of) < len(wanted):
        yield ["csv-missing", "missing", len(wanted) - len(table.row_of)]


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
        raise SubmissionError("a row is missing", Path(after).name)
    changed = sum(new.class_of[name] != old.class_of[image] for name, image in image_of.items())
    if set(old.probability_classes) != set(new.probability_classes):
        # Columns that are there in one of the two alone are a difference, not a way out of the comparison.
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
    """Of two probabilities; what is not a number in both is the same, in one alone as different as can be."""
    if math.isfinite(old) and math.isfinite(new):
        return abs(new - old)
    return float(math.isfinite(old) != math.isfinite(new))


def _limits(path: Path, images: int, memory_mb_a_mb: int = 0) -> Limits:
    """Limits that a sound csv of so many images and bytes stays far below."""
    size_mb = path.stat().st_size // 2**20 + 1
    return Limits(
        cpu_s=10 + images // _IMAGES_A_SECOND + size_mb,
        wall_s=60.0 + images / _IMAGES_A_SECOND + 6.0 * size_mb,
        memory_mb=512 + images // _IMAGES_A_MB + memory_mb_a_mb * size_mb,
        file_mb=size_mb + 1,
    )
