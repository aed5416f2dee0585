"""The scoring step: one run of the scoring program for the predictions of a submission, kept with its files.

The step's folder holds, for each split of the test set, the files that participants may see one day
(scores.json, scores.txt, detailed_results.html) and those for the organiser alone (cases.csv, resamples.npz).
"""

import dataclasses
import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

from challenge_bundle.bounded_log import BoundedLog
from challenge_bundle.engines.base import Engine, FolderOption, Outcome, RunSpec
from challenge_bundle.errors import ProgramError
from challenge_bundle.evaluation.context import Context, steps_dir
from challenge_bundle.evaluation.part_cutting import cut_predictions
from challenge_bundle.evaluation.public_split import reference_text
from challenge_bundle.evaluation.step_cache import StepRecord, do_once
from challenge_bundle.evaluation.verdicts import Refusal, listed_verdict
from challenge_bundle.files import hash_file, remove_tree
from challenge_bundle.formats.listed_findings import NAME as FINDINGS_NAME
from challenge_bundle.formats.listed_findings import first_fault, read_listed
from challenge_bundle.formats.program_toml import CHECK, PARTS, PRIVATE
from challenge_bundle.formats.scores import parse_scores
from challenge_bundle.layout import RESULTS_NAME, solution_name
from challenge_bundle.runs.collect import collect_output
from challenge_bundle.runs.outcome import check_outcome
from challenge_bundle.runs.programs import SCORING, build_image, plan_run

SCORES_NAME = "scores.json"
CASES_NAME, RESAMPLES_NAME = "cases.csv", "resamples.npz"
SHOWN_NAMES = ("scores.txt", "detailed_results.html")
PRIVATE_NAMES = (CASES_NAME, RESAMPLES_NAME)
"""For the organiser alone: no page, kit or receipt has them."""

SCORING_LOG = "scoring.log"
DEFAULT_RESAMPLES = 10_000
"""What a scoring program takes where nobody states a number; see docs/reference/file-formats.md."""

_PARTS_JSON = "parts.json"
_TRACEBACK = "Traceback (most recent call last):"
_FAIR_BYTES, _FAIR_BYTES_A_CASE = 1 << 20, 1 << 12
"""Predictions of so many bytes must be scored within the limits; a scoring run that larger ones make overrun
is the submission's fault."""


def score(context: Context, engine: Engine, results: Path) -> StepRecord:
    """Score predictions on all splits of the test set.

    Args:
        context: Where they are evaluated.
        engine: Runs the scoring program.
        results: The predictions.

    Returns:
        A record with the files of each split in a folder of its name, or with a verdict where the scoring
        program refuses the predictions; its facts are `seconds` and `limits`.

    Raises:
        UnavailableError: The engine is away, or something else is missing here.
        ProgramError: The scoring program failed, for a reason that does not lie in the predictions.
    """
    key = context.score_key(hash_file(results))
    return do_once(
        steps_dir(context.layout, "scoring"),
        key,
        lambda folder: score_again(context, engine, results, folder),
    )


def score_again(context: Context, engine: Engine, results: Path, folder: Path) -> dict[str, Any]:
    """Score predictions, whether or not that was done before; see score.

    A program that knows how to score parts is run once. Any other is run once for each split, with the
    reference and the predictions of that split alone (see part_cutting).

    Args:
        context: Where they are evaluated.
        engine: Runs the scoring program.
        results: The predictions.
        folder: Gets the scoring program's files.

    Returns:
        The facts.

    Raises:
        Refusal: The predictions are at fault.
    """
    at_once = PARTS in context.scoring_modes
    seconds = 0.0
    with BoundedLog(folder / SCORING_LOG) as log:
        image = build_image(engine, SCORING, context.bundle, context.layout, log.line)
        for part in [""] if at_once else context.test_splits:
            seconds += _score_once(context, engine, image, results, part, folder, log)
    limits = context.bundle.limits["scoring"]
    return {"seconds": round(seconds, 3), "limits": dataclasses.asdict(limits)}


def _score_once(
    context: Context, engine: Engine, image: str, results: Path, part: str, folder: Path, log: BoundedLog
) -> float:
    """Run the scoring program, for one split or (empty) for all; gives the seconds that it took."""
    place = context.layout.evaluation / "work" / f"scoring-{uuid.uuid4().hex}"
    crashed = False

    def show(line: str) -> None:
        nonlocal crashed
        crashed = crashed or line.strip() == _TRACEBACK
        log.line(line)

    try:
        (place / "output").mkdir(parents=True)
        fill_input(context, results, part, place / "input")
        spec = plan_scoring(context, image, place, part)
        outcome = engine.run(spec, show)
        _judge(context, outcome, spec, results, crashed)
        _take(context, spec, part, folder)
    finally:
        remove_tree(place)
    return outcome.seconds


