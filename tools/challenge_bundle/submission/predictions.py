"""A participant's predictions, judged by the scoring program's own check: nothing here reads them."""

import contextlib
import io
import json
import os
import runpy
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from challenge_bundle.dataset.consistency import check_together
from challenge_bundle.dataset.placed import names_in
from challenge_bundle.dataset.summary import known_task
from challenge_bundle.errors import DataError, SubmissionError
from challenge_bundle.findings import NOTE, Finding
from challenge_bundle.formats.task_json import task_text
from challenge_bundle.guarded import At, ReadLimits, find_guarded, listed
from challenge_bundle.layout import RESULTS_NAME, TASK_NAME, Layout
from challenge_bundle.runs.programs import SCORING
from challenge_bundle.settings import Bundle

_IMAGES_A_SECOND = 20_000
_IMAGES_A_MB = 500
_FINDINGS_NAME, _NAMES_NAME = "findings.json", "cases.csv"
"""What the scoring program's `--check` reads and writes."""


def check_predictions(path: Path, bundle: Bundle, layout: Layout) -> tuple[int, list[Finding]]:
    """Find what the scoring program would refuse of a csv of predictions; the reference is not needed.

    The scoring program's `--check` runs in a process of its own, with limits: who checks what others sent is
    as safe as who checks one's own.

    Args:
        path: The csv.
        bundle: Gives the task.
        layout: Where the testing images and the scoring program are.

    Returns:
        (number of cases, findings)

    Raises:
        DataError: No testing images, task or scoring program to check it with.
    """
    if not path.exists():
        raise SubmissionError(
            "no such file", path, code="no-such-file", hint="give a zip made by `zip`, or a results csv"
        )
    check_together(layout)
    names = names_in(layout.testing_data)
    task = known_task(bundle, layout)
    if not names or task is None:
        raise DataError(
            "no testing images to check against",
            layout.testing_data,
            code="images-missing",
            hint="run `data import` first",
        )
    program = layout.program_dir(SCORING.folder) / SCORING.script
    if not program.is_file():
        raise DataError("not found; it checks predictions", program, code="no-scoring-program")
    with TemporaryDirectory(prefix="check-") as folder:
        reference, results = Path(folder) / "ref", Path(folder) / "res"
        for made in (reference, results):
            made.mkdir()
        (reference / TASK_NAME).write_text(task_text(task), encoding="utf-8")
        _write_names(reference / _NAMES_NAME, names)
        shutil.copyfile(path, results / RESULTS_NAME)
        size_mb = path.stat().st_size // 2**20 + 1
        limits = ReadLimits(
            cpu_s=20 + len(names) // _IMAGES_A_SECOND + 2 * size_mb,
            memory_mb=1024 + len(names) // _IMAGES_A_MB + 40 * size_mb,
        )
        found = find_guarded(
            "challenge_bundle.submission.predictions:run_check",
            {"program": str(program.absolute()), "folder": folder},
            path.name,
            limits,
        )
    return len(names), [replace(finding, location=str(path)) for finding in found]


def run_check(program: str, folder: str) -> Iterator[At | list[str | int | None]]:
    """Run a scoring program's `--check`, and yield its findings; for a guarded process."""
    yield At(RESULTS_NAME)
    # One thread: under the limits more cannot be started, and a csv needs no more.
    os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    # Its reader of plain csvs reserves more memory than the limit; the scoring program goes without.
    sys.modules["pyarrow"] = None  # type: ignore[assignment]
    sys.path.insert(0, str(Path(program).parent))
    output = Path(folder) / "output"
    sys.argv = [program, "--check", folder, str(output)]
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        runpy.run_path(program, run_name="__main__")
    if not (output / _FINDINGS_NAME).exists():
        what = "cannot be checked: the scoring program has no --check"
        yield listed(Finding("scoring-without-check", NOTE, RESULTS_NAME, what))
        return
    for one in json.loads((output / _FINDINGS_NAME).read_text(encoding="utf-8")):
        yield listed(Finding(**{**one, "location": RESULTS_NAME}))


def _write_names(path: Path, names: set[str]) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened, lineterminator="\n").writerows([["file"], *([name] for name in sorted(names))])
