"""cases.csv, what the scoring program says of each case, for the organiser alone; read within limits."""

import csv
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from challenge_bundle.errors import DataError, shown

MAX_BYTES = 2**31
MAX_CASES = 5 * 10**6
MAX_COLUMNS = 1000
CASE, GROUP, ANSWER, WRONG = "case", "group", "answer", "wrong"
META = "meta_"
_HINT = "let the scoring program write it again: run `evaluate --rescore`"


@dataclass(frozen=True, slots=True, eq=False)
class CaseTable:
    """What a scoring program says of each case of one submission.

    Args:
        names: Of the cases (N,), sorted, each once.
        groups: Which cases belong together, such as a patient's (N,), int64, of 0..G-1 in the order of the
            groups' names; each case by itself where the file names no groups.
        has_groups: Whether the file names groups.
        answers: (N,), int64: equal numbers are equal answers; the numbers hold within one process alone. None
            if the file has no answers.
        wrong: Whether the answer is wrong (N,), bool; None if that is not defined for every case.
        values: By metric, its value of each case (N,), float64, nan where it is undefined.
        attributes: By attribute, such as `site`, its value of each case, N texts.
    """

    names: tuple[str, ...]
    groups: np.ndarray
    has_groups: bool
    answers: np.ndarray | None = None
    wrong: np.ndarray | None = None
    values: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def group_count(self) -> int:
        """G."""
        return int(self.groups.max()) + 1 if len(self.groups) else 0


def read_case_table(path: Path, metrics: Collection[str] | None = None) -> CaseTable | None:
    """Read a cases.csv.

    Args:
        path: The file; it may not be there.
        metrics: Those whose values are read; None reads all.

    Returns:
        The table; None if there is no such file.

    Raises:
        DataError: Not a csv in UTF-8 with a column `case`, a case twice, a cell that is not a finite number,
            or more than any valid file has.
    """
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError(f"larger than {MAX_BYTES:,} bytes")
            rows = csv.reader(opened, strict=True)
            header = next(rows, [])
            _check_header(header)
            cells = _read_rows(rows, len(header))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, csv.Error) as fault:
        raise _invalid(str(fault), path) from None
    return _parse_table(header, cells, path, metrics)


def _check_header(header: Sequence[str]) -> None:
    if CASE not in header:
        raise ValueError(
            f"expected a column '{CASE}' but got {', '.join(map(shown, header[:8])) or 'nothing'}"
        )
    if len(header) > MAX_COLUMNS or len(set(header)) < len(header):
        raise ValueError(f"expected at most {MAX_COLUMNS} columns, each of another name")


def _read_rows(rows: "csv._reader", width: int) -> list[list[str]]:  # type: ignore[name-defined]
    found = []
    for row in rows:
        if len(row) != width:
            raise ValueError(f"line {rows.line_num}: expected {width} cells but got {len(row)}")
        found.append(row)
        if len(found) > MAX_CASES:
            raise ValueError(f"more than {MAX_CASES:,} cases")
    return found


def _parse_table(
    header: Sequence[str], cells: list[list[str]], path: Path, metrics: Collection[str] | None
) -> CaseTable:
    first = header.index(CASE)
    cells.sort(key=lambda row: row[first])
    columns = dict(zip(header, zip(*cells, strict=True), strict=True)) if cells else dict.fromkeys(header, ())
    names = columns[CASE]
    twice = next((one for one, other in pairwise(names) if one == other), None)
    if not names or twice is not None:
        raise _invalid("no case" if twice is None else f"the case {shown(twice)} appears twice", path)
    wanted = [
        name
        for name in header
        if name not in (CASE, GROUP, ANSWER, WRONG)
        and not name.startswith(META)
        and (metrics is None or name in metrics)
    ]
    has_groups = any(columns.get(GROUP, ()))
    answers = columns.get(ANSWER)
    return CaseTable(
        names=names,
        groups=_number_groups(columns[GROUP] if has_groups else names),
        has_groups=has_groups,
        # The numbers differ from process to process, so nobody can choose answers that collide.
        answers=np.fromiter(map(hash, answers), np.int64, len(names)) if answers else None,
        wrong=_parse_wrong(columns.get(WRONG, ()), path),
        values={name: _parse_values(name, columns[name], path) for name in wanted},
        attributes={n.removeprefix(META): columns[n] for n in header if n.startswith(META)},
    )


def _number_groups(names: Sequence[str]) -> np.ndarray:
    """Numbers of groups in the order of their names (N,); a case without a group is one by itself."""
    # A name cannot begin with NUL in a csv that was read strictly, so these meet no other group.
    own = [name or f"\0{row:09}" for row, name in enumerate(names)]
    number_of = {name: number for number, name in enumerate(sorted(set(own)))}
    return np.array([number_of[name] for name in own], dtype=np.int64)


def _parse_wrong(cells: Sequence[str], path: Path) -> np.ndarray | None:
    found = set(cells)
    if not found <= {"0", "1", ""}:
        raise _invalid(
            f"'{WRONG}': expected 0, 1 or nothing but got {shown(min(found - {'0', '1', ''}))}", path
        )
    if not found or "" in found:
        return None
    return np.array([cell == "1" for cell in cells])


def _parse_values(name: str, cells: Sequence[str], path: Path) -> np.ndarray:
    try:
        values = np.array([float(cell) if cell else math.nan for cell in cells])
    except ValueError as fault:
        raise _invalid(f"{shown(name)}: {fault}", path) from None
    stated = np.array([bool(cell) for cell in cells])
    if not np.isfinite(values[stated]).all():
        raise _invalid(f"{shown(name)}: a value is not a finite number", path)
    return values


def _invalid(message: str, path: Path) -> DataError:
    return DataError(
        f"not what a scoring program says of its cases: {message:.200}",
        path,
        code="cases-invalid",
        hint=_HINT,
    )
