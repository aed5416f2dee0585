"""The messages that a participant can get: a closed list, so that none carries hidden data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from challenge_bundle.findings import ERROR, NOTE, Finding
from challenge_bundle.formats.listed_findings import Listed
from challenge_bundle.layout import RESULTS_NAME

SCORED = "scored"

_FINDINGS = (
    Finding("scored", NOTE, "", "evaluated and scored"),
    Finding(
        "dropped",
        ERROR,
        "",
        "withdrawn by the organiser; it has no rank and does not count towards the daily limit",
        "ask the organiser why",
    ),
    Finding(
        "closed",
        ERROR,
        "",
        "received when no phase was open",
        "submit again between the opening and the closing of a phase",
    ),
    Finding(
        "quota",
        ERROR,
        "",
        "the team has already used its {quota} submissions of that day (UTC)",
        "submit again on another day",
    ),
    Finding(
        "team",
        ERROR,
        "",
        "the submission names no team",
        'make it with `zip --team "YOUR TEAM"`, or name the file TEAM__METHOD.zip',
    ),
    Finding(
        "zip",
        ERROR,
        "",
        "the zip cannot be built; the findings follow",
        "run `check` on the zip, and fix what it reports",
    ),
    Finding(
        "base-image",
        ERROR,
        "",
        "the Dockerfile builds on an image that is not a base image of this challenge",
        "build on one of the challenge's base images",
    ),
    Finding(
        "no-base-image",
        ERROR,
        "",
        "an image that the Dockerfile builds on is not available to the evaluation",
        "build on one of the challenge's base images",
    ),
    Finding("volume", ERROR, "", "the image declares a volume", "remove VOLUME from the Dockerfile"),
    Finding(
        "build-failed",
        ERROR,
        "",
        "the image cannot be built; the end of the build's output follows",
        "run `docker build .` on the unpacked zip, with the network setting of the challenge",
    ),
    Finding(
        "build-time", ERROR, "", "the build took longer than {limit} s", "do less work in the Dockerfile"
    ),
    Finding("build-size", ERROR, "", "the image is larger than {limit} MB", "install and copy less"),
    Finding(
        "cannot-start",
        ERROR,
        "",
        "the image's program cannot be started",
        "run the image with --read-only, --network none and a user that is not root",
    ),
    Finding("time", ERROR, "", "inference took longer than {limit} s", "compute less for each image"),
    Finding(
        "memory",
        ERROR,
        "",
        "inference used more memory than {limit} MB",
        "use smaller batches or a smaller model",
    ),
    Finding(
        "output",
        ERROR,
        "",
        "inference wrote more than {limit} MB, too many files or too deep folders",
        "write classification_results.csv alone",
    ),
    Finding(
        "disk",
        ERROR,
        "",
        "inference filled the disk",
        "write classification_results.csv alone, and keep no removed file open",
    ),
    Finding(
        "failed",
        ERROR,
        "",
        "inference ended with exit status {status}",
        "run the image on your own images, with the limits of the challenge",
    ),
    Finding(
        "no-results",
        ERROR,
        "",
        "inference ended with exit status 0 but wrote no classification_results.csv",
        "write it into the second folder, /mnt/out",
    ),
    Finding(
        "not-a-file",
        ERROR,
        RESULTS_NAME,
        "expected a regular file, but got a link, a folder or a device",
        "write a regular file",
    ),
    Finding(
        "kind",
        ERROR,
        "",
        "the phase takes no submissions of this kind",
        "see the rules of the challenge: whether programs or predictions are taken",
    ),
    Finding(
        "predictions",
        ERROR,
        RESULTS_NAME,
        "the scoring program cannot read the predictions",
        "write them as the challenge describes them",
    ),
    Finding(
        "no-predictions",
        ERROR,
        "",
        "the submission holds no predictions that can be read",
        "give the csv itself, or a zip that holds only the csv",
    ),
    Finding(
        "predictions-too-large",
        ERROR,
        RESULTS_NAME,
        "the predictions are larger than {limit} MB, or than could be scored",
        "write one short row per case",
    ),
    # What was wrong with a csv is the scoring program's to say now; databases of former versions hold these.
    Finding(
        "csv-unsound",
        ERROR,
        RESULTS_NAME,
        "not a valid table with one row per image",
        "write UTF-8, the header file,class, then each image once, with as many values as the header has",
    ),
    Finding(
        "csv-unknown-class",
        ERROR,
        RESULTS_NAME,
        "the class is not one of the challenge's classes",
        "write the class names exactly as the challenge gives them",
    ),
    Finding(
        "csv-unknown-image",
        ERROR,
        RESULTS_NAME,
        "the row names no image of the test set",
        "write the name of the image as it is in /mnt/in",
    ),
    Finding(
        "csv-missing",
        ERROR,
        RESULTS_NAME,
        "{missing} images of the test set have no row",
        "write one row per image",
    ),
)

MESSAGES: Mapping[str, Finding] = {finding.code: finding for finding in _FINDINGS}
"""By code. A message has the names of its numbers in braces; nothing else is ever put into one."""

WAITING_TEXT = "not evaluated yet, for a reason outside the submission; nothing to do"
"""The message for a submission whose evaluation has not ended."""

LINE = "line"
"""The number that is shown as the finding's row."""


