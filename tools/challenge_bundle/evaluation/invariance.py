"""Run a submission on the same pixels under other circumstances, on which no result should depend."""

import dataclasses
import hashlib
import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.bounded_log import BoundedLog
from challenge_bundle.engines.base import KILLED, Engine, FolderOption
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.evaluation.context import Context, steps_dir, submission_lock
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.scoring import fill_input, link_or_copy
from challenge_bundle.evaluation.step_cache import StepRecord, do_once, make_key, read_record
from challenge_bundle.evaluation.steps import ensure_image, run_image, take_results, work_dir
from challenge_bundle.evaluation.trial import is_well, one_line
from challenge_bundle.evaluation.verdicts import SCORED, Inconclusive, Refusal
from challenge_bundle.files import remove_tree, write_text
from challenge_bundle.formats.bounded_json import read_bounded_json
from challenge_bundle.formats.program_toml import COMPARE
from challenge_bundle.formats.program_toml import NAME as PROGRAM_TOML
from challenge_bundle.layout import RESULTS_NAME
from challenge_bundle.metadata.strip import strip_segments
from challenge_bundle.progress import Progress
from challenge_bundle.runs.collect import collect_output
from challenge_bundle.runs.outcome import check_outcome
from challenge_bundle.runs.programs import SCORING, build_image, plan_run
from challenge_bundle.settings import CODE

IMAGES_ALONE = 3
_OTHER, _NAMES, _COMPARISON = "other.csv", "names.json", "comparison.json"
TOLERANCE = 1e-3
"""A value may differ by so much: other batches are summed in another order."""

MEANINGS: Mapping[str, str] = {
    "again": "the result is not the same twice: it depends on chance or time",
    "renamed": "the result depends on the names of the files",
    "reordered": "the result depends on the order of the files, or on their batch",
    "alone": "the result depends on the other images of the folder",
    "stripped": "the result depends on the files' metadata, not on the pixels alone",
}
"""What it means when a circumstance changes a result."""


@dataclass(frozen=True, slots=True)
class Input:
    """A folder of test images under other names.

    Args:
        name: Of the folder.
        image_of: The test image that lies under each name.
        stripped: Whether metadata are left out.
    """

    name: str
    image_of: Mapping[str, str]
    stripped: bool = False


def probe_all(context: Context, records: Records, engine: Engine, progress: Progress) -> None:
    """Probe every submission that was scored and not probed yet.

    Args:
        context: Where it is evaluated.
        records: Get what is found.
        engine: Runs the images.
        progress: Called after each submission.

    Raises:
        DataError: The scoring program cannot compare predictions.
        UnavailableError: The engine went away.
    """
    if COMPARE not in context.scoring_modes:
        raise DataError(
            "the scoring program cannot compare predictions, which a probe needs",
            context.layout.program_dir(SCORING.folder) / PROGRAM_TOML,
            code="no-compare-mode",
            hint="add the mode 'compare' to the program and to this file (see File formats), or do not probe",
        )
    engine.stop(context.owner)
    rows = [row for row in records.rows() if row.state == SCORED and row.probe is None and row.kind == CODE]
    for done, row in enumerate(rows, start=1):
        try:
            with submission_lock(context, row.submission.sha256):
                found = probe(context, records, engine, row)
        except UnavailableError:
            raise
        except Exception as fault:
            # A participant's program may bring out a fault of this tool; the others are probed all the same.
            found = [f"could not be probed: {one_line(fault)}"]
        records.set_probe(row.submission.id, found)
        progress("probing", done, len(rows))


def probe(context: Context, records: Records, engine: Engine, row: Row) -> list[str]:
    """Run a submission under every circumstance.

    Returns:
        A sentence for each that changed a result or did not come to its end; empty if none did.

    Raises:
        UnavailableError: The engine went away.
    """
    sha256 = row.submission.sha256
    steps = records.steps(row.submission.id)
    built = read_record(steps_dir(context.layout, "build") / steps["build"][0])
    inferred = read_record(steps_dir(context.layout, "inference") / steps["inference"][0])
    found = []
    try:
        given_alone = f"{context.reference_sha256}/{inferred.key}"
        for circumstance, inputs in circumstances(sorted(context.image_names), given_alone).items():
            facts = [_run_surely(context, engine, sha256, built, inferred, given) for given in inputs]
            if line := _finding(facts):
                found.append(f"{circumstance}: {line}; {MEANINGS[circumstance]}")
    finally:
        engine.forget(str(built.facts["tag"]))
        remove_tree(work_dir(context, sha256))
    return found


