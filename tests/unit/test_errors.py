"""What messages and the README tell a person to install is what this project says it needs."""

import re
import tomllib

import pytest

from challenge_bundle.errors import install_cure
from challenge_bundle.layout import PROJECT_ROOT

EXTRAS = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
CODE = [path for folder in ("tools", "tests", "benchmarks") for path in (PROJECT_ROOT / folder).rglob("*.py")]


def test_nothing_tells_to_install_the_project_by_its_name() -> None:
    """On a package index, that name would be whoever took it."""
    name = re.compile(r"(pip install|['\"`])\s*challenge" + r"-bundle\\?\[")
    for path in (PROJECT_ROOT / "README.md", PROJECT_ROOT / "CONTRIBUTING.md", *CODE):
        assert not name.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("extra", ["dicom", "postgresql", "s3"])
def test_extras_are_installed_from_the_folder_and_by_make_install(extra: str) -> None:
    assert f".venv/bin/pip install -e '.[{extra}]'" in install_cure(extra)
    assert f".venv/bin/pip install -e '.[{extra}]'" in (PROJECT_ROOT / "README.md").read_text(
        encoding="utf-8"
    )
    assert set(EXTRAS[extra]) <= set(EXTRAS["dev"])