def plan_scoring(context: Context, image: str, place: Path, part: str) -> RunSpec:
    """What is run to score predictions.

    Args:
        context: Where they are evaluated.
        image: Of the scoring program.
        place: Holds `input` and `output`.
        part: The split, empty for all.
    """
    modes, resamples = context.scoring_modes, context.bundle.evaluation.resamples
    options: tuple[FolderOption, ...] = ()
    more: tuple[str, ...] = ()
    if PRIVATE in modes:
        options += (FolderOption("--private", True, "private"),)
        more = () if resamples == DEFAULT_RESAMPLES else ("--resamples", str(resamples))
    if PARTS in modes and not part:
        options += (FolderOption("--parts", False, _PARTS_JSON),)
    # Without --show-cases: what is stored here may be shown to participants.
    return dataclasses.replace(
        plan_run(SCORING, context.bundle, context.layout, ()),
        input_dir=place / "input",
        output_dir=place / "output",
        arguments=(*more, *context.bundle.arguments["scoring"]),
        folder_options=options,
        image=image,
    )


def fill_input(context: Context, results: Path, part: str, folder: Path) -> None:
    """Lay out what the scoring program reads.

    Args:
        context: Gives the reference.
        results: The predictions.
        part: The split whose rows alone it gets; empty for all rows.
        folder: Gets `ref` and `res`.
    """
    for name in ("ref", "res"):
        (folder / name).mkdir(parents=True)
    solution = solution_name("testing")
    some = context.test_splits[part] if part else context.image_names
    for name in context.reference_files:
        if name != solution or some == context.image_names:
            link_or_copy(context.reference_dir / name, folder / "ref" / name)
    if some == context.image_names:
        link_or_copy(results, folder / "res" / RESULTS_NAME)
    else:
        (folder / "ref" / solution).write_text(reference_text(context.reference, some), encoding="utf-8")
        cut_predictions(results, context.image_names - some, folder / "res" / RESULTS_NAME)
    if not part:
        parts = {name: sorted(names) for name, names in context.test_splits.items()}
        (folder / _PARTS_JSON).write_text(json.dumps(parts), encoding="utf-8")


def link_or_copy(source: Path, target: Path) -> None:
    """Put a file in place for a program that only reads it; linked where that can be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _judge(context: Context, outcome: Outcome, spec: RunSpec, results: Path, crashed: bool) -> None:
    """Find out whether the predictions, or the scoring program, are at fault.

    A program that has the mode `check` names what it found in findings.json; of any other, exit status 1
    without a traceback means that the predictions are at fault.

    Raises:
        Refusal: The predictions are.
        ProgramError: The program is.
    """
    if outcome.limit in ("time", "memory", "output"):
        fair_bytes = _FAIR_BYTES + _FAIR_BYTES_A_CASE * len(context.image_names)
        if results.stat().st_size > fair_bytes:
            raise Refusal("predictions-too-large", limit=fair_bytes // 2**20)
    elif outcome.exit_status == 1:
        if {CHECK, PRIVATE} <= set(context.scoring_modes):
            fault = first_fault(spec.output_dir / "private" / FINDINGS_NAME)
            if fault is not None:
                raise Refusal.of(listed_verdict(*fault, read_listed(_program_dir(context))))
        elif not crashed:
            raise Refusal("predictions")
    check_outcome(SCORING, outcome, spec.limits)


def _take(context: Context, spec: RunSpec, part: str, folder: Path) -> None:
    """Take what the scoring program wrote, with the files of each split in a folder of its name.

    Raises:
        ProgramError: A scores.json is missing, or files are no plain files or too large.
        DataError: A scores.json holds no scores.
    """
    splits = {part: ""} if part else {name: f"{name}/" for name in context.test_splits}
    scores = [f"{below}{SCORES_NAME}" for below in splits.values()]
    besides = [f"{below}{name}" for below in splits.values() for name in SHOWN_NAMES]
    if PRIVATE in context.scoring_modes:
        besides += [f"private/{below}{name}" for below in splits.values() for name in PRIVATE_NAMES]
    taken = folder / ".taken"
    limit_bytes = spec.limits.output_mb * 2**20
    left_out = collect_output(spec.output_dir, taken, scores, besides, limit_bytes, "scoring")
    if left_out:
        raise ProgramError(
            f"scoring wrote more than {spec.limits.output_mb} MB, or {left_out[0]} cannot be read",
            code="program-over-limit",
            hint="raise 'output_mb' under [scoring] in bundle.toml, or lower 'evaluation.resamples'",
        )
    for split, below in splits.items():
        (folder / split).mkdir(exist_ok=True)
        for name in (*SHOWN_NAMES, SCORES_NAME):
            _move(taken / f"{below}{name}", folder / split / name)
        for name in PRIVATE_NAMES:
            _move(taken / f"private/{below}{name}", folder / split / name)
        parse_scores((folder / split / SCORES_NAME).read_text(encoding="utf-8"), Path(split) / SCORES_NAME)
    remove_tree(taken)


def _move(source: Path, target: Path) -> None:
    if source.is_file():
        source.replace(target)


def _program_dir(context: Context) -> Path:
    return context.layout.program_dir(SCORING.folder)
