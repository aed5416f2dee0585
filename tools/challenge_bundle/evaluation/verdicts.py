"""What a participant can be told of a submission: a closed list, so that no message carries hidden data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCORED = "scored"


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that a participant can be told.

    Args:
        text: With names in braces for the numbers of the case.
        cure: What the participant does about it.
    """

    text: str
    cure: str


MESSAGES: Mapping[str, Message] = {
    SCORED: Message("evaluated and scored", "nothing; look at the leaderboard"),
    "dropped": Message("taken out by the organiser; it counts for no rank", "ask the organiser why"),
    "closed": Message(
        "received when no phase was open", "submit again between the opening and the closing of a phase"
    ),
    "quota": Message(
        "the team has used its {quota} submissions of that day (UTC)", "submit again on another day"
    ),
    "team": Message(
        "names no team",
        'make it with `zip --team "YOUR TEAM"`, or name it TEAM__METHOD.zip',
    ),
    "zip": Message(
        "the zip is not one that can be built; what is wrong follows",
        "run `check` on the zip, and mend what it names",
    ),
    "base-image": Message(
        "the Dockerfile builds on an image that this challenge does not give",
        "build on one of the challenge's base images",
    ),
    "no-base-image": Message(
        "an image that the Dockerfile builds on cannot be had here",
        "build on an image that the challenge names",
    ),
    "volume": Message("the image declares a volume", "leave VOLUME out of the Dockerfile"),
    "build-failed": Message(
        "the image cannot be built; the end of the build's output follows",
        "run `docker build .` on the unpacked zip, with the network that the challenge gives",
    ),
    "build-time": Message("the build took longer than {limit} s", "do less in the Dockerfile"),
    "build-size": Message("the image is larger than {limit} MB", "install and copy less"),
    "cannot-start": Message(
        "the image's program cannot be started",
        "run the image with --read-only, --network none and a user that is not root",
    ),
    "time": Message("inference took longer than {limit} s", "compute less for each image"),
    "memory": Message("inference used more memory than {limit} MB", "use smaller batches or a smaller model"),
    "output": Message(
        "inference wrote more than {limit} MB, or too many or too deep files",
        "write classification_results.csv alone",
    ),
    "disk": Message(
        "inference filled the disk", "write classification_results.csv alone, and keep no removed file open"
    ),
    "failed": Message(
        "inference ended with exit status {status}",
        "run the image on images of your own, with the limits of the challenge",
    ),
    "no-results": Message(
        "inference ended well but wrote no classification_results.csv",
        "write it into the second folder, /mnt/out",
    ),
    "not-a-file": Message(
        "classification_results.csv is a link, a folder or a device",
        "write a plain file",
    ),
    "csv-unsound": Message(
        "classification_results.csv is not a sound table with one row an image (line {line})",
        "write UTF-8, the header file,class, then each image once, with as many values as the header has",
    ),
    "csv-unknown-class": Message(
        "a class is not one of the challenge's (line {line})",
        "write the classes exactly as the challenge names them",
    ),
    "csv-unknown-image": Message(
        "a row names no image of the test set (line {line})",
        "write the name of the image as it is in /mnt/in",
    ),
    "csv-missing": Message("{missing} images of the test set have no row", "write one row for each image"),
}
"""By code. A number of the case is the only thing that is put into a text."""

WAITING_TEXT = "not evaluated yet, for a reason that does not lie in the submission; nothing is to be done"
"""Said of a submission whose evaluation has not ended."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a submission ended.

    Args:
        code: One of MESSAGES.
        numbers: What its text names.
        lines: What is shown below it: findings in the participant's own zip, or lines that were filtered.
    """

    code: str
    numbers: Mapping[str, int] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The sentence, without its cure."""
        return MESSAGES[self.code].text.format_map(self.numbers)

    def __str__(self) -> str:
        if self.code == SCORED:
            return self.text
        return f"{self.text}; {MESSAGES[self.code].cure}"


def parse_verdict(document: Mapping[str, Any] | None) -> Verdict | None:
    """A verdict as `dataclasses.asdict` and JSON have left it."""
    if document is None:
        return None
    return Verdict(document["code"], document["numbers"], tuple(document["lines"]))


class Refusal(Exception):
    """A submission is at fault: final, and told to the participant.

    Args:
        code: See Verdict.
        lines: See Verdict.
        numbers: See Verdict.
    """

    def __init__(self, code: str, lines: tuple[str, ...] = (), **numbers: int) -> None:
        super().__init__(code)
        self.verdict = Verdict(code, numbers, lines)


class Inconclusive(Exception):
    """A submission seems to be at fault, but the engine may be: tried again before it is final.

    Args:
        refusal: What it would be refused with.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Crowded(Inconclusive):
    """The disk ran short, by this submission or by another beside it: it is tried again alone."""
