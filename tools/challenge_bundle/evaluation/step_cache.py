"""A step is done once: its outputs and its record are in a folder named by a digest of all its inputs."""

import hashlib
import json
import shutil
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.verdicts import Refusal, Verdict, parse_verdict
from challenge_bundle.files import hash_file, plain_files, synchronise

RECORD_NAME = "record.json"

_at_work: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""By folder: two submissions with the same csv are scored once."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What a step did.

    Args:
        folder: Holds the outputs.
        key: SHA-256 of all that the outputs depend on, in hexadecimal.
        files: SHA-256 of each output by its path below the folder.
        facts: What else is to be known of it: versions, resources.
        verdict: Why it gave no output, where the submission is at fault.
    """

    folder: Path
    key: str
    files: dict[str, str]
    facts: dict[str, Any]
    verdict: Verdict | None = None


def make_key(*parts: Any) -> str:
    """SHA-256 of what a step's outputs depend on.

    Args:
        parts: Whatever JSON can hold.
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def do_once(steps_dir: Path, key: str, work: Callable[[Path], dict[str, Any]]) -> StepRecord:
    """Do a step unless it was done; a power cut at any instant leaves all of it or nothing.

    Args:
        steps_dir: Holds the folders of this kind of step.
        key: See StepRecord.
        work: Is given an empty folder for its outputs, and gives the facts. A Refusal is an outcome like any
            other: it is kept, and the step is not repeated for it.

    Returns:
        The record of this or of the earlier run.

    Raises:
        BundleError: The step could not be done, for a reason that does not lie in the submission.
        OSError: Likewise.
    """
    folder = steps_dir / key
    with _at_work[str(folder)]:
        return read_record(folder) if folder.is_dir() else _do(folder, key, work)


def _do(folder: Path, key: str, work: Callable[[Path], dict[str, Any]]) -> StepRecord:
    # Another process may do the same step: the first to end gives the outputs.
    unfinished = folder.with_name(f".{key}.{uuid.uuid4().hex}.part")
    unfinished.mkdir(parents=True)
    try:
        return _do_in(unfinished, folder, key, work)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _do_in(unfinished: Path, folder: Path, key: str, work: Callable[[Path], dict[str, Any]]) -> StepRecord:
    verdict = None
    try:
        facts = work(unfinished)
    except Refusal as refusal:
        verdict, facts = refusal.verdict, {}
    files = {name: hash_file(unfinished / name) for name in plain_files(unfinished)}
    outputs = [unfinished / name for name in files]
    folders = sorted({folder for path in outputs for folder in path.parents if unfinished in folder.parents})
    record = {"key": key, "files": files, "facts": facts, "verdict": asdict(verdict) if verdict else None}
    (unfinished / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for path in (*outputs, *folders, unfinished / RECORD_NAME, unfinished):
        synchronise(path)
    try:
        unfinished.replace(folder)
    except OSError:
        if not folder.is_dir():
            raise
        return read_record(folder)
    synchronise(folder.parent)
    return StepRecord(folder, key, files, facts, verdict)


def read_record(folder: Path) -> StepRecord:
    """Read what a step left.

    Raises:
        DataError: An output is not as the step left it.
    """
    try:
        document = json.loads((folder / RECORD_NAME).read_text(encoding="utf-8"))
        verdict = parse_verdict(document["verdict"])
        record = StepRecord(folder, document["key"], document["files"], document["facts"], verdict)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise DataError(
            f"not the record of a step ({fault!r})",
            folder / RECORD_NAME,
            code="damaged-step-record",
            hint="remove the folder, and the step is repeated",
        ) from None
    for name, sha256 in record.files.items():
        if not (folder / name).is_file() or hash_file(folder / name) != sha256:
            raise DataError(
                "missing, or changed since its step wrote it",
                folder / name,
                code="changed-step-output",
                hint="remove the folder, and the step is repeated",
            )
    return record


def forget_unfinished(steps_dir: Path) -> None:
    """Remove the unfinished folders of steps that were interrupted."""
    for unfinished in steps_dir.glob("*/.*.part"):
        shutil.rmtree(unfinished, ignore_errors=True)
