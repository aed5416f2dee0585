"""Files of a submission, and what `check` finds in them."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from challenge_bundle.findings import Finding
from challenge_bundle.guarded import At
from challenge_bundle.submission.build_rules import BuildRules
from challenge_bundle.submission.check import find_in_files


def find_in(
    tmp_path: Path, files: Mapping[str, str | bytes], class_names: tuple[str, ...], rules: BuildRules
) -> list[Finding]:
    """What check_submission finds in unpacked files; in this process, since these are ours."""
    folder = tmp_path / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    items = find_in_files(str(folder), class_names, rules.to_text())
    return [Finding(*item) for item in items if not isinstance(item, At)]
