"""The steps of one submission: build, inference, scoring. Each is done once, and can be called by itself."""

import dataclasses
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.archive import open_archive
from tools.collecting import collect
from tools.errors import DataError, ProgramError, UnavailableError
from tools.evaluation.building import build_files
from tools.evaluation.intake import kept_zip
from tools.evaluation.logfilter import show_log
from tools.evaluation.outputs import TESTING_IMAGES
from tools.evaluation.parts import reference_text
from tools.evaluation.results import check_results, cut_results
from tools.evaluation.site import Site, steps_dir, zips_dir
from tools.evaluation.steps import StepRecord, do_once, make_key
from tools.evaluation.verdicts import Crowded, Doubtful, Refusal
from tools.files import check_writable, hash_file, remove_tree
from tools.keptlog import KeptLog
from tools.layout import RESULTS_NAME, solution_name
from tools.programs import INFERENCE, SCORING, check_outcome, plan_run
from tools.runners.base import KILLED, Outcome, ProgramRun
from tools.runners.context import submission_files
from tools.runners.docker import DockerRunner
from tools.runners.watching import RESERVE_BYTES

BUILD_LOG = "build.log"
RUN_LOG = "inference.log"
_NOT_STARTED = (126, 127)
_INIT_SAYS = "[FATAL tini "


def build(site: Site, runner: DockerRunner, sha256: str) -> StepRecord:
    """Build a submission's image.

    Args:
        site: Where it is evaluated.
        runner: Speaks to the engine.
        sha256: Of the zip, which was taken in.

    Returns:
        A record with the build's log; its facts are `tag`, `image` (the engine's digest) and `image_bytes`.

    Raises:
        UnavailableError: The engine is away, or something else is missing here.
    """
    settings = site.bundle.evaluation
    limits = [settings.build_time_s, settings.build_memory_mb, settings.image_mb, settings.build_network]
    limits += [settings.pull] if settings.pull else []
    key = make_key("build", sha256, site.bundle.base_image, settings.base_images, limits)

    def work(part: Path) -> dict[str, Any]:
        with KeptLog(part / BUILD_LOG) as log:
            return _build(site, runner, sha256, log)

    return do_once(steps_dir(site.layout, "build"), key, work)


def infer(site: Site, runner: DockerRunner, sha256: str, built: StepRecord) -> StepRecord:
    """Run a submission's image on the test images, and take its csv if it is sound.

    Args:
        site: Where it is evaluated.
        runner: Runs it.
        sha256: Of the zip.
        built: What `build` gave.

    Returns:
        A record with the log and, unless the submission is at fault, classification_results.csv; its facts
        are `image`, `testing_images`, `limits`, `seconds`, `cpu_seconds` and `peak_memory_bytes`.

    Raises:
        UnavailableError: The engine is away, or something else is missing here.
        Doubtful: The submission was ended, and it is not known by whom.
    """
    limits = site.bundle.limits["inference"]
    key = make_key("inference", built.key, site.testing_sha256, dataclasses.asdict(limits))

    def work(part: Path) -> dict[str, Any]:
        output_dir = work_dir(site, sha256) / "output"
        with KeptLog(part / RUN_LOG) as log:
            tag = ensure_image(site, runner, sha256, built, log)
            image = runner.image_id(tag)
            outcome = run_image(site, runner, tag, sha256, site.layout.testing_data, output_dir, log)
        lines = (part / RUN_LOG).read_text(encoding="utf-8").splitlines()
        judge_outcome(site, sha256, outcome, lines)
        take_results(site, output_dir, part)
        return {
            "image": image,
            TESTING_IMAGES: site.testing_sha256,
            "limits": dataclasses.asdict(limits),
            "seconds": round(outcome.seconds, 3),
            "cpu_seconds": round(outcome.cpu_seconds, 3),
            "peak_memory_bytes": outcome.peak_memory_bytes,
        }

    return do_once(steps_dir(site.layout, "inference"), key, work)


def score(site: Site, runner: DockerRunner, results: Path, part: str) -> StepRecord:
    """Score a sound csv on a part of the test images.

    Args:
        site: Where it is evaluated.
        runner: Runs the scoring program.
        results: The csv that inference wrote.
        part: One of the site's parts.

    Returns:
        A record with scores.json, scores.txt and detailed_results.html.

    Raises:
        UnavailableError: The engine is away, or something else is missing here.
        ProgramError: The scoring program failed: the csv was found sound, so that is a fault here.
    """
    key = site.score_key(part, hash_file(results))
    return do_once(
        steps_dir(site.layout, "scoring"), key, lambda folder: score_anew(site, runner, results, part, folder)
    )


def score_anew(site: Site, runner: DockerRunner, results: Path, part: str, folder: Path) -> dict[str, Any]:
    """Score a csv, whether or not it was scored before; see score.

    Args:
        site: Where it is evaluated.
        runner: Runs the scoring program.
        results: The csv that inference wrote.
        part: One of the site's parts.
        folder: Gets the scoring program's files.

    Returns:
        The facts: `seconds` and `limits`.
    """
    place = site.layout.evaluation / "work" / f"scoring-{uuid.uuid4().hex}"
    for name in ("input/ref", "input/res", "output"):
        (place / name).mkdir(parents=True)
    try:
        reference = reference_text(site.reference, site.parts[part])
        (place / "input" / "ref" / solution_name("testing")).write_text(reference, encoding="utf-8")
        cut_results(results, site.parts[part], place / "input" / "res" / RESULTS_NAME)
        planned = plan_run(SCORING, site.bundle, site.layout, ())
        # Without --show-cases: what is stored here may be shown to participants.
        run = dataclasses.replace(
            planned,
            input_dir=place / "input",
            output_dir=place / "output",
            arguments=site.bundle.arguments["scoring"],
        )
        with KeptLog(folder / "scoring.log") as log:
            outcome = runner.run_image(run, runner.build(run, log.line), log.line)
        check_outcome(SCORING, outcome, run.limits)
        collect(place / "output", folder, SCORING.files, (), run.limits.output_mb * 2**20, "scoring")
    finally:
        remove_tree(place)
    return {"seconds": round(outcome.seconds, 3), "limits": dataclasses.asdict(run.limits)}


