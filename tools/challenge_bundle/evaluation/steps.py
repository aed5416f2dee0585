"""A submission's steps up to its predictions: build, inference. Each is done once; scoring follows."""

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from challenge_bundle.bounded_log import BoundedLog
from challenge_bundle.engines.base import KILLED, Engine, Outcome, RunSpec
from challenge_bundle.engines.build_context import submission_files
from challenge_bundle.errors import DataError, ProgramError, SubmissionError, UnavailableError
from challenge_bundle.evaluation.building import SUBMISSION, build_files
from challenge_bundle.evaluation.context import Context, steps_dir, zips_dir
from challenge_bundle.evaluation.intake import kept_file
from challenge_bundle.evaluation.log_redaction import show_log
from challenge_bundle.evaluation.step_cache import StepRecord, do_once, make_key
from challenge_bundle.evaluation.stored_scores import TESTING_IMAGES
from challenge_bundle.evaluation.verdicts import Crowded, Inconclusive, Refusal
from challenge_bundle.files import check_writable, remove_tree
from challenge_bundle.layout import RESULTS_NAME
from challenge_bundle.runs.collect import collect_output
from challenge_bundle.runs.programs import INFERENCE, plan_run
from challenge_bundle.submission.predictions_alone import copy_predictions
from challenge_bundle.submission.unpack import open_archive

BUILD_LOG = "build.log"
RUN_LOG = "inference.log"


def build(context: Context, engine: Engine, sha256: str) -> StepRecord:
    """Build a submission's image.

    Args:
        context: Where it is evaluated.
        engine: Speaks to the engine.
        sha256: Of the zip, which was taken in.

    Returns:
        A record with the build's log; its facts are `tag`, `image` (the engine's digest) and `image_bytes`.

    Raises:
        UnavailableError: The engine is away, or something else is missing here.
    """
    settings = context.bundle.evaluation
    limits = [settings.build_time_s, settings.build_memory_mb, settings.image_mb, settings.build_network]
    limits += [settings.pull] if settings.pull else []
    key = make_key("build", sha256, context.bundle.base_image, settings.base_images, limits)

    def work(step_folder: Path) -> dict[str, Any]:
        with BoundedLog(step_folder / BUILD_LOG) as log:
            return _build(context, engine, sha256, log)

    return do_once(steps_dir(context.layout, "build"), key, work)


def infer(context: Context, engine: Engine, sha256: str, built: StepRecord) -> StepRecord:
    """Run a submission's image on the test images, and take its predictions.

    Args:
        context: Where it is evaluated.
        engine: Runs it.
        sha256: Of the zip.
        built: What `build` gave.

    Returns:
        A record with the log and, unless the submission is at fault, classification_results.csv; its facts
        are `image`, `testing_images`, `limits`, `seconds`, `cpu_seconds` and `peak_memory_bytes`.

    Raises:
        UnavailableError: The engine is away, or something else is missing here.
        Inconclusive: The submission was ended, and it is not known by whom.
    """
    limits = context.bundle.limits["inference"]
    key = make_key("inference", built.key, context.testing_sha256, dataclasses.asdict(limits))

    def work(step_folder: Path) -> dict[str, Any]:
        output_dir = work_dir(context, sha256) / "output"
        with BoundedLog(step_folder / RUN_LOG) as log:
            tag = ensure_image(context, engine, sha256, built, log)
            info = engine.inspect(tag)
            image = info.digest if info else ""
            outcome = run_image(context, engine, tag, sha256, context.layout.testing_data, output_dir, log)
        lines = (step_folder / RUN_LOG).read_text(encoding="utf-8").splitlines()
        judge_outcome(context, engine, sha256, outcome, lines)
        take_results(context, output_dir, step_folder)
        return {
            "image": image,
            TESTING_IMAGES: context.testing_sha256,
            "limits": dataclasses.asdict(limits),
            "seconds": round(outcome.seconds, 3),
            "cpu_seconds": round(outcome.cpu_seconds, 3),
            "peak_memory_bytes": outcome.peak_memory_bytes,
        }

    return do_once(steps_dir(context.layout, "inference"), key, work)


def take_predictions(context: Context, sha256: str) -> StepRecord:
    """Take the predictions of a submission that is nothing else.

    Args:
        context: Where it is evaluated.
        sha256: Of the csv or zip, which was taken in.

    Returns:
        A record with the predictions, or with a verdict; its fact is `testing_images`.

    Raises:
        UnavailableError: The kept file is missing.
    """
    key = make_key("predictions", sha256, context.testing_sha256)

    def work(step_folder: Path) -> dict[str, Any]:
        path = kept_file(zips_dir(context.layout), sha256)
        limit_mb = context.bundle.limits["inference"].output_mb
        try:
            copy_predictions(path, step_folder / RESULTS_NAME, limit_mb)
        except SubmissionError as fault:
            if fault.code == "predictions-too-large":
                raise Refusal(fault.code, limit=limit_mb) from None
            raise Refusal("no-predictions") from None
        return {TESTING_IMAGES: context.testing_sha256}

    return do_once(steps_dir(context.layout, "predictions"), key, work)


