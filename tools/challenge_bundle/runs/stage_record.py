"""Which inputs each stage's outputs were made from, so that a second run skips what is unchanged."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from challenge_bundle.files import hash_file, write_text
from challenge_bundle.layout import Layout


class StageBook:
    """One record a stage: the key of what it was made from, and the hash of each file that it made.

    Args:
        layout: Of the bundle whose stages these are.
    """

    def __init__(self, layout: Layout) -> None:
        self.path = layout.state / "stages.json"
        self.root = layout.root

    def is_current(self, stage: str, key: str, outputs: Sequence[Path]) -> bool:
        """Whether a stage was made from `key`, and its files are there as it left them."""
        record = self._read().get(stage)
        if not isinstance(record, dict) or record.get("key") != key:
            return False
        made = record.get("outputs") or {}
        return all(path.is_file() and made.get(self._name(path)) == hash_file(path) for path in outputs)

    def is_unchanged(self, stage: str, path: Path) -> bool:
        """Whether a file is as the last run of a stage left it."""
        record = self._read().get(stage)
        made = (record.get("outputs") or {}) if isinstance(record, dict) else {}
        return path.is_file() and made.get(self._name(path)) == hash_file(path)

    def arguments(self, stage: str) -> tuple[str, ...]:
        """The options that a stage was made with."""
        record = self._read().get(stage)
        return tuple(record.get("arguments", ())) if isinstance(record, dict) else ()

    def made(self, stage: str, path: Path) -> bool:
        """Whether a file may be of a stage's last run: it was made then, or no run is known."""
        record = self._read().get(stage)
        if not isinstance(record, dict):
            return True
        return self._name(path) in [*(record.get("outputs") or ()), *(record.get("besides") or ())]

    def record(
        self,
        stage: str,
        key: str,
        outputs: Sequence[Path],
        arguments: Sequence[str] = (),
        besides: Sequence[Path] = (),
    ) -> None:
        """Note that a stage was made, with its files as they are now, and which it made besides."""
        book = self._read()
        hashes = {self._name(path): hash_file(path) for path in outputs}
        book[stage] = {
            "key": key,
            "arguments": list(arguments),
            "outputs": hashes,
            "besides": sorted(map(self._name, besides)),
        }
        write_text(self.path, json.dumps(book, indent=2) + "\n")

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _read(self) -> dict[str, Any]:
        try:
            book = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            book = {}
        # A record that is lost or spoiled costs a repeated stage, nothing else.
        return book if isinstance(book, dict) else {}


def forget_results(layout: Layout, predictions: bool) -> None:
    """Remove the scores and the report of the bundle's own model: nobody may take them for those of new data.

    Args:
        layout: Of the bundle.
        predictions: Whether to remove what its inference wrote, too; a csv that somebody put there stays.
    """
    if predictions and StageBook(layout).is_unchanged("inference", layout.results_csv):
        layout.results_csv.unlink()
    for path in (layout.report_html, *layout.score_files):
        path.unlink(missing_ok=True)