def work_dir(site: Site, sha256: str) -> Path:
    """Where a submission's files are while it is evaluated; emptied when that ends."""
    return site.layout.evaluation / "work" / sha256


@contextmanager
def unpacked(site: Site, sha256: str) -> Iterator[Path]:
    """A submission's files, while the block runs."""
    folder = work_dir(site, sha256) / "zip"
    remove_tree(folder)
    folder.mkdir(parents=True)
    try:
        zip_path = kept_zip(zips_dir(site.layout), sha256)
        findings = open_archive(zip_path, folder, site.bundle.submission)
        errors = [str(finding) for finding in findings if finding.severity == "error"]
        if errors:
            raise Refusal("zip", tuple(line.replace(zip_path.name, "the zip") for line in errors[:20]))
        yield folder
    finally:
        remove_tree(folder)


def ensure_image(site: Site, runner: DockerRunner, sha256: str, built: StepRecord, log: KeptLog) -> str:
    """The full name of a submission's image, which is built again if somebody removed it."""
    tag = str(built.facts["tag"])
    if not runner.image_id(tag):
        _build(site, runner, sha256, log)
    return tag


def run_image(
    site: Site,
    runner: DockerRunner,
    tag: str,
    sha256: str,
    input_dir: Path,
    output_dir: Path,
    log: KeptLog,
) -> Outcome:
    """Run a submission's image in the sandbox.

    Args:
        site: Where it is evaluated.
        runner: Runs it.
        tag: The image.
        sha256: Of the zip.
        input_dir: Images, which it gets to read.
        output_dir: Emptied before.
        log: Gets its lines.
    """
    remove_tree(output_dir)
    check_writable(output_dir)
    planned = plan_run(INFERENCE, site.bundle, site.layout, ())
    run: ProgramRun = dataclasses.replace(
        planned,
        name="submission",
        input_dir=input_dir,
        output_dir=output_dir,
        arguments=(),
        key=sha256,
    )
    try:
        return runner.run_image(run, tag, log.line)
    except ProgramError as fault:
        log.line(str(fault))
        raise Doubtful(Refusal("cannot-start")) from None


def judge_outcome(site: Site, sha256: str, outcome: Outcome, lines: list[str]) -> None:
    """Refuse a submission whose run did not end well.

    Raises:
        Refusal: It is at fault.
        Doubtful: It, or the engine, is.
        UnavailableError: The disk is full, and not by this submission.
    """
    limits = site.bundle.limits["inference"]
    if outcome.limit == "disk":
        # The container is gone, and with it what it had written: is there room now?
        if shutil.disk_usage(site.layout.evaluation).free < RESERVE_BYTES:
            raise UnavailableError("the disk is short of room; free some space")
        raise Crowded(Refusal("disk"))
    if outcome.limit:
        allowed = {"time": limits.time_s, "memory": limits.memory_mb, "output": limits.output_mb}
        raise Refusal(outcome.limit, limit=allowed[outcome.limit])
    if outcome.exit_status == 0:
        return
    if outcome.exit_status in _NOT_STARTED and any(line.startswith(_INIT_SAYS) for line in lines):
        raise Refusal("cannot-start")
    with unpacked(site, sha256) as folder:
        shown = show_log(folder, lines, site.image_names, site.class_names)
    refusal = Refusal("failed", shown, status=outcome.exit_status)
    if outcome.exit_status in KILLED:
        # By itself, or by an engine that is being stopped.
        raise Doubtful(refusal)
    raise refusal


def take_results(
    site: Site, output_dir: Path, target_dir: Path, image_names: frozenset[str] | None = None
) -> None:
    """Take the csv that a submission wrote, if it is sound.

    Args:
        site: Where it is evaluated.
        output_dir: Where it wrote.
        target_dir: Gets the csv.
        image_names: Of the images that it was given; the test images' if not told.

    Raises:
        Refusal: There is none, it is no plain file, or a row of it is at fault.
    """
    limit_bytes = site.bundle.limits["inference"].output_mb * 2**20
    try:
        collect(output_dir, target_dir, (RESULTS_NAME,), (), limit_bytes, "inference")
    except ProgramError:
        there = os.path.lexists(output_dir / RESULTS_NAME)
        raise Refusal("not-a-file" if there else "no-results") from None
    path = target_dir / RESULTS_NAME
    names = image_names or site.image_names
    try:
        check_results(path, names, site.class_names)
    except Refusal:
        path.unlink()
        raise


def _build(site: Site, runner: DockerRunner, sha256: str, log: KeptLog) -> dict[str, Any]:
    with unpacked(site, sha256) as folder:
        try:
            files, hides_dockerfile = submission_files(folder)
        except DataError as fault:
            raise Refusal("zip", (f"error: {fault}",)) from None
        # Of the same files with another method a name would be the same, were it not for the zip's.
        name = f"{site.bundle.name}-submission-{sha256[:16]}"
        return build_files(site, runner, files, name, log, sha256, hides_dockerfile)
