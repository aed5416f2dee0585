"""Predictions alone as a submission: a csv, or a zip that holds one and nothing to be built."""

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from challenge_bundle.engines.build_context import DOCKERFILE
from challenge_bundle.errors import SubmissionError
from challenge_bundle.formats.submission_toml import CARD_NAME
from challenge_bundle.guarded import Exceeded, ReadLimits, run_guarded
from challenge_bundle.settings import CODE, PREDICTIONS, SubmissionSettings
from challenge_bundle.submission.unpack import has_too_many_files

CSV = ".csv"
_CHUNK_BYTES = 1 << 20
_UNPACKED_MB_A_SECOND = 50
_HINT = "give the csv itself, or a zip that holds only the csv"


def kind_of(path: Path, settings: SubmissionSettings) -> str:
    """What a submission is: `predictions` for a csv, or a zip with nothing else in it; `code` for the rest.

    Args:
        path: The zip or csv.
        settings: Give the largest number of files in a zip.
    """
    if path.suffix.lower() == CSV:
        return PREDICTIONS
    arguments = {"path": str(path.absolute()), "files": settings.files}
    try:
        found = run_guarded("challenge_bundle.submission.predictions_alone:find_csv", arguments)
    except SubmissionError:
        # Whatever is wrong with the zip, its check reports it.
        return CODE
    return PREDICTIONS if found else CODE


def copy_predictions(path: Path, target: Path, limit_mb: int) -> None:
    """Copy the predictions out of what was submitted.

    Args:
        path: The zip or csv.
        target: Gets the csv.
        limit_mb: The largest size, 2**20 bytes.

    Raises:
        SubmissionError: There are none, or they are larger.
    """
    if path.suffix == CSV:
        if path.stat().st_size > limit_mb * 2**20:
            raise _too_large(path, limit_mb)
        shutil.copyfile(path, target)
        return
    seconds = 10 + limit_mb // _UNPACKED_MB_A_SECOND
    limits = ReadLimits(cpu_s=seconds, wall_s=30.0 * seconds, file_mb=limit_mb + 1)
    arguments = {"path": str(path.absolute()), "target": str(target.absolute()), "limit_mb": limit_mb}
    try:
        run_guarded("challenge_bundle.submission.predictions_alone:unpack_csv", arguments, limits)
    except Exceeded as fault:
        raise SubmissionError(
            f"the csv cannot be unpacked: {fault.finding.message}", path, code="no-predictions", hint=_HINT
        ) from None


def find_csv(path: str, files: int) -> Iterator[str]:
    """Yield the name of a zip's csv, if it holds no other file but a submission.toml."""
    if has_too_many_files(Path(path), SubmissionSettings(files=files)):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.filename for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return
    found = [name for name in names if name != CARD_NAME]
    if len(found) == 1 and found[0] != DOCKERFILE and found[0].lower().endswith(CSV):
        yield found[0]


def unpack_csv(path: str, target: str, limit_mb: int) -> Iterator[None]:
    """Write a zip's csv to a file; see copy_predictions."""
    name = next(find_csv(path, SubmissionSettings().files), None)
    if name is None:
        raise SubmissionError("the zip holds no csv alone", Path(path), code="no-predictions", hint=_HINT)
    left = limit_mb * 2**20
    with zipfile.ZipFile(path) as archive, archive.open(name) as opened, Path(target).open("wb") as out:
        while chunk := opened.read(_CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise _too_large(Path(path), limit_mb)
            out.write(chunk)
    yield None


def _too_large(path: Path, limit_mb: int) -> SubmissionError:
    return SubmissionError(
        f"the predictions are larger than {limit_mb} MB",
        path,
        code="predictions-too-large",
        hint="write one short row per case",
    )