def _finding(facts: Sequence[Mapping[str, Any]]) -> str:
    """What the runs under one circumstance have shown; empty if they gave the same results."""
    failed = next((fact["failed"] for fact in facts if "failed" in fact), None)
    if failed is not None:
        return f"the run failed ({failed})"
    changed, images = sum(fact["changed"] for fact in facts), sum(fact["images"] for fact in facts)
    largest = max((fact["largest"] for fact in facts), default=0.0)
    if not changed and largest <= TOLERANCE:
        return ""
    by = f", a value differs by up to {largest:.3f}" if largest else ""
    return f"{changed} of {images} images get another prediction{by}"


def _run_surely(
    context: Context,
    engine: Engine,
    sha256: str,
    built: StepRecord,
    inferred: StepRecord,
    given: Input,
) -> Mapping[str, Any]:
    """Run a submission on a folder, again where it may have been ended by the engine; gives the facts.

    Raises:
        UnavailableError: The engine is away.
    """
    cause = ""
    for _ in range(context.bundle.evaluation.attempts):
        try:
            return _run(context, engine, sha256, built, inferred, given).facts
        except Inconclusive as doubt:
            verdict = doubt.refusal.verdict
            cause = f"exit status {verdict.numbers['status']}" if verdict.numbers else verdict.code
        except UnavailableError as fault:
            cause = one_line(fault)
        if not is_well(context, engine):
            raise UnavailableError(
                f"a probe was interrupted ({cause})",
                code="probe-interrupted",
                hint="start the engine, and run `evaluate --probe` again",
            )
    return {"failed": cause}


def circumstances(names: list[str], secret: str = "") -> dict[str, list[Input]]:
    """What a submission is run on, besides the plain folder.

    Args:
        names: Of the test images, in order.
        secret: Which images are given alone depends on it: a program that knew them could see to these alone.

    Returns:
        Folders by circumstance, one of MEANINGS.
    """

    def new_name(number: int, name: str) -> str:
        # In the same order as before: names alone are changed here.
        token = hashlib.sha256(f"renamed/{name}".encode()).hexdigest()[:8]
        return f"{number:08d}-{token}{Path(name).suffix}"

    of_suffix: dict[str, list[str]] = {}
    for name in names:
        of_suffix.setdefault(Path(name).suffix, []).append(name)
    reversed_names = {
        name: other for same in of_suffix.values() for name, other in zip(same, reversed(same), strict=True)
    }
    drawn = sorted(names, key=lambda name: hashlib.sha256(f"{secret}/{name}".encode()).digest())
    alone = [Input(f"alone-{n}", {name: name}) for n, name in enumerate(drawn[:IMAGES_ALONE])]
    if len(names) > 2:
        # What depends on their number modulo something may be the same for one and for all.
        alone.append(Input("alone-two", {name: name for name in drawn[:2]}))
    return {
        "again": [Input("again", {name: name for name in names})],
        "renamed": [Input("renamed", {new_name(n, name): name for n, name in enumerate(names)})],
        "reordered": [Input("reordered", reversed_names)],
        "alone": alone,
        "stripped": [Input("stripped", {name: name for name in names}, stripped=True)],
    }


