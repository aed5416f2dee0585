"""The receipt of an evaluation: a signed record that can be compared with what is stored."""

import dataclasses
import importlib.metadata
import json
import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.evaluation.context import Context, steps_dir, zips_dir
from challenge_bundle.evaluation.intake import Submission, kept_zip
from challenge_bundle.evaluation.records import Records, Row, format_time
from challenge_bundle.evaluation.signing import is_signed, keyed_digest, sign, signing_key
from challenge_bundle.evaluation.step_cache import StepRecord, read_record
from challenge_bundle.evaluation.steps import score_again
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.files import hash_file, remove_tree, write_text
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.formats.receipt import FORMAT, FULL, PUBLIC, compare_fields, read_receipt, same
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.settings import METRICS

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SCORES_NAME = "scores.json"
PRIVATE_SPLIT = "final"
STORED_STEPS = "stored steps"
"""The location of a finding about what the steps of a submission left here."""


def receipt_path(layout: Layout, submission: str, kind: str = FULL) -> Path:
    """Path of a submission's receipt."""
    folder = layout.evaluation / "receipts"
    return (folder / PUBLIC if kind == PUBLIC else folder) / f"{submission}.json"


def write_receipts(
    context: Context,
    submission: Submission,
    phase: str,
    versions: Mapping[str, str],
    steps: Mapping[str, StepRecord],
) -> None:
    """Write both receipts of a submission that was scored; only the bundle's owner can read the full one.

    Args:
        context: Where it was evaluated.
        submission: The submission.
        phase: Name of its phase.
        versions: See current_versions.
        steps: Records of its steps: `build`, `inference` and a `scoring-SPLIT` per split of the test set.
    """
    key = signing_key(context.layout)
    for kind in (FULL, PUBLIC):
        document = sign(key, _content(context, submission, phase, SCORED, versions, steps, kind))
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_text(receipt_path(context.layout, submission.id, kind), text, private=kind == FULL)


def write_receipt(
    context: Context,
    records: Records,
    submission: Submission,
    engine: str,
    built: StepRecord,
    inferred: StepRecord,
    scored: Mapping[str, StepRecord],
) -> None:
    """Write the receipts of a submission that was scored just now.

    Args:
        context: Where it was evaluated.
        records: Give its phase.
        submission: The submission.
        engine: The engine's name and version.
        built: Record of its build.
        inferred: Record of its inference.
        scored: Records of its scoring, by split of the test set.
    """
    phase = next(row.phase for row in records.rows() if row.submission.id == submission.id)
    steps = {"build": built, "inference": inferred}
    steps |= {f"scoring-{test_split}": record for test_split, record in scored.items()}
    write_receipts(context, submission, phase, current_versions(engine), steps)


def renew_receipt(context: Context, row: Row, engine: str, keys: Mapping[str, str]) -> None:
    """Write the receipts again after the csv was scored again.

    Args:
        context: Where it was evaluated.
        row: The submission.
        engine: The engine's name and version.
        keys: Keys of its steps, by name.
    """
    write_receipts(context, row.submission, row.phase, current_versions(engine), _read_steps(context, keys))


def is_receipt_current(layout: Layout, submission: str) -> bool:
    """Whether a submission has both receipts, in the current format."""
    try:
        for kind in (FULL, PUBLIC):
            read_receipt(receipt_path(layout, submission, kind))
    except DataError:
        return False
    return True


def current_versions(engine: str) -> dict[str, str]:
    """The versions of this package, Python and the engine, as a receipt has them."""
    return {
        "challenge-bundle": importlib.metadata.version("challenge-bundle"),
        "python": platform.python_version(),
        "engine": engine,
    }


def check_signature(receipt: dict[str, Any], key: "Ed25519PublicKey") -> Finding:
    """Check that a receipt is unchanged since the owner of a key signed it."""
    if is_signed(key, receipt):
        return same("signature")
    return Finding(
        "wrong-signature",
        ERROR,
        "signature",
        "made with another key, or the receipt was changed after it was signed",
        "ask the organiser for the receipt and for the public key",
    )


def check_stored(context: Context, records: Records, receipt: dict[str, Any]) -> list[Finding]:
    """Compare a receipt with everything that is stored here; runs nothing.

    Args:
        context: Where it was evaluated.
        records: The records of all submissions.
        receipt: See read_receipt.

    Returns:
        A finding about the signature, then one per field that the receipt has or should have.
    """
    signature = check_signature(receipt, signing_key(context.layout).public_key())
    row = next((row for row in records.rows() if row.submission.id == receipt["submission"]["id"]), None)
    if row is None:
        return [
            signature,
            Finding(
                "unknown-submission",
                ERROR,
                "submission",
                "no record of it is here",
                "check that this is the bundle, and with --database the database, that evaluated it",
            ),
        ]
    keys = {name: key for name, (key, _) in records.steps(row.submission.id).items()}
    try:
        steps = _read_steps(context, keys)
        state = str(row.verdict.code if row.verdict else row.state)
        expected = _content(
            context, row.submission, row.phase, state, receipt["versions"], steps, receipt["kind"]
        )
    except (DataError, UnavailableError, KeyError) as fault:
        message = f"no step {fault} is recorded" if isinstance(fault, KeyError) else str(fault)
        hint = "bring the bundle's .bundle/evaluation/ back from a backup"
        return [signature, Finding("damaged-step", ERROR, STORED_STEPS, message, hint)]
    return [signature, *compare_fields(receipt, expected)]


