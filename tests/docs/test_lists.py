"""The lists of files on docs/extending.md: what they name exists, and forgetting one fails here."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from challenge_bundle.audit.check_names import CHECKS
from challenge_bundle.audit.run import make_checks
from challenge_bundle.installation import PROJECT_ROOT
from tests.conftest import say_nothing
from tests.docs.draw_board import example_board

PACKAGE = PROJECT_ROOT / "tools" / "challenge_bundle"
EXTENDING = (PROJECT_ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
PATHS = sorted(set(re.findall(r"`((?:bundle_training|scoring_program|tools|tests)/[\w./-]+)`", EXTENDING)))


@pytest.mark.parametrize("path", PATHS)
def test_a_list_names_files_that_exist(path: str) -> None:
    if "NAME" not in path and "FILE" not in path:
        assert (PROJECT_ROOT / path).exists()


@pytest.mark.parametrize("page", ["design.md", "../CONTRIBUTING.md", "containers.md", "participants.md"])
def test_a_page_names_modules_that_exist(page: str) -> None:
    text = (PROJECT_ROOT / "docs" / page).read_text(encoding="utf-8")
    for name in set(re.findall(r"`([a-z_]+/[\w/]+\.(?:py|md|csv|toml))`", text)):
        if not name.startswith(("mykit/", "output/")) and "my_network" not in name:
            assert (PROJECT_ROOT / name).exists() or (PACKAGE / name).exists(), name


def test_a_check_of_the_audit_has_a_name_a_function_and_a_row() -> None:
    audit = (PROJECT_ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    table = audit[audit.index("| finding |") :].partition("\n\n")[0]
    rows = {name for row in table.splitlines()[2:] for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}
    assert set(make_checks(None, None, say_nothing)) == set(CHECKS) == rows


def imported_modules(path: Path) -> set[str]:
    return {
        node.module or ""
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }


def test_every_source_can_be_chosen() -> None:
    chosen = imported_modules(PACKAGE / "sources" / "choice.py")
    for path in (PACKAGE / "sources").glob("*.py"):
        classes = [n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.ClassDef)]
        if any(name.endswith("Source") and name != "Source" for name in classes):
            assert f"challenge_bundle.sources.{path.stem}" in chosen


def test_the_picture_of_a_board_can_be_made_again() -> None:
    assert next(entry.team for entry in example_board().entries) == "Example team A"


def test_contributing_is_short() -> None:
    assert len((PROJECT_ROOT / "CONTRIBUTING.md").read_bytes()) <= 4096


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    design = (PROJECT_ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    table = design[design.index("## Dependencies") :]
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(line for extra in extras.values() for line in extra)]:
        name = re.split(r"[\[<>=! ]", requirement)[0]
        if name not in ("challenge-bundle", "setuptools") and "types-" not in name and "stubs" not in name:
            assert re.search(rf"(\| |, ){re.escape(name)}( \||,)", table), name
