"""The stored csv and scores of submissions, and whether they fit the data that are here."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import Context, steps_dir
from challenge_bundle.evaluation.intake import describe
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.step_cache import RECORD_NAME
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.files import hash_file
from challenge_bundle.formats.scores import default_metric, find_score, score_names
from challenge_bundle.layout import RESULTS_NAME
from challenge_bundle.settings import PREDICTIONS

TESTING_IMAGES = "testing_images"
"""The fact of an inference step that identifies the images on which it ran."""


def results_of(context: Context, records: Records, row: Row) -> Path:
    """The predictions of a scored submission."""
    name = "predictions" if row.kind == PREDICTIONS else "inference"
    key, _ = records.steps(row.submission.id).get(name, ("none", 0.0))
    return steps_dir(context.layout, name) / key / RESULTS_NAME


def scoring_dir(context: Context, records: Records, row: Row, test_split: str) -> Path:
    """Folder of what scoring wrote for a split of the test set: scores.json, cases.csv, resamples.npz, ...

    Of what version 0.1 evaluated, the files for the organiser alone are not there.
    """
    steps = records.steps(row.submission.id)
    folder = steps_dir(context.layout, "scoring")
    if "scoring" in steps:
        return folder / steps["scoring"][0] / test_split
    return folder / steps.get(f"scoring-{test_split}", ("none", 0.0))[0]


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


def refuse_missing_results(context: Context, records: Records, rows: Sequence[Row]) -> None:
    """Refuse submissions whose predictions are not here, or are not as their step left them.

    Raises:
        DataError: There are some, or some ran on other images.
    """
    refuse_other_images(context, records, rows)
    for row in rows:
        path = results_of(context, records, row)
        if row.results_sha256 and hash_file(path) != row.results_sha256:
            raise DataError(
                "the predictions were changed since they were evaluated",
                path,
                code="changed-step-output",
                hint="bring the bundle's .bundle/evaluation/ back from a backup",
            )


def stale_rows(context: Context, records: Records, test_split: str, rows: Sequence[Row]) -> list[Row]:
    """Scored submissions whose scores are of another reference, scoring program or split of the test set."""
    stored = records.scores(test_split)
    return [
        row
        for row in rows
        if row.state == SCORED
        and not context.is_score_key(
            stored.get(row.submission.id, ("", ""))[0], test_split, row.results_sha256
        )
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
        board_metrics(context, content)
    return found


def ranking_metric(context: Context, content: Mapping[str, Any]) -> str:
    """The metric that the board ranks by: that of bundle.toml, else the scoring program's own.

    Raises:
        DataError: Neither names one, or the scoring program does not write it.
    """
    metric = context.bundle.evaluation.metric or default_metric(content)
    if not metric:
        raise DataError(
            "the scoring program writes several scores, and nothing says which of them ranks",
            context.layout.manifest,
            code="no-ranking-metric",
            hint=f"set 'evaluation.metric' to one of them ({', '.join(score_names(content))})",
        )
    score_of(context, content, metric)
    return metric


def score_of(
    context: Context, content: Mapping[str, Any], metric: str, key: str = "evaluation.metric"
) -> float:
    """A score that the board needs.

    Args:
        context: Where it is evaluated.
        content: Of scores.json.
        metric: Its name.
        key: The setting that asks for it, for messages.

    Raises:
        DataError: The scoring program does not write it, or it is not a finite number.
    """
    value = find_score(content, metric)
    if value is None:
        raise DataError(
            f"expected a number for '{key}' ({metric}) in the scoring program's scores.json but"
            f" got {content.get(metric, 'no such score')!r:.40}",
            context.layout.manifest,
            code="metric-not-scored",
            hint=f"set it to one that is there ({', '.join(score_names(content)) or 'none is'}), or let the"
            " scoring program write it and run `evaluate --rescore`",
        )
    return value


def board_metrics(context: Context, content: Mapping[str, Any]) -> tuple[str, ...]:
    """The metrics that have a board, that which ranks by default first: what participants may see of scores.

    No other is shown: with made-up probabilities a log loss reveals the reference.

    Raises:
        DataError: One is not in the scores.
    """
    first = ranking_metric(context, content)
    further = [name for name in context.bundle.evaluation.metrics if name != first]
    for name in further:
        score_of(context, content, name, "evaluation.metrics")
    return (first, *dict.fromkeys(further))


def _ran_here(context: Context, results: Path) -> bool:
    if not results.is_file():
        return False
    try:
        facts = json.loads((results.parent / RECORD_NAME).read_text(encoding="utf-8"))["facts"]
    except (OSError, ValueError, KeyError, TypeError):
        # Without the record, only the names in the csv can be compared.
        return True
    return bool(facts.get(TESTING_IMAGES, context.testing_sha256) == context.testing_sha256)
