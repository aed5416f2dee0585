"""Taking a stranger's zip: whose it is, when it came, and whether it may be built at all."""

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from challenge_bundle.errors import DataError, SubmissionError, UnavailableError, shown, without_controls
from challenge_bundle.evaluation.teams import clean_name
from challenge_bundle.evaluation.verdicts import MESSAGES, Refusal
from challenge_bundle.files import hash_file, replacing
from challenge_bundle.findings import Finding
from challenge_bundle.formats.submission_toml import KEYS
from challenge_bundle.guarded import run_guarded
from challenge_bundle.settings import Bundle, Phase, SubmissionSettings
from challenge_bundle.submission.build_rules import NO_RULES, BuildRules
from challenge_bundle.submission.check import check_submission

NAME_SEPARATOR = "__"
_CODES_OF_FINDINGS = {"base-image", "volume"}
"""Codes of findings in a zip that are also codes of verdicts; every other finding is reported as `zip`."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A zip that was taken in.

    Args:
        sha256: Of its bytes: what is computed of it is known by this.
        team: Who sent it, as it is shown; empty if it does not say.
        method: What it is called there; may be empty.
        received: When it came, UTC.
        file_name: As it came.
        entry: What its record is known by, where the same bytes have one of an earlier phase; else empty.
    """

    sha256: str
    team: str
    method: str
    received: datetime
    file_name: str
    entry: str = ""

    @property
    def id(self) -> str:
        """What its record is known by."""
        return self.entry or self.sha256


def find_zips(paths: tuple[Path, ...]) -> list[Path]:
    """List the zips that are given, those in given folders among them, by name.

    Raises:
        DataError: A path is not there, or a folder holds none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(
                file for file in path.iterdir() if file.suffix.lower() == ".zip" and file.is_file()
            )
            if not inside:
                raise DataError("holds no zip; give a folder of submissions, or the zips themselves", path)
            found += inside
        elif path.is_file() and path.suffix.lower() != ".zip":
            raise DataError("is no zip by its name; give zips, or a folder of them", path)
        elif path.is_file():
            found.append(path)
        else:
            raise DataError("no such file; give zips, or a folder of them", path)
    return found


def take_in(path: Path, zips_dir: Path, settings: SubmissionSettings) -> Submission:
    """Copy a zip to where nobody changes it any more, and read whose it is.

    One that is too large is not copied, for it is refused (see is_too_large).

    Args:
        path: As it came. Its time of modification counts as the time at which it was received.
        zips_dir: Where all zips are kept, named by their content.
        settings: Give the largest size.

    Raises:
        DataError: It is being written to.
    """
    sha256 = hash_file(path)
    kept = kept_zip(zips_dir, sha256)
    fits = not is_too_large(path, settings)
    if fits and not kept.exists():
        with replacing(kept) as temporary:
            shutil.copyfile(path, temporary)
            if hash_file(temporary) != sha256:
                raise DataError("changed while it was read; let its upload end, and try again", path)
    says_all = all(name_of(path.stem, {}))
    team, method = name_of(path.stem, read_card(kept, settings) if fits and not says_all else {})
    try:
        received = datetime.fromtimestamp(os.stat(path).st_mtime, UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise DataError("its time is none; correct it (touch), it counts as that of receipt", path) from None
    return Submission(sha256, team, method, received, without_controls(path.name))


def is_too_large(path: Path, settings: SubmissionSettings) -> bool:
    """Tell whether a zip is larger than the manifest lets it be."""
    return path.stat().st_size > settings.zip_mb * 2**20


def kept_zip(zips_dir: Path, sha256: str) -> Path:
    """Where a zip is kept."""
    return zips_dir / f"{sha256}.zip"


def read_card(path: Path, settings: SubmissionSettings) -> dict[str, str]:
    """Read `team` and `method` of a zip's submission.toml; what is not sound there counts as not there.

    Args:
        path: The zip.
        settings: Give the most files that a zip may have.
    """
    try:
        found = run_guarded(
            "challenge_bundle.submission.unpack:find_card",
            {"path": str(path.absolute()), "files": settings.files},
        )
        return {key: value for key, value in found[0].items() if key in KEYS and isinstance(value, str)}
    except (SubmissionError, IndexError, AttributeError):
        # Whatever is wrong with a participant's zip, the check says it.
        return {}


def name_of(stem: str, card: dict[str, str]) -> tuple[str, str]:
    """Tell team and method.

    The file's name counts first, for the organiser or the platform gave it, where a card can claim any team.

    Args:
        stem: Of the file as it came, `TEAM__METHOD` or anything else.
        card: See read_card.

    Returns:
        (team, method), either empty if nothing tells it.
    """
    team, separator, method = stem.partition(NAME_SEPARATOR)
    if separator and clean_name(team):
        return clean_name(team), clean_name(method) or clean_name(card.get("method", ""))
    return clean_name(card.get("team", "")), clean_name(card.get("method", ""))


def check_sender(path: Path, bundle: Bundle, moment: datetime, is_ruled: bool) -> list[Finding]:
    """Say what would be refused of a zip for whose it is, and when it comes.

    Args:
        path: The zip, under the name with which it would be sent.
        bundle: Gives the phases.
        moment: When it would come, UTC.
        is_ruled: Whether the organiser's rules are known here. Other platforms know the team by themselves.
    """
    team, _ = name_of(path.stem, read_card(path, bundle.submission))
    try:
        find_phase(team, moment, bundle.evaluation.phases)
    except Refusal as refusal:
        told, code = MESSAGES[refusal.verdict.code], refusal.verdict.code
        if code == "team":
            severity = "error" if is_ruled else "warning"
            return [Finding("finding", severity, path.name, told.text, told.cure)]
        opening = [phase.opens for phase in bundle.evaluation.phases if phase.opens and phase.opens > moment]
        when = f"send it after {min(opening):%Y-%m-%d %H:%M} UTC" if opening else "all phases are over"
        return [Finding("finding", "warning", path.name, "no phase is open now", when)]
    return []


def find_phase(team: str, received: datetime, phases: tuple[Phase, ...]) -> Phase:
    """The phase in which a team's submission counts.

    Raises:
        Refusal: It names no team, or no phase was open.
    """
    if not team:
        raise Refusal("team")
    return phase_at(phases, received)


def phase_at(phases: tuple[Phase, ...], received: datetime) -> Phase:
    """The phase that was open.

    Raises:
        Refusal: None was.
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
    """Refuse a zip for what `check` finds in it.

    Args:
        path: The zip that was kept.
        settings: What a submission may be.
        class_names: The challenge's classes.
        rules: How it is built.

    Raises:
        Refusal: With the findings: they are about the participant's own files.
        UnavailableError: The zip that was kept is not there.
    """
    if not path.exists():
        raise UnavailableError(f"{path}: not found, though it was taken in; let `evaluate` take it in again")
    findings = check_submission(path, settings, class_names, rules)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        # Known by its content here; the participant knows it by another name.
        lines = tuple(str(finding).replace(path.name, "the zip") for finding in errors)
        codes = {finding.code for finding in errors}
        # Of another process, which the zip may have taken over: no other code of a verdict is taken from it.
        code = codes.pop() if len(codes) == 1 and codes <= _CODES_OF_FINDINGS else "zip"
        raise Refusal(code, lines[:20])


def describe(submission: Submission) -> str:
    """Name a submission for the organiser."""
    name = f"{submission.team} / {submission.method}" if submission.method else submission.team
    return f"{name or shown(submission.file_name)} ({submission.sha256[:12]})"
