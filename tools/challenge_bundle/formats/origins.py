"""The csv in which an import records where each image came from."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.files import write_csv

_SEEN = "seen_sha256"
"""Another name than `pixels_sha256`, which older versions wrote: theirs differs between gray and RGB forms of
one picture, so the two must never be compared."""

_HEADER = ("file", "split", "class", "sha256", "origin", "group", _SEEN)


@dataclass(frozen=True, slots=True)
class Origin:
    """An imported image.

    Args:
        file: Its name in the bundle.
        split: Where it went.
        class_name: Its class.
        sha256: Of its bytes, in hexadecimal.
        origin: Where it came from, in the source's own terms.
        patient_group: What stays in one split, such as the patient; None if none is known.
        pixels_sha256: Of what a network sees of it (see image_io.hash_picture), in hexadecimal; None in what
            older versions wrote.
    """

    file: str
    split: str
    class_name: str
    sha256: str
    origin: str
    patient_group: str | None
    pixels_sha256: str | None


def write_origins(path: Path, origins: Iterable[Origin]) -> None:
    """Write them so that only their owner can read them: they may name patients."""
    rows = (
        (
            one.file,
            one.split,
            one.class_name,
            one.sha256,
            one.origin,
            one.patient_group or "",
            one.pixels_sha256 or "",
        )
        for one in origins
    )
    write_csv(path, _HEADER, rows, private=True)


def read_origins(path: Path) -> list[Origin]:
    """Read what the last import wrote; empty where none is known, or the file is lost or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as opened:
            return [
                Origin(
                    row["file"],
                    row["split"],
                    row["class"],
                    row["sha256"],
                    row["origin"],
                    row.get("group") or None,
                    row.get(_SEEN) or None,
                )
                for row in csv.DictReader(opened)
            ]
    except (OSError, KeyError, ValueError, csv.Error):
        return []
