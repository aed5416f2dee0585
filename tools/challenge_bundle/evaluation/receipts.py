"""The receipt of an evaluation: a signed record that can be compared with what is stored."""

import dataclasses
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from challenge_bundle.engines.base import Engine
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.evaluation.context import Context, steps_dir, zips_dir
from challenge_bundle.evaluation.intake import Submission, kept_file
from challenge_bundle.evaluation.records import Records, Row, format_time
from challenge_bundle.evaluation.scoring import PRIVATE_NAMES, SCORES_NAME, score_again
from challenge_bundle.evaluation.signing import is_signed, keyed_digest, sign, signing_key
from challenge_bundle.evaluation.step_cache import StepRecord, read_record
from challenge_bundle.evaluation.stored_scores import board_metrics, results_of
from challenge_bundle.evaluation.verdicts import SCORED, Refusal
from challenge_bundle.files import hash_file, remove_tree, write_text
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.formats.receipt import FORMAT, FULL, HINT, PUBLIC, compare_fields, read_receipt, same
from challenge_bundle.formats.scores import score_names
from challenge_bundle.layout import RESULTS_NAME, Layout

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

SCORING_STEP = "scoring"
PRIVATE_SPLIT = "final"
FORMER_METRICS = (
    "weighted_f1",
    "weighted_precision",
    "weighted_recall",
    "macro_f1",
    "macro_precision",
    "macro_recall",
    "accuracy",
)
"""What a public receipt of version 0.1 shows."""

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
        steps: Records of its steps: `build` and `inference`, or `predictions`; and `scoring` (of version 0.1,
            a `scoring-SPLIT` for each split of the test set).
    """
    key = signing_key(context.layout)
    for kind in (FULL, PUBLIC):
        document = sign(key, _content(context, submission, phase, SCORED, versions, steps, kind))
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        write_text(receipt_path(context.layout, submission.id, kind), text, private=kind == FULL)


def write_receipt(
    context: Context, records: Records, submission: Submission, engine: str, steps: Mapping[str, StepRecord]
) -> None:
    """Write the receipts of a submission that was scored just now.

    Args:
        context: Where it was evaluated.
        records: Give its phase.
        submission: The submission.
        engine: The engine's name and version.
        steps: Records of its steps; see write_receipts.
    """
    phase = next(row.phase for row in records.rows() if row.submission.id == submission.id)
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
    row = next(row for row in records.rows() if row.submission.id == receipt["submission"]["id"])
    folder = context.layout.evaluation / "work" / "verify"
    findings = []
    try:
        remove_tree(folder)
        folder.mkdir(parents=True)
        score_again(context, engine, results_of(context, records, row), folder)
        for test_split in _splits_of(context, receipt["kind"]):
            path = folder / test_split / SCORES_NAME
            content = path.read_text(encoding="utf-8")
            now = keyed_digest(signing_key(context.layout), f"scores {test_split}", hash_file(path))
            digest = receipt["digests"].get(f"scores_{test_split}", "")
            is_of_now = SCORING_STEP in records.steps(row.submission.id)
            shown_now = _shown_scores(context, content, receipt["kind"], is_of_now)
            found = [
                *compare_fields({"scores.json": digest}, {"scores.json": now}),
                *compare_fields(receipt["scores"].get(test_split, {}), shown_now),
            ]
            findings += [
                dataclasses.replace(finding, location=f"scored again, {test_split}: {finding.location}")
                for finding in found
            ]
    except Refusal as refusal:
        what = f"the scoring program refuses the predictions now: {refusal.verdict}"
        return [Finding("receipt-differs", ERROR, "scored again", what, HINT)]
    finally:
        remove_tree(folder)
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
    program could carry out what it has seen, or a made-up probability could reveal the reference: measured
    resources, the plain digest of the csv, scores of probabilities.
    """
    key = signing_key(context.layout)
    scores = {name: _scores_path(steps, name) for name in _splits_of(context, kind)}
    kept = kept_file(zips_dir(context.layout), submission.sha256)
    if not kept.is_file():
        raise DataError(
            "the kept copy of the submission is missing",
            kept,
            code="receipt-zip-missing",
            hint="bring it back from a backup",
        )
    return {
        "receipt": FORMAT,
        "kind": kind,
        "bundle": context.bundle.name,
        "phase": phase,
        "verdict": verdict,
        "submission": describe_submission(submission) | {"sha256": hash_file(kept)},
        "digests": {
            **_digests_of_run(steps, kind, key),
            "testing_images": keyed_digest(key, "testing images", context.testing_sha256),
            "reference": keyed_digest(key, "reference", context.reference_sha256),
            "scoring_program": context.scoring_sha256,
            **{
                f"scores_{test_split}": keyed_digest(key, f"scores {test_split}", hash_file(path))
                for test_split, path in scores.items()
            },
            **(_private_digests(steps, key) if kind == FULL else {}),
        },
        "limits": _limits(context, steps),
        "resources": _resources(steps, kind),
        "versions": dict(versions),
        "scores": {
            test_split: _shown_scores(context, path.read_text(encoding="utf-8"), kind, SCORING_STEP in steps)
            for test_split, path in scores.items()
        },
    }


