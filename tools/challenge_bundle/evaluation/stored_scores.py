"""The stored csv and scores of submissions, and whether they fit the data that are here."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError, shown
from challenge_bundle.evaluation.context import Context, steps_dir
from challenge_bundle.evaluation.intake import describe
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.step_cache import RECORD_NAME
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.formats.label_table import LabelTable, read_label_table
from challenge_bundle.layout import RESULTS_NAME
from challenge_bundle.settings import METRICS

TESTING_IMAGES = "testing_images"
"""The fact of an inference step that identifies the images on which it ran."""


def results_of(context: Context, records: Records, row: Row) -> Path:
    """The csv that a scored submission's inference wrote."""
    key, _ = records.steps(row.submission.id).get("inference", ("none", 0.0))
    return steps_dir(context.layout, "inference") / key / RESULTS_NAME


def refuse_other_images(context: Context, records: Records, rows: Sequence[Row]) -> None:
    """Refuse submissions that ran on other images: their scores cannot be compared.

    Raises:
        DataError: There are some, or their csv is missing.
    """
    other = [row for row in rows if not _ran_here(context, results_of(context, records, row))]
    if other:
        raise DataError(
            f"{len(other)} of {len(rows)} scored submissions ran on other testing images than these, the"
            f" first: {describe(other[0].submission)}",
            context.layout.testing_data,
            code="other-testing-images",
            hint="import those images again (.bundle/archive/ holds what `data import --replace` put away),"
            " or start a new evaluation: let `data import --replace` put this one away, and give `evaluate`"
            " the zips again (with --database, a new one)",
        )


def read_predictions(context: Context, records: Records, row: Row) -> LabelTable:
    """The classes that a scored submission predicted, one for each testing image.

    Raises:
        DataError: The csv is of other images.
    """
    path = results_of(context, records, row)
    refuse_other_images(context, records, [row])
    table = read_label_table(path)
    if table.class_of.keys() != context.image_names:
        other = min(table.class_of.keys() ^ context.image_names)
        raise DataError(
            f"expected one row per testing image, but {shown(other)} is in only one of the two",
            path,
            code="other-testing-images",
            hint="import those images again, or let `data import --replace` put this evaluation away",
        )
    return table


def stale_rows(context: Context, records: Records, test_split: str, rows: Sequence[Row]) -> list[Row]:
    """Scored submissions whose scores are of another reference, scoring program or split of the test set."""
    stored = records.scores(test_split)
    return [
        row
        for row in rows
        if row.state == SCORED
        and stored.get(row.submission.id, ("", ""))[0] != context.score_key(test_split, row.results_sha256)
    ]


def is_stale(context: Context, records: Records) -> bool:
    """Whether any scores were computed with another reference or scoring program than those that are here."""
    rows = records.rows()
    return any(stale_rows(context, records, test_split, rows) for test_split in context.test_splits)


def current_scores(
    context: Context, records: Records, test_split: str, rows: Sequence[Row]
) -> dict[str, dict[str, Any]]:
    """The content of scores.json of each submission that was scored, by its id.

    Raises:
        DataError: One was computed with another reference or scoring program than those that are here, or
            lacks the metric that the board ranks by.
    """
    stale = stale_rows(context, records, test_split, rows)
    if stale:
        refuse_other_images(context, records, stale)
        raise DataError(
            f"the scores of {len(stale)} submissions were computed with another reference or scoring program",
            context.layout.solution_csv("testing"),
            code="stale-scores",
            hint="run `evaluate --rescore`",
        )
    stored = records.scores(test_split)
    found = {
        row.submission.id: json.loads(stored[row.submission.id][1]) for row in rows if row.state == SCORED
    }
    for content in found.values():
        metric_of(context, content)
    return found


def metric_of(context: Context, content: dict[str, Any]) -> float:
    """The score that the board ranks by.

    Raises:
        DataError: The scoring program does not write it, or it is not a finite number.
    """
    metric = context.bundle.evaluation.metric
    value = find_metric(content, metric)
    if value is None:
        given = [name for name in METRICS if find_metric(content, name) is not None]
        raise DataError(
            f"expected a number for 'evaluation.metric' ({metric}) in the scoring program's scores.json but"
            f" got {content.get(metric, 'no such score')!r:.40}",
            context.layout.manifest,
            code="metric-not-scored",
            hint=f"set it to one that is there ({', '.join(given) or 'none is'}), or let the scoring program"
            " write it and run `evaluate --rescore`",
        )
    return value


def find_metric(content: dict[str, Any], metric: str) -> float | None:
    """A score of a scores.json; None if it is missing or not a finite number."""
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
        # Without the record, only the names in the csv can be compared.
        return True
    return bool(facts.get(TESTING_IMAGES, context.testing_sha256) == context.testing_sha256)
