"""What this project says that it needs: ranges for users, exact versions for the gate, extras by name."""

import re
import tomllib
from collections.abc import Iterable

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from challenge_bundle import installation
from challenge_bundle.installation import PROGRAM_FOLDERS, PROJECT_ROOT, install_hint, packages_of

PROJECT = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
USERS_EXTRAS = sorted(EXTRAS.keys() - {"dev"})
CODE = [path for folder in ("tools", "tests", "benchmarks") for path in (PROJECT_ROOT / folder).rglob("*.py")]
DOCS = [PROJECT_ROOT / "README.md", PROJECT_ROOT / "CONTRIBUTING.md", *(PROJECT_ROOT / "docs").rglob("*.md")]


def requirements(lines: Iterable[str]) -> dict[str, Requirement]:
    """Requirements by name; comments and empty lines are left out."""
    found = [Requirement(line.partition(" #")[0]) for line in lines if line and not line.startswith("#")]
    return {one.name.lower(): one for one in found}


def exact(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


INDIRECT = {"aiobotocore", "boto3", "botocore"}
"""Pinned though nothing here names them: without these, pip searches for versions that go together."""

CONSTRAINTS = requirements((PROJECT_ROOT / "constraints.txt").read_text().splitlines())
PROGRAMS = {
    name: requirements((PROJECT_ROOT / name / "requirements.txt").read_text().splitlines())
    for name in PROGRAM_FOLDERS
}


@pytest.mark.parametrize(
    "text", [*PROJECT["dependencies"], *(one for extra in USERS_EXTRAS for one in EXTRAS[extra])]
)
def test_a_range_holds_the_gates_version_and_ends_at_the_next_major_one(text: str) -> None:
    requirement = Requirement(text)
    locked = exact(CONSTRAINTS[requirement.name])
    assert locked in requirement.specifier
    bounds = {specifier.operator: specifier.version for specifier in requirement.specifier}
    assert bounds.keys() == {">=", "<"}
    assert bounds["<"] == str(Version(locked).major + 1)


def test_the_gate_installs_nothing_but_exact_versions() -> None:
    named = requirements([*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)])
    of_programs = {name for found in PROGRAMS.values() for name in found}
    assert CONSTRAINTS.keys() == (named.keys() | of_programs | INDIRECT) - {"challenge-bundle"}
    assert all(exact(one) for one in CONSTRAINTS.values())


def test_programs_pin_what_the_gate_installs_and_their_extra_brings_it() -> None:
    wanted: set[str] = set()
    for found in PROGRAMS.values():
        for name, requirement in found.items():
            assert exact(requirement) == exact(CONSTRAINTS[name]), name
        wanted |= found.keys()
    assert requirements(EXTRAS["programs"]).keys() == wanted


def test_dev_brings_every_extra() -> None:
    (own,) = [Requirement(one) for one in EXTRAS["dev"] if one.startswith("challenge-bundle")]
    assert sorted(own.extras) == USERS_EXTRAS


def test_no_text_advises_to_install_the_project_by_its_name() -> None:
    """On a package index, that name would be whoever took it."""
    name = re.compile(r"(pip install|['\"`])\s*challenge" + r"-bundle\\?\[")
    for path in (*DOCS, *CODE):
        assert not name.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("extra", ["dicom", "postgresql", "s3"])
def test_in_a_checkout_extras_come_from_its_folder(extra: str) -> None:
    assert f".venv/bin/pip install -e '.[{extra}]'" in install_hint(extra)
    docs = "".join(path.read_text(encoding="utf-8") for path in DOCS)
    assert f".venv/bin/pip install -e '.[{extra}]'" in docs


def test_a_wheel_names_the_packages_of_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "is_installed", lambda: True)
    monkeypatch.setattr(
        "importlib.metadata.requires",
        lambda name: ["numpy<3,>=2", *(f'{one}; extra == "s3"' for one in EXTRAS["s3"]), 'x; extra == "y"'],
    )
    assert [Requirement(one) for one in packages_of("s3")] == [Requirement(one) for one in EXTRAS["s3"]]
    assert "-m pip install 'fsspec" in install_hint("s3")
