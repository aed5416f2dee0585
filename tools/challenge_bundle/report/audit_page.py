"""An audit as files: a page that loads nothing else, and the same as JSON."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from challenge_bundle.audit.balance import count_images
from challenge_bundle.audit.base import MAX_EXAMPLES, SEVERITIES, UNKNOWN, AuditFinding, ImageTable, counted
from challenge_bundle.audit.run import Audit
from challenge_bundle.errors import without_controls
from challenge_bundle.files import write_text
from challenge_bundle.formats.tasks import MULTILABEL, ORDINAL, REGRESSION
from challenge_bundle.image_io import READ_FAULTS, reading, thumbnail_url
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.templates import render

SHOWN_EXAMPLES = 12
SHOWN_IMAGES = 6
"""Of one example, on the page."""
THUMBNAIL_PX = 96
DRAWING_PX = 1024
PAIRS_NAME = "near-duplicates.csv"
"""Beside the page."""
PRINTED_FILES = 12
"""Of a finding, on the terminal."""


def audit_text(audit: Audit) -> str:
    """The findings as lines for a terminal."""
    lines: list[str] = []
    for finding in audit.findings:
        lines.append(f"{finding.severity}: {finding.check}: {finding.finding.text}")
        if finding.examples:
            shown = [_describe(audit.images, row) for row in finding.examples[0][:SHOWN_IMAGES]]
            label = f"{finding.labels[0]}: " if finding.labels else ""
            lines.append(f"         such as {label}{', '.join(shown)}")
        if finding.check == "contours":
            lines += [f"         {file}" for file in finding.files[:PRINTED_FILES]]
            if len(finding.files) > PRINTED_FILES:
                lines.append(f"         ... and {len(finding.files) - PRINTED_FILES:,} more, on the page")
        if finding.figures and finding.check == "baselines":
            lines += [f"         {'  '.join(map(str, row))}" for row in finding.figures.rows]
    counts = ", ".join(counted(audit.count(kind), kind, f"{kind}s") for kind in SEVERITIES)
    asked = f" (checks: {', '.join(audit.checks)})" if audit.partial else ""
    lines.append(f"{len(audit.images):,} images: {counts}{asked}")
    return "\n".join(map(without_controls, lines))


def audit_document(audit: Audit, source: str = "") -> dict[str, Any]:
    """The audit as it is written to JSON; source is what was imported, if it is known."""
    images = audit.images
    counts = count_images(images)
    return {
        "source": source or None,
        "task": images.task,
        "images": {split: int((images.splits == number).sum()) for number, split in enumerate(SPLITS)},
        "classes": {
            name: {split: int(counts[number, label]) for number, split in enumerate(SPLITS)}
            for label, name in enumerate(images.class_names)
        },
        "checks": list(audit.checks),
        "counts": {severity: audit.count(severity) for severity in SEVERITIES},
        "findings": [_finding_document(images, finding) for finding in audit.findings],
    }


def write_audit(
    audit: Audit, layout: Layout, title: str, page: Path, document: Path, source: str = ""
) -> None:
    """Write the page and the JSON; the same data give the same bytes.

    Args:
        audit: The result.
        layout: Of the bundle; the page shows its images.
        title: What the page is headed with.
        page: The HTML file.
        document: The JSON file.
        source: What was imported; empty if it is not known.
    """
    # A page is passed on more easily than a password.
    source = re.sub(r"(?<=://)[^/?#]*@", "", source)
    text = json.dumps(audit_document(audit, source), indent=2, allow_nan=False, ensure_ascii=False)
    write_text(document, text + "\n")
    write_text(page, render_audit(audit, layout, title, source))
    write_pairs(audit, page.with_name(PAIRS_NAME))


def write_pairs(audit: Audit, path: Path) -> None:
    """Write all pairs of near-duplicates, one per line, the most similar first; no file if there are none."""
    found = [finding for finding in audit.findings if finding.pairs is not None]
    if not found:
        path.unlink(missing_ok=True)
        return
    pairs = np.concatenate([finding.pairs for finding in found if finding.pairs is not None])
    distances = np.concatenate([finding.distances for finding in found if finding.distances is not None])
    order = np.argsort(distances, kind="stable")
    header = ("split_a", "file_a", "split_b", "file_b", "distance", "same_label")
    temporary = path.with_name(f".{path.name}.part")
    # Line by line: millions of pairs are no reason for a text of hundreds of megabytes.
    with temporary.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(_pair_rows(audit.images, pairs[order], distances[order]))
    temporary.replace(path)


def _pair_rows(
    images: ImageTable, pairs: NDArray[np.int64], distances: NDArray[np.float64]
) -> Iterator[tuple[str, ...]]:
    for (one, other), distance in zip(pairs, distances, strict=True):
        labels = int(images.labels[one]), int(images.labels[other])
        same = "" if UNKNOWN in labels else str(int(labels[0] == labels[1]))
        first = SPLITS[images.splits[one]], images.files[one]
        second = SPLITS[images.splits[other]], images.files[other]
        yield (*first, *second, f"{distance:.6f}", same)


def render_audit(audit: Audit, layout: Layout, title: str, source: str = "") -> str:
    """The page: one file that loads nothing, every foreign text escaped."""
    images = audit.images
    return render(
        Path(__file__).resolve().with_name("audit.html.j2"),
        title=title,
        source=source,
        audit=audit,
        images=images,
        kinds=_kinds(images),
        splits=SPLITS,
        severities=SEVERITIES,
        totals=[int((images.splits == number).sum()) for number in range(len(SPLITS))],
        counts=count_images(images).tolist(),
        known=[bool(len(images.of_split(number))) for number in range(len(SPLITS))],
        examples=[_pictures(images, finding, layout) for finding in audit.findings],
        drawings=[
            [(drawing.caption, thumbnail_url(drawing.image, DRAWING_PX)) for drawing in finding.drawings]
            for finding in audit.findings
        ],
        shown=SHOWN_EXAMPLES,
    )


def _kinds(images: ImageTable) -> str:
    """How many classes or labels there are, in the task's words; empty where images have values."""
    count = len(images.class_names)
    if images.task == REGRESSION:
        return ""
    if images.task == MULTILABEL:
        return counted(count, "label", "labels")
    return counted(count, "class", "classes") + (" in order" if images.task == ORDINAL else "")