def _run(
    context: Context,
    engine: Engine,
    sha256: str,
    built: StepRecord,
    inferred: StepRecord,
    given: Input,
) -> StepRecord:
    def work(folder: Path) -> dict[str, Any]:
        place = work_dir(context, sha256)
        input_dir = place / given.name
        remove_tree(input_dir)
        input_dir.mkdir(parents=True)
        _fill(context, given, input_dir)
        with BoundedLog(folder / f"{given.name}.log") as log:
            tag = ensure_image(context, engine, sha256, built, log)
            outcome = run_image(context, engine, tag, sha256, input_dir, place / "output", log)
        if outcome.limit == "disk" or (outcome.exit_status in KILLED and not outcome.limit):
            raise Inconclusive(Refusal("failed", status=outcome.exit_status))
        if outcome.limit or outcome.exit_status:
            return {"failed": outcome.limit or f"exit status {outcome.exit_status}"}
        take_results(context, place / "output", folder)
        before, after = inferred.folder / RESULTS_NAME, folder / RESULTS_NAME
        changed, largest = compare(context, engine, before, after, given.image_of)
        return {"changed": changed, "images": len(given.image_of), "largest": largest}

    key = make_key("probe", inferred.key, given.name, dict(given.image_of))
    record = do_once(steps_dir(context.layout, "probe"), key, work)
    return StepRecord(record.folder, key, {}, {"failed": record.verdict.code}) if record.verdict else record


def compare(
    context: Context, engine: Engine, before: Path, after: Path, image_of: Mapping[str, str]
) -> tuple[int, float]:
    """Let the scoring program compare two sets of predictions for the same images.

    Args:
        context: Where they were made.
        engine: Runs the scoring program.
        before: The predictions for the unchanged folder.
        after: Those for the changed folder.
        image_of: The original name of each image of the changed folder.

    Returns:
        (number of images whose prediction differs, largest difference of a value)

    Raises:
        Refusal: The program refuses the predictions for the changed folder.
        ProgramError: The scoring program failed.
    """
    place = context.layout.evaluation / "work" / f"comparing-{uuid.uuid4().hex}"
    try:
        (place / "output").mkdir(parents=True)
        fill_input(context, before, "", place / "input")
        link_or_copy(after, place / "input" / _OTHER)
        write_text(place / "input" / _NAMES, json.dumps(dict(image_of)))
        spec = dataclasses.replace(
            plan_run(SCORING, context.bundle, context.layout, ()),
            input_dir=place / "input",
            output_dir=place / "output",
            arguments=(),
            folder_options=(FolderOption("--compare", False, _OTHER), FolderOption("--names", False, _NAMES)),
            image=build_image(engine, SCORING, context.bundle, context.layout, lambda line: None),
        )
        outcome = engine.run(spec, lambda line: None)
        if outcome.exit_status == 1 and not outcome.limit:
            raise Refusal("predictions")
        check_outcome(SCORING, outcome, spec.limits)
        limit_bytes = spec.limits.output_mb * 2**20
        collect_output(place / "output", place / "taken", (_COMPARISON,), (), limit_bytes, "scoring")
        return _parse_comparison(place / "taken" / _COMPARISON)
    finally:
        remove_tree(place)


def _parse_comparison(path: Path) -> tuple[int, float]:
    """What a comparison found; it may have been written by a program that the predictions took over.

    Raises:
        DataError: It is not a comparison.
    """
    document = read_bounded_json(path)
    changed, largest = (
        (document.get("changed"), document.get("largest")) if isinstance(document, dict) else (None, None)
    )
    if not isinstance(changed, int) or not isinstance(largest, int | float):
        raise DataError(
            'expected {"changed": number of cases, "largest": number}',
            path.name,
            code="not-a-comparison",
            hint="correct the scoring program's mode 'compare'",
        )
    return changed, float(largest)


def _fill(context: Context, given: Input, folder: Path) -> None:
    """Put the images in place; linked where that can be, for nothing is written there."""
    for name, image in given.image_of.items():
        source, target = context.layout.testing_data / image, folder / name
        if given.stripped:
            target.write_bytes(_without_metadata(source.read_bytes()))
            shutil.copystat(source, target)
        else:
            link_or_copy(source, target)


def _without_metadata(data: bytes) -> bytes:
    """A jpg or png without metadata; one that is damaged stays the same file, whatever is made of it."""
    try:
        return strip_segments(data)
    except ValueError:
        return data