def check_scores(
    context: Context, engine: Engine, records: Records, receipt: dict[str, Any]
) -> list[Finding]:
    """Score the stored csv again, and compare the receipt's scores bit for bit.

    Args:
        context: Where it was evaluated.
        engine: Runs the scoring program.
        records: Give the csv.
        receipt: Of a submission whose record and csv are here; see check_stored.
    """
    key, _ = records.steps(receipt["submission"]["id"])["inference"]
    results = steps_dir(context.layout, "inference") / key / RESULTS_NAME
    findings = []
    for test_split in _splits_of(context, receipt["kind"]):
        folder = context.layout.evaluation / "work" / f"verify-{test_split}"
        remove_tree(folder)
        folder.mkdir(parents=True)
        try:
            score_again(context, engine, results, test_split, folder)
            content = (folder / SCORES_NAME).read_text(encoding="utf-8")
            now = keyed_digest(
                signing_key(context.layout), f"scores {test_split}", hash_file(folder / SCORES_NAME)
            )
        finally:
            remove_tree(folder)
        digest = receipt["digests"].get(f"scores_{test_split}", "")
        found = [
            *compare_fields({"scores.json": digest}, {"scores.json": now}),
            *compare_fields(receipt["scores"].get(test_split, {}), _shown_scores(content, receipt["kind"])),
        ]
        findings += [
            dataclasses.replace(finding, location=f"scored again, {test_split}: {finding.location}")
            for finding in found
        ]
    return findings


def _splits_of(context: Context, kind: str) -> list[str]:
    return [test_split for test_split in context.test_splits if kind == FULL or test_split != PRIVATE_SPLIT]


def _content(
    context: Context,
    submission: Submission,
    phase: str,
    verdict: str,
    versions: Mapping[str, str],
    steps: Mapping[str, StepRecord],
    kind: str,
) -> dict[str, Any]:
    """The fields of a receipt, from what is stored.

    What depends on the reference, or on which images are in the private split, is a keyed digest: a plain one
    would confirm anybody's correct guess. A public receipt also leaves out every channel through which a
    program could carry out what it has seen, or a made-up probability could reveal a class: measured
    resources, the plain digest of the csv, scores of probabilities.
    """
    key = signing_key(context.layout)
    built, inferred = steps["build"], steps["inference"]
    scored = {test_split: steps[f"scoring-{test_split}"] for test_split in _splits_of(context, kind)}
    zip_path = kept_zip(zips_dir(context.layout), submission.sha256)
    if not zip_path.is_file():
        raise DataError(
            "the kept copy of the zip is missing",
            zip_path,
            code="receipt-zip-missing",
            hint="bring it back from a backup",
        )
    return {
        "receipt": FORMAT,
        "kind": kind,
        "bundle": context.bundle.name,
        "phase": phase,
        "verdict": verdict,
        "submission": describe_submission(submission) | {"sha256": hash_file(zip_path)},
        "digests": {
            "image": str(inferred.facts["image"]),
            "results": inferred.files[RESULTS_NAME]
            if kind == FULL
            else keyed_digest(key, "results", inferred.files[RESULTS_NAME]),
            "testing_images": keyed_digest(key, "testing images", context.testing_sha256),
            "reference": keyed_digest(key, "reference", context.reference_sha256),
            "scoring_program": context.scoring_sha256,
            **{
                f"scores_{test_split}": keyed_digest(key, f"scores {test_split}", record.files[SCORES_NAME])
                for test_split, record in scored.items()
            },
        },
        "limits": {
            "inference": _limits(context, inferred, "inference"),
            "scoring": _limits(context, steps[f"scoring-{next(iter(context.test_splits))}"], "scoring"),
        },
        "resources": {
            "image_bytes": built.facts["image_bytes"],
            **(_measured(inferred, scored) if kind == FULL else {}),
        },
        "versions": dict(versions),
        "scores": {
            test_split: _shown_scores((record.folder / SCORES_NAME).read_text(encoding="utf-8"), kind)
            for test_split, record in scored.items()
        },
    }


def describe_submission(submission: Submission) -> dict[str, str]:
    """The fields of a receipt that identify a submission."""
    return {
        "id": submission.id,
        "sha256": submission.sha256,
        "team": submission.team,
        "method": submission.method,
        "file_name": submission.file_name,
        "received": format_time(submission.received),
    }


def _limits(context: Context, record: StepRecord, name: str) -> dict[str, Any]:
    """The limits that a step had; those of bundle.toml may have changed since."""
    return dict(record.facts.get("limits") or dataclasses.asdict(context.bundle.limits[name]))


def _measured(inferred: StepRecord, scored: Mapping[str, StepRecord]) -> dict[str, Any]:
    return {
        "inference_seconds": inferred.facts["seconds"],
        "inference_cpu_seconds": inferred.facts["cpu_seconds"],
        "inference_peak_memory_bytes": inferred.facts["peak_memory_bytes"],
        **{f"scoring_{test_split}_seconds": record.facts["seconds"] for test_split, record in scored.items()},
    }


def _shown_scores(content: str, kind: str) -> dict[str, int | float]:
    """The finite numbers of a scores.json; in a public receipt only the metrics that a board shows."""
    return {
        name: value
        for name, value in json.loads(content).items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (kind == FULL or name in METRICS)
    }


def _read_steps(context: Context, keys: Mapping[str, str]) -> dict[str, StepRecord]:
    """Read the records of a submission's steps.

    Raises:
        DataError: An output is missing or was changed.
        KeyError: A step is not recorded.
    """
    names = ["build", "inference", *(f"scoring-{test_split}" for test_split in context.test_splits)]
    return {
        name: read_record(steps_dir(context.layout, name.partition("-")[0]) / keys[name]) for name in names
    }
