"""The scores of each case as csv, for other tools that analyse challenges, such as challengeR."""

from pathlib import Path

import numpy as np

from challenge_bundle.errors import DataError
from challenge_bundle.files import no_formula, write_csv
from challenge_bundle.leaderboard.entries import Cases
from challenge_bundle.leaderboard.evaluated import Evaluated
from challenge_bundle.leaderboard.metric_info import MetricInfo


def export_cases(evaluated: Evaluated, path: Path) -> list[Path]:
    """Write each case's scores of all entries: `case_id,alg_01,...`, one csv a metric, and a legend.

    Args:
        evaluated: The submissions on the boards.
        path: The csv of the first metric; further ones get their name added, and the legend `-legend`.

    Returns:
        The files, the legend last.

    Raises:
        DataError: The first metric is no mean over cases, or an entry has no cases.csv.

    Source:
        Wiesenfarth et al. 2021, Scientific Reports 11:2369 (challengeR).
    """
    cases = evaluated.cases
    missing = [info.name for info in evaluated.metrics if cases is None or info.name not in cases.values]
    if cases is None or len(cases.rows) < len(evaluated.stored) or evaluated.metrics[0].name in missing:
        given = ", ".join(cases.values) if cases else ""
        raise DataError(
            f"there are no scores of single cases of {evaluated.metrics[0].name} for every entry",
            path,
            code="no-case-scores",
            hint=f"choose another with --metric ({given or 'the scoring program gives none'})",
        )
    algorithms = [f"alg_{number:02}" for number in range(1, len(evaluated.stored) + 1)]
    written: list[Path] = []
    for info in evaluated.metrics:
        if info.name in missing:
            continue
        target = path if not written else path.with_name(f"{path.stem}-{info.name}{path.suffix}")
        write_csv(target, ("case_id", *algorithms), _rows(cases, info))
        target.chmod(0o600)
        written.append(target)
    legend = path.with_name(f"{path.stem}-legend{path.suffix}")
    rows = [
        (algorithm, no_formula(row.submission.team), no_formula(row.submission.method), row.submission.sha256)
        for algorithm, row in zip(algorithms, evaluated.chosen, strict=True)
    ]
    write_csv(legend, ("algorithm", "team", "method", "submission"), rows)
    return [*written, legend]


def _rows(cases: Cases, info: MetricInfo) -> list[list[str]]:
    """Each case's name and scores; an undefined one is NA, as R reads it."""
    table = cases.values[info.name].T
    return [
        [no_formula(name), *("NA" if np.isnan(value) else f"{value:.7g}" for value in row)]
        for name, row in zip(cases.names, table, strict=True)
    ]