_CODES_OF_FINDINGS = frozenset({"base-image", "volume"})
"""Codes of findings in a zip that are also codes of verdicts; every other finding gives the verdict `zip`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a submission ended; stored as these fields in the records and in the steps.

    Args:
        code: One of MESSAGES, or of the scoring program's own list.
        numbers: The numbers that its message names, and the line of the csv.
        lines: What is shown below the message: findings in the participant's own zip, or filtered output.
        message: Of a code of the scoring program's list; else empty.
        hint: Likewise.
    """

    code: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()
    message: str = ""
    hint: str = ""

    @property
    def finding(self) -> Finding:
        """The message of its code with the numbers filled in."""
        if self.message:
            row = self.numbers.get(LINE)
            return Finding(self.code, ERROR, RESULTS_NAME, self.message, self.hint, row)
        template = MESSAGES[self.code]
        message = template.message.format_map(self.numbers)
        return replace(template, message=message, row=self.numbers.get(LINE))

    def __str__(self) -> str:
        return self.finding.text


def verdict_of(code: str) -> str:
    """The verdict's code for a finding in a zip.

    The finding may come from a process that the zip has taken over: it gives no other verdict than these.
    """
    return code if code in _CODES_OF_FINDINGS else "zip"


def parse_verdict(document: Mapping[str, Any] | None) -> Verdict | None:
    """Parse a verdict that was stored as JSON by way of `dataclasses.asdict`."""
    if document is None:
        return None
    words = document.get("message", ""), document.get("hint", "")
    return Verdict(document["code"], document["numbers"], tuple(document["lines"]), *words)


def listed_verdict(code: str, row: int | None, listed: Mapping[str, Listed]) -> Verdict:
    """The verdict for a fault that the scoring program found; one that its list lacks gets a general one.

    Args:
        code: As the program wrote it.
        row: Of the predictions, likewise.
        listed: The organiser's list; see formats/listed_findings.py.
    """
    numbers = {} if row is None else {LINE: row}
    if code not in listed:
        return Verdict("predictions", numbers)
    return Verdict(code, numbers, (), listed[code].message, listed[code].hint)


class Refusal(Exception):
    """A submission is at fault: final, and reported to the participant.

    Args:
        code: See Verdict.
        lines: See Verdict.
        numbers: See Verdict.
    """

    def __init__(self, code: str, lines: tuple[str, ...] = (), **numbers: int) -> None:
        super().__init__(code)
        self.verdict = Verdict(code, numbers, lines)

    @classmethod
    def of(cls, verdict: Verdict) -> "Refusal":
        """The refusal of a verdict that is known already."""
        refusal = cls(verdict.code)
        refusal.verdict = verdict
        return refusal


class Inconclusive(Exception):
    """A submission seems to be at fault, but the engine may be: tried again before it is final.

    Args:
        refusal: The refusal if the last attempt ends alike.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Crowded(Inconclusive):
    """The disk ran short, by this submission or by another that ran at the same time: tried again alone."""
