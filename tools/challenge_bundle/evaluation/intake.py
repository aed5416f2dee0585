"""Taking in a participant's zip or csv: who sent it, when it arrived, and whether it may be built at all."""

import os
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from challenge_bundle.errors import DataError, SubmissionError, UnavailableError, shown, without_controls
from challenge_bundle.evaluation.teams import clean_name
from challenge_bundle.evaluation.verdicts import MESSAGES, Refusal, verdict_of
from challenge_bundle.files import hash_file, replacing
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.submission_toml import KEYS
from challenge_bundle.guarded import run_guarded
from challenge_bundle.settings import CODE, PREDICTIONS, Bundle, Phase, SubmissionSettings
from challenge_bundle.submission.build_rules import NO_RULES, BuildRules
from challenge_bundle.submission.check import check_submission
from challenge_bundle.submission.predictions_alone import CSV, kind_of

NAME_SEPARATOR = "__"
MAX_SHOWN_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class Submission:
    """A zip or csv that was taken in.

    Args:
        sha256: Of its bytes; names everything that is computed from it.
        team: The team's name as it is shown; empty if the zip names none.
        method: The team's name for the submission; may be empty.
        received: When it arrived, UTC.
        file_name: The file's name when it arrived.
        entry: The id of its record if the same bytes already have a record in an earlier phase; else empty.
        kind: `code`, a program that is built and run, or `predictions` alone.
    """

    sha256: str
    team: str
    method: str
    received: datetime
    file_name: str
    entry: str = ""
    kind: str = CODE

    @property
    def id(self) -> str:
        """The id of its record."""
        return self.entry or self.sha256


