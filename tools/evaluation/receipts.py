"""The receipt of an evaluation: what was evaluated with what, so that anyone can see it come out the same."""

import dataclasses
import importlib.metadata
import json
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import DataError
from tools.evaluation.intake import Submission, kept_zip
from tools.evaluation.records import Records, format_time
from tools.evaluation.site import Site, steps_dir, zips_dir
from tools.evaluation.steps import StepRecord, make_key, read_record
from tools.evaluation.work import score_anew
from tools.files import hash_file, remove_tree, write_text
from tools.layout import RESULTS_NAME, Layout
from tools.runners.docker import DockerRunner

FORMAT = 1
SCORES_NAME = "scores.json"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was compared.

    Args:
        what: Of the receipt.
        good: Whether it is the same now.
        found: What it is now, where it is not.
    """

    what: str
    good: bool
    found: str = ""


def receipt_path(layout: Layout, submission: str) -> Path:
    """Where a submission's receipt lies."""
    return layout.evaluation / "receipts" / f"{submission}.json"


def write_receipt(
    site: Site,
    submission: Submission,
    engine: str,
    built: StepRecord,
    inferred: StepRecord,
    scored: dict[str, StepRecord],
) -> None:
    """Write the receipt of a submission that was scored.

    Args:
        site: Where it was evaluated.
        submission: The submission.
        engine: The engine's name and version.
        built: What its build left.
        inferred: What its inference left.
        scored: What its scoring left, by part.
    """
    receipt = {
        "receipt": FORMAT,
        "bundle": site.bundle.name,
        "submission": describe_submission(submission),
        "digests": {
            "image": inferred.facts["image"],
            "results": inferred.files[RESULTS_NAME],
            **{f"scores_{part}": record.files[SCORES_NAME] for part, record in scored.items()},
            **site_digests(site),
        },
        "steps": {
            "build": built.key,
            "inference": inferred.key,
            **{f"scoring_{part}": record.key for part, record in scored.items()},
        },
        "limits": {name: dataclasses.asdict(site.bundle.limits[name]) for name in ("inference", "scoring")},
        "resources": {
            "image_bytes": built.facts["image_bytes"],
            "inference_seconds": inferred.facts["seconds"],
            "inference_cpu_seconds": inferred.facts["cpu_seconds"],
            "inference_peak_memory_bytes": inferred.facts["peak_memory_bytes"],
            **{f"scoring_{part}_seconds": record.facts["seconds"] for part, record in scored.items()},
        },
        "versions": {
            "challenge-bundle": importlib.metadata.version("challenge-bundle"),
            "python": platform.python_version(),
            "engine": engine,
        },
        "scores": {
            part: {
                key: value
                for key, value in json.loads(
                    (record.folder / SCORES_NAME).read_text(encoding="utf-8")
                ).items()
                if isinstance(value, float)
            }
            for part, record in scored.items()
        },
    }
    write_text(receipt_path(site.layout, submission.id), json.dumps(receipt, indent=2) + "\n")


def describe_submission(submission: Submission) -> dict[str, str]:
    """What a receipt says of whose a zip is."""
    return {
        "id": submission.id,
        "sha256": submission.sha256,
        "team": submission.team,
        "method": submission.method,
        "file_name": submission.file_name,
        "received": format_time(submission.received),
    }


def site_digests(site: Site) -> dict[str, str]:
    """Digests of what all submissions are evaluated with.

    That of the reference is a digest of its digest: the plain one decides which image is in which part.
    """
    return {
        "testing_images": site.testing_sha256,
        "reference": make_key("reference", site.reference_sha256),
        "scoring_program": site.scoring_sha256,
    }


def renew_receipt(site: Site, submission: Submission, engine: str, steps: dict[str, str]) -> None:
    """Write a receipt anew after its csv was scored again.

    Args:
        site: Where it was evaluated.
        submission: The submission.
        engine: The engine's name and version.
        steps: Keys of its steps, by name, and of its scoring, as `scoring-PART`.
    """
    built = read_record(steps_dir(site.layout, "build") / steps["build"])
    inferred = read_record(steps_dir(site.layout, "inference") / steps["inference"])
    scored = {
        part: read_record(steps_dir(site.layout, "scoring") / steps[f"scoring-{part}"]) for part in site.parts
    }
    write_receipt(site, submission, engine, built, inferred, scored)


def read_receipt(path: Path) -> dict[str, Any]:
    """Read a receipt.

    Raises:
        DataError: It is not one.
    """
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
        if receipt["receipt"] != FORMAT:
            raise ValueError(f"format {receipt['receipt']!r}")
        texts = [
            receipt["submission"]["sha256"],
            receipt["steps"]["inference"],
            receipt["digests"]["results"],
        ]
        if not all(re.fullmatch(r"[0-9a-f]{64}", text) for text in texts):
            raise ValueError("a digest is not one")
        receipt["submission"]["id"], dict(receipt["scores"])
    except FileNotFoundError:
        raise DataError("no such file; receipts lie in .bundle/evaluation/receipts/", path) from None
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise DataError(
            "not a receipt of this tool; receipts lie in .bundle/evaluation/receipts/", path
        ) from fault
    return dict(receipt)


def verify(site: Site, records: Records, runner: DockerRunner, receipt: dict[str, Any]) -> list[Check]:
    """Score the stored csv again, and compare all that the receipt says.

    Args:
        site: Where it was evaluated.
        records: What is known of the submission.
        runner: Runs the scoring program.
        receipt: See read_receipt.

    Returns:
        What was compared; all of it is good where nothing changed.
    """
    digests, sha256 = receipt["digests"], receipt["submission"]["sha256"]
    results = steps_dir(site.layout, "inference") / receipt["steps"]["inference"] / RESULTS_NAME
    found = {
        "the zip": (sha256, _digest(kept_zip(zips_dir(site.layout), sha256))),
        "the csv": (digests["results"], _digest(results)),
        **{name.replace("_", " "): (digests.get(name, ""), now) for name, now in site_digests(site).items()},
    }
    checks = [Check(what, then == now, now) for what, (then, now) in found.items()]
    rows = [row for row in records.rows() if row.submission.id == receipt["submission"]["id"]]
    recorded = describe_submission(rows[0].submission) if rows else {}
    for name, value in receipt["submission"].items():
        now = recorded.get(name, "not recorded")
        checks.append(Check(f"submission, {name.replace('_', ' ')}", value == now, now))
    if _digest(results) != digests["results"]:
        return checks
    for part in site.parts:
        folder = site.layout.evaluation / "work" / f"verify-{part}"
        remove_tree(folder)
        folder.mkdir(parents=True)
        score_anew(site, runner, results, part, folder)
        now = hash_file(folder / SCORES_NAME)
        checks.append(Check(f"scores.json of part '{part}'", digests.get(f"scores_{part}") == now, now))
        stored = receipt["scores"].get(part)
        again = json.loads((folder / SCORES_NAME).read_text(encoding="utf-8"))
        differing = [key for key, value in (stored or {}).items() if again.get(key) != value]
        checks.append(
            Check(f"scores of part '{part}'", stored is not None and not differing, ", ".join(differing))
        )
        remove_tree(folder)
    return checks


def _digest(path: Path) -> str:
    return hash_file(path) if path.is_file() else "not there"