def _scores_path(steps: Mapping[str, StepRecord], test_split: str) -> Path:
    """The scores.json of a split; version 0.1 has a step for each.

    Raises:
        KeyError: There is no step that scored it.
    """
    if SCORING_STEP in steps:
        return steps[SCORING_STEP].folder / test_split / SCORES_NAME
    return steps[f"{SCORING_STEP}-{test_split}"].folder / SCORES_NAME


def _digests_of_run(steps: Mapping[str, StepRecord], kind: str, key: "Ed25519PrivateKey") -> dict[str, str]:
    """The image that ran, unless the predictions came alone, and what it wrote."""
    ran = steps.get("inference") or steps["predictions"]
    results = ran.files[RESULTS_NAME]
    return {
        **({"image": str(ran.facts["image"])} if "inference" in steps else {}),
        "results": results if kind == FULL else keyed_digest(key, "results", results),
    }


def _private_digests(steps: Mapping[str, StepRecord], key: "Ed25519PrivateKey") -> dict[str, str]:
    """Keyed digests of what scoring wrote for the organiser alone, by split and file."""
    files = steps[SCORING_STEP].files if SCORING_STEP in steps else {}
    return {
        name: keyed_digest(key, name, sha256)
        for name, sha256 in files.items()
        if name.rpartition("/")[2] in PRIVATE_NAMES
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


def _limits(context: Context, steps: Mapping[str, StepRecord]) -> dict[str, Any]:
    """The limits that the steps had; those of bundle.toml may have changed since."""
    records = {name.partition("-")[0]: record for name, record in steps.items()}
    return {
        name: dict(records[name].facts.get("limits") or dataclasses.asdict(context.bundle.limits[name]))
        for name in ("inference", SCORING_STEP)
        if name in records
    }


def _resources(steps: Mapping[str, StepRecord], kind: str) -> dict[str, Any]:
    """What was measured; what a program's run took is a channel out of it, and so not public."""
    found = {"image_bytes": steps["build"].facts["image_bytes"]} if "build" in steps else {}
    if kind == PUBLIC:
        return found
    if "inference" in steps:
        names = ("seconds", "cpu_seconds", "peak_memory_bytes")
        found |= {f"inference_{name}": steps["inference"].facts[name] for name in names}
    return found | {
        f"{name.replace('-', '_')}_seconds": record.facts["seconds"]
        for name, record in steps.items()
        if name.startswith(SCORING_STEP)
    }


def _shown_scores(
    context: Context, content: str, kind: str, is_of_now: bool = True
) -> dict[str, int | float]:
    """The finite numbers of a scores.json; in a public receipt only the metrics that have a board.

    Args:
        context: Gives the metrics that have a board.
        content: Of scores.json.
        kind: Of the receipt.
        is_of_now: False for the scores of version 0.1, whose boards showed all of FORMER_METRICS.
    """
    scores = json.loads(content)
    names = score_names(scores)
    if kind == PUBLIC:
        public = board_metrics(context, scores) if is_of_now else FORMER_METRICS
        names = [name for name in names if name in public]
    return {name: scores[name] for name in names}


def _read_steps(context: Context, keys: Mapping[str, str]) -> dict[str, StepRecord]:
    """Read the records of a submission's steps.

    Raises:
        DataError: An output is missing or was changed.
        KeyError: A step is not recorded.
    """
    ran = ["predictions"] if "predictions" in keys else ["build", "inference"]
    former = [f"{SCORING_STEP}-{test_split}" for test_split in context.test_splits]
    names = [*ran, *([SCORING_STEP] if SCORING_STEP in keys or not keys.keys() >= set(former) else former)]
    return {
        name: read_record(steps_dir(context.layout, name.partition("-")[0]) / keys[name]) for name in names
    }