def find_zips(paths: tuple[Path, ...]) -> list[Path]:
    """List the given zips and csvs, and those in the given folders, sorted by name.

    Raises:
        DataError: A path does not exist or is neither, or a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            # A csv with another name may be anything, such as a list of the submissions.
            inside = sorted(
                file
                for file in path.iterdir()
                if _is_taken(file) and file.is_file() and (NAME_SEPARATOR in file.stem or not _is_csv(file))
            )
            if not inside:
                raise DataError(
                    "the folder holds no zip, and no csv named TEAM__METHOD.csv",
                    path,
                    code="no-zips",
                    hint="give a folder of submissions, or the submissions themselves",
                )
            found += inside
        elif path.is_file() and not _is_taken(path):
            raise DataError(
                "expected a file named *.zip or *.csv",
                path,
                code="not-a-zip",
                hint="give zips, csvs of predictions, or a folder of them",
            )
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(
                "no such file or folder",
                path,
                code="no-such-file",
                hint="give zips, csvs of predictions, or a folder of them",
            )
    return found


def _is_taken(path: Path) -> bool:
    return path.suffix.lower() == ".zip" or _is_csv(path)


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == CSV


def take_in(path: Path, zips_dir: Path, settings: SubmissionSettings) -> Submission:
    """Copy a zip or csv to where nobody changes it any more, and read its kind, team and method.

    What is too large is not copied, since it is refused (see is_too_large).

    Args:
        path: The zip as it arrived. Its modification time counts as the time at which it was received.
        zips_dir: Where all zips are kept, named by their content.
        settings: Gives the largest size.

    Raises:
        DataError: The zip is still being written, or its modification time is invalid.
    """
    sha256 = hash_file(path)
    is_csv = _is_csv(path)
    kept = zips_dir / f"{sha256}{CSV if is_csv else '.zip'}"
    fits = not is_too_large(path, settings)
    if fits and not kept.exists():
        with replacing(kept) as temporary:
            shutil.copyfile(path, temporary)
            if hash_file(temporary) != sha256:
                raise DataError(
                    "changed while it was read",
                    path,
                    code="changed-while-read",
                    hint="wait until its upload ends, and try again",
                )
    is_complete = all(name_of(path.stem, {}))
    reads_card = fits and not is_complete and not is_csv
    team, method = name_of(path.stem, read_card(kept, settings) if reads_card else {})
    kind = PREDICTIONS if is_csv else kind_of(kept, settings) if fits else CODE
    try:
        received = datetime.fromtimestamp(os.stat(path).st_mtime, UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise DataError(
            "the file's modification time, which counts as the time of receipt, is invalid",
            path,
            code="invalid-time",
            hint="set it with `touch`",
        ) from None
    return Submission(sha256, team, method, received, without_controls(path.name), kind=kind)


def is_too_large(path: Path, settings: SubmissionSettings) -> bool:
    """Whether a zip is larger than `submission.zip_mb` of bundle.toml."""
    return path.stat().st_size > settings.zip_mb * 2**20


def kept_file(zips_dir: Path, sha256: str) -> Path:
    """Path of the kept copy of a zip or csv; that of a zip where there is none."""
    path = zips_dir / f"{sha256}{CSV}"
    return path if path.is_file() else zips_dir / f"{sha256}.zip"


def read_card(path: Path, settings: SubmissionSettings) -> dict[str, str]:
    """Read `team` and `method` of a zip's submission.toml; an invalid value counts as absent.

    Args:
        path: The zip.
        settings: Gives the largest number of files in a zip.
    """
    try:
        found = run_guarded(
            "challenge_bundle.submission.unpack:find_card",
            {"path": str(path.absolute()), "files": settings.files},
        )
        return {key: value for key, value in found[0].items() if key in KEYS and isinstance(value, str)}
    except (SubmissionError, IndexError, AttributeError):
        # Whatever is wrong with the zip, check_zip reports it.
        return {}


def name_of(stem: str, card: dict[str, str]) -> tuple[str, str]:
    """Choose team and method.

    The file's name takes precedence: the organiser or the platform gave it, while a card can claim any team.

    Args:
        stem: Of the file's name when it arrived, `TEAM__METHOD` or anything else.
        card: See read_card.

    Returns:
        (team, method), each empty if neither the name nor the card gives it.
    """
    team, separator, method = stem.partition(NAME_SEPARATOR)
    if separator and clean_name(team):
        return clean_name(team), clean_name(method) or clean_name(card.get("method", ""))
    return clean_name(card.get("team", "")), clean_name(card.get("method", ""))


def check_sender(path: Path, bundle: Bundle, moment: datetime, is_ruled: bool) -> list[Finding]:
    """Find out whether a zip would be refused for its team or the time at which it is sent.

    Args:
        path: The zip, under the name with which it would be sent.
        bundle: Gives the phases.
        moment: When it would be received, UTC.
        is_ruled: Whether the organiser's rules are known here. Other platforms know the team already, so that
            a missing name is a warning there.
    """
    team, _ = name_of(path.stem, read_card(path, bundle.submission))
    try:
        find_phase(team, moment, bundle.evaluation.phases)
    except Refusal as refusal:
        if refusal.verdict.code == "team":
            severity = ERROR if is_ruled else WARNING
            return [replace(MESSAGES["team"], severity=severity, location=path.name)]
        opening = [phase.opens for phase in bundle.evaluation.phases if phase.opens and phase.opens > moment]
        if not opening:
            return [Finding("phases-over", WARNING, path.name, "all phases are over")]
        hint = f"send it after {min(opening):%Y-%m-%d %H:%M} UTC"
        return [Finding("no-open-phase", WARNING, path.name, "no phase is open now", hint)]
    return []


def find_phase(team: str, received: datetime, phases: tuple[Phase, ...]) -> Phase:
    """The phase in which a team's submission counts.

    Raises:
        Refusal: The submission names no team, or no phase was open.
    """
    if not team:
        raise Refusal("team")
    return phase_at(phases, received)


def phase_at(phases: tuple[Phase, ...], received: datetime) -> Phase:
    """The phase that was open.

    Raises:
        Refusal: No phase was open.
    """
    for phase in phases:
        if phase.is_open(received):
            return phase
    raise Refusal("closed")


def check_zip(
    path: Path,
    settings: SubmissionSettings,
    class_names: tuple[str, ...],
    rules: BuildRules = NO_RULES,
) -> None:
    """Refuse a zip in which `check` finds an error.

    Args:
        path: The kept copy of the zip.
        settings: The limits of a submission.
        class_names: The challenge's classes or labels: a submission's model.json may name no others.
        rules: How submissions are built.

    Raises:
        Refusal: With the findings: they are about the participant's own files.
        UnavailableError: The kept copy is missing.
    """
    if not path.exists():
        raise UnavailableError(
            "the kept copy of the zip is missing",
            path,
            code="missing-kept-zip",
            hint="give `evaluate` the zip again",
        )
    findings = check_submission(path, settings, class_names, rules)
    errors = [finding for finding in findings if finding.severity == ERROR]
    if errors:
        # The kept copy is named by its content; the participant knows the zip by another name.
        lines = tuple(
            str(replace(finding, location="the zip") if finding.location == path.name else finding)
            for finding in errors[:MAX_SHOWN_FINDINGS]
        )
        verdicts = {verdict_of(finding.code) for finding in errors}
        raise Refusal(verdicts.pop() if len(verdicts) == 1 else "zip", lines)


def describe(submission: Submission) -> str:
    """Team, method and the start of the SHA-256, for the organiser."""
    name = f"{submission.team} / {submission.method}" if submission.method else submission.team
    return f"{name or shown(submission.file_name)} ({submission.sha256[:12]})"
