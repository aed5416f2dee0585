"""One submission from its zip to its receipt: check, build, inference, scoring."""

import functools
import time
from collections.abc import Callable

from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import SubmissionError, UnavailableError
from challenge_bundle.evaluation.context import Context, submission_lock, zips_dir
from challenge_bundle.evaluation.intake import Submission, check_zip, describe, kept_zip
from challenge_bundle.evaluation.receipts import write_receipt
from challenge_bundle.evaluation.records import RUNNING, Records
from challenge_bundle.evaluation.step_cache import StepRecord
from challenge_bundle.evaluation.steps import build, infer, score
from challenge_bundle.evaluation.verdicts import Inconclusive, Refusal
from challenge_bundle.layout import RESULTS_NAME
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
            raise Refusal(record.verdict.code, record.verdict.lines, **record.verdict.numbers)
        return record

    show(submission.id, describe(submission), RUNNING, "check", False)
    _check(context, engine, sha256)
    built = step("build", lambda: build(context, engine, sha256))
    try:
        inferred = step("inference", lambda: infer(context, engine, sha256, built))
    finally:
        # Hundreds of submissions would fill the disk; it can be built again from the zip.
        engine.forget(str(built.facts["tag"]))
    results = inferred.folder / RESULTS_NAME
    records.set_results(submission.id, inferred.files[RESULTS_NAME])
    scored = {
        test_split: step(
            f"scoring-{test_split}", functools.partial(score, context, engine, results, test_split)
        )
        for test_split in context.test_splits
    }
    records.add_scores(
        [
            (
                submission.id,
                test_split,
                record.key,
                (record.folder / "scores.json").read_text(encoding="utf-8"),
            )
            for test_split, record in scored.items()
        ]
    )
    write_receipt(context, records, submission, engine.description, built, inferred, scored)


def _check(context: Context, engine: Engine, sha256: str) -> None:
    """Refuse a zip for what `check` finds with a kit of this challenge; see check_zip."""
    rules = read_rules(context.bundle, context.layout, engine.wheelhouse)
    check_zip(
        kept_zip(zips_dir(context.layout), sha256), context.bundle.submission, context.class_names, rules
    )


def run_one_step(context: Context, engine: Engine, sha256: str, name: str) -> StepRecord:
    """Do one step of a submission that was taken in, and those before it where they are not done.

    For a scheduler of one's own: with the same folder and database, steps may run on any machine.

    Args:
        context: Where it is evaluated.
        engine: Speaks to the engine.
        sha256: Of the zip.
        name: `build`, `inference` or `scoring`.

    Raises:
        SubmissionError: The zip is at fault.
        UnavailableError: Something is missing here, no such zip was taken in, or the engine may be at fault.
    """
    try:
        with submission_lock(context, sha256):
            _check(context, engine, sha256)
            record = build(context, engine, sha256)
            if name != "build" and not record.verdict:
                record = infer(context, engine, sha256, record)
            if name == "scoring" and not record.verdict:
                results = record.folder / RESULTS_NAME
                for test_split in context.test_splits:
                    record = score(context, engine, results, test_split)
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
