"""The generated pages of the reference are those of the source."""

import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.settings import parse_manifest
from tests.docs.blocks import LANGUAGES

SCRIPT = PROJECT_ROOT / "docs" / "generate.py"
REFERENCE = PROJECT_ROOT / "docs" / "reference"


def made() -> dict[str, Any]:
    return {name: make() for name, make in runpy.run_path(str(SCRIPT))["PAGES"].items()}


@pytest.mark.parametrize("name", made())
def test_a_page_is_up_to_date(name: str) -> None:
    text = (REFERENCE / name).read_text(encoding="utf-8")
    assert text == made()[name], "run `.venv/bin/python docs/generate.py`"


def test_check_names_what_is_out_of_date() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_examples_are_together_a_valid_manifest() -> None:
    text = (REFERENCE / "bundle-toml.md").read_text(encoding="utf-8")
    examples = re.findall(r"Every key with an example:\n\n```toml\n(.*?)```", text, re.DOTALL)
    bundle = parse_manifest("\n".join(examples), Path("bundle.toml"))
    assert bundle.data.split == (0.7, 0.1, 0.2)
    assert bundle.evaluation.phases[0].part == "public"


def test_blocks_have_a_language() -> None:
    for name in made():
        text = (REFERENCE / name).read_text(encoding="utf-8")
        assert set(re.findall(r"^```(\S+)$", text, re.MULTILINE)) <= set(LANGUAGES)