def work_dir(context: Context, sha256: str) -> Path:
    """Where a submission's files are while it is evaluated; emptied when that ends."""
    return context.layout.evaluation / "work" / sha256


@contextmanager
def unpacked(context: Context, sha256: str) -> Iterator[Path]:
    """A submission's files, while the block runs."""
    folder = work_dir(context, sha256) / "zip"
    remove_tree(folder)
    folder.mkdir(parents=True)
    try:
        zip_path = kept_file(zips_dir(context.layout), sha256)
        findings = open_archive(zip_path, folder, context.bundle.submission)
        errors = [str(finding) for finding in findings if finding.severity == "error"]
        if errors:
            raise Refusal("zip", tuple(line.replace(zip_path.name, "the zip") for line in errors[:20]))
        yield folder
    finally:
        remove_tree(folder)


def ensure_image(context: Context, engine: Engine, sha256: str, built: StepRecord, log: BoundedLog) -> str:
    """The full name of a submission's image, which is built again if somebody removed it."""
    tag = str(built.facts["tag"])
    if engine.inspect(tag) is None:
        _build(context, engine, sha256, log)
    return tag


def run_image(
    context: Context,
    engine: Engine,
    tag: str,
    sha256: str,
    input_dir: Path,
    output_dir: Path,
    log: BoundedLog,
) -> Outcome:
    """Run a submission's image in the sandbox.

    Args:
        context: Where it is evaluated.
        engine: Runs it.
        tag: The image.
        sha256: Of the zip.
        input_dir: Images, which it gets to read.
        output_dir: Emptied before.
        log: Gets its lines.
    """
    remove_tree(output_dir)
    check_writable(output_dir)
    planned = plan_run(INFERENCE, context.bundle, context.layout, ())
    spec: RunSpec = dataclasses.replace(
        planned,
        name=SUBMISSION,
        image=tag,
        input_dir=input_dir,
        output_dir=output_dir,
        arguments=(),
        key=sha256,
    )
    try:
        return engine.run(spec, log.line)
    except ProgramError as fault:
        log.line(str(fault))
        raise Inconclusive(Refusal("cannot-start")) from None


def judge_outcome(context: Context, engine: Engine, sha256: str, outcome: Outcome, lines: list[str]) -> None:
    """Refuse a submission whose run did not end well.

    Raises:
        Refusal: It is at fault.
        Inconclusive: It, or the engine, is.
        UnavailableError: The disk is full, and not by this submission.
    """
    limits = context.bundle.limits["inference"]
    if outcome.limit == "disk":
        # The run is over, and what it had written is gone: is there room now?
        if not engine.has_room(context.layout.evaluation):
            raise UnavailableError(
                "the disk is short of room", code="disk-short-of-room", hint="free some space"
            )
        raise Crowded(Refusal("disk"))
    if outcome.limit:
        allowed = {"time": limits.time_s, "memory": limits.memory_mb, "output": limits.output_mb}
        raise Refusal(outcome.limit, limit=allowed[outcome.limit])
    if outcome.exit_status == 0:
        return
    if not outcome.is_started:
        raise Refusal("cannot-start")
    with unpacked(context, sha256) as folder:
        shown = show_log(folder, lines, context.image_names, context.hidden_words)
    refusal = Refusal("failed", shown, status=outcome.exit_status)
    if outcome.exit_status in KILLED:
        # By itself, or by an engine that is being stopped.
        raise Inconclusive(refusal)
    raise refusal


def take_results(context: Context, output_dir: Path, target_dir: Path) -> None:
    """Take the predictions that a submission wrote; the scoring program judges what is in them.

    Args:
        context: Gives the largest size.
        output_dir: Where it wrote.
        target_dir: Gets the file.

    Raises:
        Refusal: There is none, or it is no plain file of that size.
    """
    limit_bytes = context.bundle.limits["inference"].output_mb * 2**20
    try:
        collect_output(output_dir, target_dir, (RESULTS_NAME,), (), limit_bytes, "inference")
    except ProgramError:
        there = os.path.lexists(output_dir / RESULTS_NAME)
        raise Refusal("not-a-file" if there else "no-results") from None


def _build(context: Context, engine: Engine, sha256: str, log: BoundedLog) -> dict[str, Any]:
    with unpacked(context, sha256) as folder:
        try:
            files, hides_dockerfile = submission_files(folder)
        except DataError as fault:
            raise Refusal("zip", (f"error: {fault}",)) from None
        # Of the same files with another method a name would be the same, were it not for the zip's.
        name = f"{context.bundle.name}-submission-{sha256[:16]}"
        return build_files(context, engine, files, name, log, sha256, hides_dockerfile)
