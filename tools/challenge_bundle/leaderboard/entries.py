"""What scoring left of each submission on a board: scores, resamples and cases, made comparable."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from challenge_bundle.evaluation.scoring import CASES_NAME, RESAMPLES_NAME
from challenge_bundle.formats.case_scores import CaseTable, read_case_table
from challenge_bundle.formats.resamples import Resamples, read_resamples
from challenge_bundle.leaderboard.case_means import resample_means
from challenge_bundle.leaderboard.metric_info import stated_interval

NO_RESAMPLES = "the scoring program wrote no resamples of this metric"
OTHER_DRAWS = "its resamples are of other draws than those of the other entries"


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What scoring left of one submission.

    Args:
        content: Of its scores.json.
        folder: With cases.csv and resamples.npz, as far as the scoring program wrote them.
    """

    content: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """The cases of those entries that have a cases.csv of the same cases.

    Args:
        names: (N,), sorted.
        groups: (N,), int64, of 0..G-1.
        has_groups: Whether the cases share groups.
        rows: Index of the entry in each row (S').
        answers: (S', N), int64, equal numbers are equal answers; None if an entry has none.
        wrong: (S', N), bool; None if that is not known of all.
        values: By metric that all of them have: (S', N), float32, nan where undefined.
        attributes: By attribute, the value of each case.
    """

    names: tuple[str, ...]
    groups: np.ndarray
    has_groups: bool
    rows: tuple[int, ...]
    answers: np.ndarray | None
    wrong: np.ndarray | None
    values: Mapping[str, np.ndarray] = field(default_factory=dict)
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def group_count(self) -> int | None:
        """G; None where each case is by itself."""
        return int(self.groups.max()) + 1 if self.has_groups else None


@dataclass(frozen=True, slots=True, eq=False)
class MetricScores:
    """One metric's scores of all entries, ready for a ranking.

    Args:
        scores: (S,).
        resamples: (S, R), of the same draws; a row of nan for an entry without them.
        influences: (S, G), nan likewise; None if no entry has them.
        intervals: (S, 2), those that the scoring program stated; nan where it states none.
        unpaired: (S,), why an entry has no resamples; empty texts for the others.
    """

    scores: np.ndarray
    resamples: np.ndarray
    influences: np.ndarray | None
    intervals: np.ndarray
    unpaired: tuple[str, ...]


def read_cases(entries: Sequence[Stored]) -> Cases | None:
    """Read the cases of all entries; None if no entry has any.

    Entries whose cases are not those of most entries are left out.

    Raises:
        DataError: A cases.csv is invalid.
    """
    tables: dict[int, CaseTable] = {}
    for row, entry in enumerate(entries):
        table = read_case_table(entry.folder / CASES_NAME)
        if table is not None:
            tables[row] = _compact(table, next(iter(tables.values()), table))
    if not tables:
        return None
    kept = _of_the_same_cases(tables)
    first = tables[kept[0]]
    metrics = [name for name in first.values if all(name in tables[row].values for row in kept)]
    has_answers = all(tables[row].answers is not None for row in kept)
    has_wrong = all(tables[row].wrong is not None for row in kept)
    return Cases(
        names=first.names,
        groups=first.groups,
        has_groups=first.has_groups,
        rows=tuple(kept),
        answers=np.stack([_given(tables[row].answers) for row in kept]) if has_answers else None,
        wrong=np.stack([_given(tables[row].wrong) for row in kept]) if has_wrong else None,
        values={name: np.stack([tables[row].values[name] for row in kept]) for name in metrics},
        attributes=first.attributes,
    )


