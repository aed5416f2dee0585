"""One submission from its zip to its receipt: check, build, inference, scoring."""

import time
from collections.abc import Callable

from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import SubmissionError, UnavailableError
from challenge_bundle.evaluation.context import Context, submission_lock, zips_dir
from challenge_bundle.evaluation.intake import Submission, check_zip, describe, kept_file
from challenge_bundle.evaluation.receipts import write_receipt
from challenge_bundle.evaluation.records import RUNNING, Records
from challenge_bundle.evaluation.scoring import SCORES_NAME, score
from challenge_bundle.evaluation.step_cache import StepRecord
from challenge_bundle.evaluation.steps import build, infer, take_predictions
from challenge_bundle.evaluation.verdicts import Inconclusive, Refusal
from challenge_bundle.files import hash_file
from challenge_bundle.layout import RESULTS_NAME
from challenge_bundle.settings import PREDICTIONS
from challenge_bundle.submission.predictions_alone import kind_of
from challenge_bundle.wheelhouse import read_rules

Show = Callable[[str, str, str, str, bool], None]
"""Called with a submission's id, its name for people, its state, a note, and whether it has ended."""


def run_steps(context: Context, records: Records, engine: Engine, submission: Submission, show: Show) -> None:
    """Bring one submission through its steps.

    Raises:
        Refusal: It is at fault.
        Inconclusive: It, or the engine, is.
        UnavailableError: Something is missing here.
    """
    sha256 = submission.sha256

    def step(name: str, do: Callable[[], StepRecord]) -> StepRecord:
        show(submission.id, describe(submission), RUNNING, name, False)
        started = time.monotonic()
        record = do()
        records.add_step(submission.id, name, record.key, round(time.monotonic() - started, 3))
        if record.verdict:
            raise Refusal.of(record.verdict)
        return record

    steps: dict[str, StepRecord] = {}
    if submission.kind == PREDICTIONS:
        steps["predictions"] = step("predictions", lambda: take_predictions(context, sha256))
        results = steps["predictions"].folder / RESULTS_NAME
    else:
        show(submission.id, describe(submission), RUNNING, "check", False)
        _check(context, engine, sha256)
        built = steps["build"] = step("build", lambda: build(context, engine, sha256))
        try:
            steps["inference"] = step("inference", lambda: infer(context, engine, sha256, built))
        finally:
            # Hundreds of submissions would fill the disk; it can be built again from the zip.
            engine.forget(str(built.facts["tag"]))
        results = steps["inference"].folder / RESULTS_NAME
    records.set_results(submission.id, hash_file(results))
    scored = steps["scoring"] = step("scoring", lambda: score(context, engine, results))
    records.add_scores(scores_of(context, submission.id, scored))
    write_receipt(context, records, submission, engine.description, steps)


def scores_of(context: Context, submission: str, scored: StepRecord) -> list[tuple[str, str, str, str]]:
    """What the records hold of a scoring step; see Records.add_scores."""
    return [
        (
            submission,
            test_split,
            scored.key,
            (scored.folder / test_split / SCORES_NAME).read_text(encoding="utf-8"),
        )
        for test_split in context.test_splits
    ]


def _check(context: Context, engine: Engine, sha256: str) -> None:
    """Refuse a zip for what `check` finds with a kit of this challenge; see check_zip."""
    rules = read_rules(context.bundle, context.layout, engine.wheelhouse)
    check_zip(
        kept_file(zips_dir(context.layout), sha256), context.bundle.submission, context.class_names, rules
    )


def run_one_step(context: Context, engine: Engine, sha256: str, name: str) -> StepRecord:
    """Do one step of a submission that was taken in, and those before it where they are not done.

    For a scheduler of one's own: with the same folder and database, steps may run on any machine.

    Args:
        context: Where it is evaluated.
        engine: Speaks to the engine.
        sha256: Of the zip or csv.
        name: `build`, `inference` or `scoring`; predictions alone have but the last.

    Raises:
        SubmissionError: The zip is at fault.
        UnavailableError: Something is missing here, no such zip was taken in, or the engine may be at fault.
    """
    try:
        with submission_lock(context, sha256):
            record = _done_until(context, engine, sha256, name)
    except Refusal as refusal:
        verdict = refusal.verdict
        raise SubmissionError(str(verdict), sha256, details=verdict.lines, code=verdict.code) from None
    except Inconclusive as doubt:
        raise UnavailableError(
            f"it may be the engine's fault: {doubt.refusal.verdict}",
            sha256,
            code="engine-in-doubt",
            hint="try again",
        ) from None
    return record


def _done_until(context: Context, engine: Engine, sha256: str, name: str) -> StepRecord:
    """Do the steps of a submission until one, or until one ends with a verdict."""
    path = kept_file(zips_dir(context.layout), sha256)
    if path.is_file() and kind_of(path, context.bundle.submission) == PREDICTIONS:
        record = take_predictions(context, sha256)
    else:
        _check(context, engine, sha256)
        record = build(context, engine, sha256)
        if name != "build" and not record.verdict:
            record = infer(context, engine, sha256, record)
    if name == "scoring" and not record.verdict:
        record = score(context, engine, record.folder / RESULTS_NAME)
    return record
