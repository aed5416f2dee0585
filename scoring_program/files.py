"""The program's folders and files: found, opened, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from findings import Finding, InputError, shown

REFERENCE_NAME = "testing_solution.csv"
NAMES_NAME = "cases.csv"
TASK_NAME = "task.json"
OUTPUT_NAMES = ("scores.txt", "scores.json", "detailed_results.html")
FINDINGS_NAME, COMPARISON_NAME = "findings.json", "comparison.json"


def find_predictions(folder: Path) -> Path:
    """The one csv of the submission.

    Raises:
        InputError: None there, or more than one.
    """
    found = sorted(folder.glob("*.csv")) if folder.is_dir() else []
    if len(found) != 1:
        names = ": " + ", ".join(shown(path.name) for path in found[:3]) if found else ""
        message = f"{len(found) or 'no'} csv files{names}; expected exactly one"
        raise InputError(Finding("predictions-missing", str(folder), message))
    if found[0].is_symlink() or not found[0].is_file():
        # A link could lead to the reference, and score as a perfect submission.
        message = "a link or a folder; expected the csv itself"
        raise InputError(Finding("predictions-not-a-file", str(found[0]), message))
    return found[0]


def open_output(out_dir: Path) -> None:
    """Make the output folder, and remove what an earlier run left.

    Raises:
        InputError: It cannot be written to.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        probe = out_dir / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
        remove_outputs(out_dir)
    except OSError as fault:
        user = f"user {os.getuid()}" if hasattr(os, "getuid") else "this user"
        message = f"{user} cannot write there ({fault.strerror})"
        raise InputError(Finding("output-not-writable", str(out_dir), message)) from None


def remove_outputs(out_dir: Path) -> None:
    """Remove what an earlier run left: it must not pass for the result of this one."""
    for name in (*OUTPUT_NAMES, FINDINGS_NAME, COMPARISON_NAME):
        (out_dir / name).unlink(missing_ok=True)


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(document, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(text.encode())
    temporary.replace(path)
