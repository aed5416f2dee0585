"""An evaluation without an engine: its steps' outputs and records as containers would have left them."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from challenge_bundle.evaluation.context import Context, read_context, steps_dir, zips_dir
from challenge_bundle.evaluation.intake import Submission, kept_file
from challenge_bundle.evaluation.receipts import write_receipt
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.scoring import score
from challenge_bundle.evaluation.step_cache import StepRecord, do_once, make_key
from challenge_bundle.evaluation.step_sequence import scores_of
from challenge_bundle.evaluation.verdicts import SCORED, Verdict
from challenge_bundle.files import hash_file, write_csv
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.settings import read_manifest
from tests.conftest import write_image
from tests.fake_engine import FakeEngine

LIMITS = {"time_s": 6, "memory_mb": 256, "cpus": 1.0, "pids": 32, "output_mb": 8}
ENGINE = "Docker Engine 20.10"
MANIFEST = """
[bundle]
name = "tiny"

[evaluation]
public_share = 0.5
resamples = 100

[[phases]]
name = "development"
closes = 2026-06-01T00:00:00Z

[[phases]]
name = "final"
opens = 2026-06-01T00:00:00Z
part = "final"
"""


_roots: list[Path] = []


def scoring_engine() -> FakeEngine:
    """What scores here: the fake engine; its images serve all tests of a session."""
    if not _roots:
        _roots.append(Path(tempfile.mkdtemp(prefix="scoring-engine-")))
        atexit.register(shutil.rmtree, _roots[0], ignore_errors=True)
    return FakeEngine(_roots[0], ENGINE)


def make_context(root: Path, manifest: str = MANIFEST, images: int = 12, class_names: str = "AB") -> Context:
    """A bundle with testing images of several classes in turn, and their reference."""
    layout = Layout(root)
    names = [f"{number:03d}.png" for number in range(images)]
    for number, name in enumerate(names):
        write_image(layout.testing_data / name, number)
    rows = [(f"testing-data/{name}", class_names[n % len(class_names)]) for n, name in enumerate(names)]
    write_csv(layout.solution_csv("testing"), ("file", "class"), rows)
    layout.manifest.write_text(manifest)
    return read_context(read_manifest(layout.manifest), layout)


def reread(context: Context) -> Context:
    """The same bundle after a file of it was changed."""
    return read_context(read_manifest(context.layout.manifest), context.layout)


def open_records(context: Context) -> Records:
    """The bundle's records, where the commands look for them."""
    context.layout.evaluation.mkdir(parents=True, exist_ok=True)
    return Records(f"sqlite:///{context.layout.evaluation / 'records.sqlite'}")


def put_scored(
    context: Context,
    records: Records,
    number: int,
    answer_of: Mapping[str, str],
    phase: str = "development",
    team: str = "",
) -> Row:
    """Leave what a submission leaves that was taken in, built, run and scored."""
    content = b"PK %d" % number
    arrived = context.layout.root / f"{number}.zip"
    arrived.write_bytes(content)
    sha256 = hash_file(arrived)
    kept = kept_file(zips_dir(context.layout), sha256)
    kept.parent.mkdir(parents=True, exist_ok=True)
    arrived.replace(kept)
    received = datetime(2026, 3, number, tzinfo=UTC)
    submission = Submission(sha256, team or f"team {number}", "m", received, f"{number}.zip")
    records.add(submission, phase, None)
    image = f"sha256:{number:064x}"
    built = _step(
        context, "build", [sha256], lambda folder: {"tag": "t", "image": image, "image_bytes": 1000}
    )

    def infer(folder: Path) -> dict[str, Any]:
        header = ("file", "class", *(f"probability_{name}" for name in context.class_names))
        rows = [
            (
                file,
                answer,
                *(
                    "0.75" if name == answer else f"{0.25 / (len(context.class_names) - 1)}"
                    for name in context.class_names
                ),
            )
            for file, answer in sorted(answer_of.items())
        ]
        write_csv(folder / RESULTS_NAME, header, rows)
        facts = {"seconds": 1.5, "cpu_seconds": 1.25, "peak_memory_bytes": 2048, "limits": dict(LIMITS)}
        return {"image": image, "testing_images": context.testing_sha256, **facts}

    inferred = _step(context, "inference", [built.key, context.testing_sha256], infer)
    results = inferred.folder / RESULTS_NAME
    scored = score(context, scoring_engine(), results)
    steps = {"build": built, "inference": inferred, "scoring": scored}
    for name, record in steps.items():
        records.add_step(submission.id, name, record.key, 1.0)
    records.set_results(submission.id, inferred.files[RESULTS_NAME])
    records.add_scores(scores_of(context, submission.id, scored))
    write_receipt(context, records, submission, ENGINE, steps)
    records.set_state(submission.id, SCORED, Verdict(SCORED))
    return next(row for row in records.rows() if row.submission.id == submission.id)


def _step(
    context: Context, name: str, parts: list[Any], work: Callable[[Path], dict[str, Any]]
) -> StepRecord:
    return do_once(steps_dir(context.layout, name), make_key(name, *parts), work)


def wrong_in(context: Context, names: frozenset[str]) -> dict[str, str]:
    """Answers that are right but for these images."""
    other = dict(zip(context.class_names, (*context.class_names[1:], context.class_names[0]), strict=True))
    return {n: other[c] if n in names else c for n, c in context.reference.label_of.items()}