def _finding_document(images: ImageTable, finding: AuditFinding) -> dict[str, Any]:
    found: dict[str, Any] = {
        "check": finding.check,
        "severity": finding.severity,
        "code": finding.finding.code,
        # Keys of the first version, which programs read.
        "what": replace(finding.finding, hint="").text,
        "mend": finding.finding.hint,
        "count": finding.count,
        "examples": [
            [_image_document(images, row) for row in rows] for rows in finding.examples[:MAX_EXAMPLES]
        ],
        "files": list(finding.files[:MAX_EXAMPLES]),
    }
    if finding.labels:
        found["labels"] = list(finding.labels[:MAX_EXAMPLES])
    if finding.figures:
        header = finding.figures.header
        found["figures"] = [dict(zip(header, row, strict=True)) for row in finding.figures.rows]
    return found


def _image_document(images: ImageTable, row: int) -> dict[str, str | None]:
    return {
        "file": images.files[row],
        "class": images.class_name(row),
        "split": SPLITS[int(images.splits[row])],
        "origin": images.origins[row],
    }


def _describe(images: ImageTable, row: int) -> str:
    class_name, name, origin = images.class_name(row), images.files[row], images.origin_name(row)
    facts = [class_name] if class_name else []
    facts += [f"from {origin}"] if origin != name.rpartition("/")[2] else []
    return f"{name} ({', '.join(facts)})" if facts else name


def _pictures(images: ImageTable, finding: AuditFinding, layout: Layout) -> list[list[dict[str, str | None]]]:
    """The first examples of a finding, each with thumbnails of its images."""
    return [_example(images, rows[:SHOWN_IMAGES], layout) for rows in finding.examples[:SHOWN_EXAMPLES]]


def _example(images: ImageTable, rows: Sequence[int], layout: Layout) -> list[dict[str, str | None]]:
    found = []
    for row in rows:
        try:
            with reading(layout.input_data / images.files[row]) as opened:
                url = thumbnail_url(opened, THUMBNAIL_PX)
        except READ_FAULTS:
            url = ""
        found.append(_image_document(images, row) | {"url": url})
    return found
