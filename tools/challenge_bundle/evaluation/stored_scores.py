"""What submissions left: their csvs and scores, and whether these are of the data that are here."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import Context, steps_dir
from challenge_bundle.evaluation.intake import describe
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.step_cache import RECORD_NAME
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.formats.label_table import LabelTable, read_label_table
from challenge_bundle.layout import RESULTS_NAME
from challenge_bundle.settings import METRICS

TESTING_IMAGES = "testing_images"
"""The fact of an inference that says on which images it ran."""


def results_of(context: Context, records: Records, row: Row) -> Path:
    """The csv that a scored submission's inference wrote."""
    key, _ = records.steps(row.submission.id).get("inference", ("none", 0.0))
    return steps_dir(context.layout, "inference") / key / RESULTS_NAME


def refuse_other_images(context: Context, records: Records, rows: Sequence[Row]) -> None:
    """Refuse submissions that ran on other images: their scores and those on these images do not compare.

    Raises:
        DataError: There are some, or their csv is not here.
    """
    other = [row for row in rows if not _ran_here(context, results_of(context, records, row))]
    if other:
        raise DataError(
            f"{len(other)} of {len(rows)} scored submissions ran on other testing images than those that are"
            f" here, the first: {describe(other[0].submission)}; import those images again (.bundle/archive/"
            " holds what `data import --replace` put away), or start a new evaluation: let"
            " `data import --replace` put this one away, and give `evaluate` the zips again"
            " (where --database is used, a new one)",
            context.layout.testing_data,
        )


def read_predictions(context: Context, records: Records, row: Row) -> LabelTable:
    """The classes that a scored submission gave; one for each testing image.

    Raises:
        DataError: They are of other images.
    """
    path = results_of(context, records, row)
    refuse_other_images(context, records, [row])
    table = read_label_table(path)
    if table.class_of.keys() != context.image_names:
        other = min(table.class_of.keys() ^ context.image_names)
        raise DataError(
            f"is of other testing images than those that are here ('{other}' is in one of the two alone);"
            " import those images again, or let `data import --replace` put this evaluation away",
            path,
        )
    return table


def stale_rows(context: Context, records: Records, part: str, rows: Sequence[Row]) -> list[Row]:
    """Scored submissions whose scores are not of this reference, scoring program and part of the images."""
    stored = records.scores(part)
    return [
        row
        for row in rows
        if row.state == SCORED
        and stored.get(row.submission.id, ("", ""))[0] != context.score_key(part, row.results_sha256)
    ]


def is_stale(context: Context, records: Records) -> bool:
    """Tell whether any scores are of another reference or scoring program than those that are there."""
    rows = records.rows()
    return any(stale_rows(context, records, part, rows) for part in context.parts)


def current_scores(
    context: Context, records: Records, part: str, rows: Sequence[Row]
) -> dict[str, dict[str, Any]]:
    """The content of scores.json of each submission that was scored, by its id.

    Raises:
        DataError: One is of another reference or scoring program than those that are there, or lacks the
            score that the board ranks by.
    """
    stale = stale_rows(context, records, part, rows)
    if stale:
        refuse_other_images(context, records, stale)
        raise DataError(
            f"the reference or the scoring program is not that of the scores of {len(stale)} submissions; run"
            " `evaluate --rescore`",
            context.layout.solution_csv("testing"),
        )
    stored = records.scores(part)
    found = {
        row.submission.id: json.loads(stored[row.submission.id][1]) for row in rows if row.state == SCORED
    }
    for content in found.values():
        metric_of(context, content)
    return found


def metric_of(context: Context, content: dict[str, Any]) -> float:
    """The score that the board ranks by.

    Raises:
        DataError: The scoring program does not give it, or it is not a finite number.
    """
    metric = context.bundle.evaluation.metric
    value = find_metric(content, metric)
    if value is None:
        given = [name for name in METRICS if find_metric(content, name) is not None]
        raise DataError(
            f"'evaluation.metric' is {metric}, but the scoring program's scores.json holds"
            f" {content.get(metric, 'no such score')!r:.40}; set it to one that is there"
            f" ({', '.join(given) or 'none is'}), or let the scoring program write it and run"
            " `evaluate --rescore`",
            context.layout.manifest,
        )
    return value


def find_metric(content: dict[str, Any], metric: str) -> float | None:
    """A score of a scores.json; None if it is not there, or not a finite number."""
    value = content.get(metric)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _ran_here(context: Context, results: Path) -> bool:
    if not results.is_file():
        return False
    try:
        facts = json.loads((results.parent / RECORD_NAME).read_text(encoding="utf-8"))["facts"]
    except (OSError, ValueError, KeyError, TypeError):
        # The names in the csv are all that is known of it.
        return True
    return bool(facts.get(TESTING_IMAGES, context.testing_sha256) == context.testing_sha256)
