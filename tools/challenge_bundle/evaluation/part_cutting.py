"""The predictions for a part of the cases, for scoring programs that cannot score parts by themselves.

The rule is the same for every csv: a row belongs to the case that its first cell names, and a row that names
no case of the test set belongs to every part, so that the scoring program is the one that refuses it.
Nothing else of a row is looked at, and a row is handed on as it is written.
"""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from challenge_bundle.errors import SubmissionError
from challenge_bundle.evaluation.verdicts import Refusal
from challenge_bundle.formats.csv_lines import base_name
from challenge_bundle.guarded import Exceeded, ReadLimits, run_guarded

MAX_LINE_BYTES = 1 << 20
_LINES_A_SECOND = 20_000


def cut_predictions(path: Path, others: Collection[str], target: Path) -> None:
    """Copy a csv without the rows of the cases of other parts, in a process of its own.

    Args:
        path: The whole csv.
        others: Base names of the cases whose rows are left out.
        target: The csv to write.

    Raises:
        Refusal: A row cannot be read.
    """
    size_mb = path.stat().st_size // 2**20 + 1
    limits = ReadLimits(
        cpu_s=10 + 2 * size_mb + len(others) // _LINES_A_SECOND,
        wall_s=60.0 + 12.0 * size_mb + len(others) / _LINES_A_SECOND,
        memory_mb=512 + len(others) // 500,
        file_mb=size_mb + 1,
    )
    arguments = {"path": str(path.absolute()), "others": sorted(others), "target": str(target.absolute())}
    try:
        run_guarded("challenge_bundle.evaluation.part_cutting:write_rows", arguments, limits)
    except Exceeded:
        raise Refusal("predictions") from None
    except SubmissionError as fault:
        raise (Refusal("predictions", line=fault.row) if fault.row else Refusal("predictions")) from None


def write_rows(path: str, others: list[str], target: str) -> Iterator[None]:
    """Write the rows that are not of other parts; see cut_predictions."""
    left_out = frozenset(others)
    with Path(path).open("rb") as opened, Path(target).open("wb") as out:
        number = 0
        while line := opened.readline(MAX_LINE_BYTES + 1):
            number += 1
            if number == 1 or not line.strip() or _case_of(line, number) not in left_out:
                out.write(line)
    yield None


def _case_of(line: bytes, number: int) -> str:
    """The case that a row's first cell names.

    Raises:
        SubmissionError: The line is too long, not UTF-8, or not one whole row.
    """
    try:
        if len(line) > MAX_LINE_BYTES:
            raise ValueError("the line is too long")
        text = line.decode("utf-8").removesuffix("\n").removesuffix("\r")
        (row,) = csv.reader([text], strict=True)
        return base_name(row[0])
    except (ValueError, IndexError, csv.Error) as fault:
        raise SubmissionError(
            f"not a row ({fault})", None, number, code="predictions", hint="write one row on each line"
        ) from None
