"""The messages for participants, as files that can be handed out."""

import os
import sys
from pathlib import Path

from challenge_bundle.evaluation.records import FINAL, SET_ASIDE, WAITING, Row, format_time
from challenge_bundle.evaluation.verdicts import WAITING_TEXT
from challenge_bundle.files import no_formula, write_csv, write_text
from challenge_bundle.installation import programs_root
from challenge_bundle.layout import Layout
from challenge_bundle.redaction import without_paths


def write_feedback(layout: Layout, rows: list[Row]) -> None:
    """Write one text per submission, unless it is unchanged, and a table of all.

    Args:
        layout: Of the bundle.
        rows: All submissions.
    """
    folder = layout.evaluation / "feedback"
    # A message from the engine or a library may contain a path of this machine.
    own = (layout.root, programs_root(), Path(sys.prefix), Path(os.path.expanduser("~")))
    roots = {str(path) for path in own if len(path.parts) > 2}
    for row in rows:
        path = folder / f"{row.submission.id}.txt"
        text = without_paths(feedback_text(row), roots)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
    header = (
        "submission",
        "file",
        "team",
        "method",
        "received",
        "phase",
        "kind",
        "baseline",
        "state",
        "message",
    )
    write_csv(
        folder / "all.csv",
        header,
        [
            (
                row.submission.sha256,
                no_formula(row.submission.file_name),
                no_formula(row.submission.team),
                no_formula(row.submission.method),
                format_time(row.submission.received),
                row.phase,
                row.kind,
                "yes" if row.is_baseline else "no",
                row.state,
                message_of(row),
            )
            for row in rows
        ],
    )


def message_of(row: Row) -> str:
    """One sentence for the participant."""
    return str(row.verdict) if row.verdict and row.state in FINAL else WAITING_TEXT


def feedback_text(row: Row) -> str:
    """Everything that the participant learns about a submission."""
    submission = row.submission
    lines = [
        f"submission  {submission.sha256}",
        f"file        {submission.file_name}",
        f"team        {submission.team}",
        f"method      {submission.method}",
        f"received    {format_time(submission.received)}",
        f"phase       {row.phase}",
        f"kind        {row.kind}{' (baseline)' if row.is_baseline else ''}",
        f"state       {WAITING if row.state == SET_ASIDE else row.state}",
        "",
        message_of(row),
    ]
    if row.verdict and row.verdict.lines:
        lines += ["", *(f"    {line}" for line in row.verdict.lines)]
    return "\n".join(lines) + "\n"