def read_metric(
    entries: Sequence[Stored], metric: str, resamples: int, scores: np.ndarray | None = None
) -> MetricScores:
    """Read one metric of all entries.

    Args:
        entries: S.
        metric: Its name, a number in every scores.json.
        resamples: R, for those who have values of cases alone.
        scores: (S,), the scores if they are known already.

    Raises:
        DataError: A resamples.npz or cases.csv is invalid.
    """
    if scores is None:
        scores = np.array([float(entry.content[metric]) for entry in entries])
    found: list[Resamples | None] = [read_resamples(one.folder / RESAMPLES_NAME, metric) for one in entries]
    lacking = [row for row, one in enumerate(found) if one is None]
    for row, made in _from_cases(
        [entries[row] for row in lacking], metric, scores[lacking], resamples
    ).items():
        found[lacking[row]] = made
    shapes = [None if one is None else (one.draws, len(one.scores)) for one in found]
    known = [shape for shape in shapes if shape is not None]
    usual = max(known, key=known.count) if known else None
    unpaired = tuple(
        NO_RESAMPLES if shape is None else OTHER_DRAWS if shape != usual else "" for shape in shapes
    )
    paired = [one if one is not None and not why else None for one, why in zip(found, unpaired, strict=True)]
    count = usual[1] if usual else 0
    none = np.full(count, np.nan)
    return MetricScores(
        scores=scores,
        resamples=np.array([none if one is None else one.scores for one in paired]).reshape(
            len(entries), count
        ),
        influences=_stack_influences(_with_influences(entries, metric, scores, paired)),
        intervals=np.array([stated_interval(one.content, metric) for one in entries]).reshape(-1, 2),
        unpaired=unpaired,
    )


def _with_influences(
    entries: Sequence[Stored], metric: str, scores: np.ndarray, paired: Sequence[Resamples | None]
) -> Sequence[Resamples | None]:
    """The entries with influences from their cases, if one lacks them and the score is a mean over cases.

    Those of all entries come from the cases then: their groups must be in the same order.
    """
    rows = [row for row, one in enumerate(paired) if one is not None]
    if not any(one is not None and one.influence is None for one in paired):
        return paired
    made = _from_cases([entries[row] for row in rows], metric, scores[rows], 1)
    if len(made) < len(rows):
        return paired
    found = list(paired)
    for place, row in enumerate(rows):
        found[row] = made[place]
    return found


def _stack_influences(paired: Sequence[Resamples | None]) -> np.ndarray | None:
    """(S, G), nan where there is none; None unless all paired entries have them, of the same groups."""
    known = [one.influence for one in paired if one is not None]
    lengths = {None if one is None else len(one) for one in known}
    if len(lengths) != 1 or None in lengths:
        return None
    none = np.full(len(_given(known[0])), np.nan)
    return np.array([none if one is None else one.influence for one in paired])


def _from_cases(
    entries: Sequence[Stored], metric: str, scores: np.ndarray, resamples: int
) -> dict[int, Resamples]:
    """Resamples of those entries whose score is the mean of their cases."""
    tables = {}
    for row, entry in enumerate(entries):
        table = read_case_table(entry.folder / CASES_NAME, (metric,))
        if table is not None and metric in table.values:
            tables[row] = table
    if not tables:
        return {}
    kept = _of_the_same_cases(tables)
    first = tables[kept[0]]
    values = np.stack([tables[row].values[metric] for row in kept])
    made = resample_means(first.names, first.groups, values, scores[kept], resamples)
    return {row: one for row, one in zip(kept, made, strict=True) if one is not None}


def _of_the_same_cases(tables: Mapping[int, CaseTable]) -> list[int]:
    """Those tables that have the cases and groups of most of them."""
    keys = {row: (hash(table.names), table.groups.tobytes()) for row, table in tables.items()}
    values = list(keys.values())
    usual = max(dict.fromkeys(values), key=values.count)
    return [row for row, key in keys.items() if key == usual]


def _compact(table: CaseTable, first: CaseTable) -> CaseTable:
    """The table with the first one's names and half the digits: a thousand of them have to fit."""
    values = {name: column.astype(np.float32) for name, column in table.values.items()}
    if table.names != first.names or not np.array_equal(table.groups, first.groups):
        return dataclasses.replace(table, values=values)
    return dataclasses.replace(
        table, names=first.names, groups=first.groups, attributes=first.attributes, values=values
    )


def _given(array: np.ndarray | None) -> np.ndarray:
    if array is None:
        raise TypeError("an entry lacks what all entries have")
    return array
