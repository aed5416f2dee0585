"""Imports inside tools/ point one way."""

import ast
import re
from pathlib import Path

import pytest

from tools.layout import PROJECT_ROOT

# Each stands on those above it; what shares a line may not import one another.
LAYERS = [
    {"errors", "findings", "lookalikes", "progress", "redaction"},
    {"layout", "files", "picture_forms"},
    {"pictures"},
    {"guarded"},
    {"metadata"},
    {"lock", "stages", "collecting", "curves", "display", "keptlog", "database", "zip_names"},
    {"formats", "zip_records"},
    {"manifest", "store"},
    {"dicom"},
    {"sources", "runners", "audit"},
    {"programs", "archive"},
    {"packing", "recipe_checks", "kit_texts"},
    {"build_rules"},
    {"checking", "wheelhouse"},
    {"kit", "doctor"},
    {"evaluation"},
    {"report"},
    {"pipeline"},
    {"commands"},
    {"bundle"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TOOLS = PROJECT_ROOT / "tools"


def imports_of(path: Path) -> set[str]:
    """The modules of tools/ that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tools"):
            found.add(node.module)
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("tools")}
    return found


@pytest.mark.parametrize("path", sorted(TOOLS.rglob("*.py")), ids=lambda path: str(path.relative_to(TOOLS)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(TOOLS).with_suffix("").parts[0]
    for module in imports_of(path):
        assert module.count(".") >= 1, f"import the module, not the package: {module}"
        other = module.split(".")[1]
        assert own == other or LEVEL[other] < LEVEL[own], f"{path.name} ({own}) imports {module}"


def test_only_the_command_line_imports_click() -> None:
    users = [path for path in TOOLS.rglob("*.py") if re.search(r"(import|from) click\b", path.read_text())]
    assert {path.relative_to(TOOLS).parts[0] for path in users} == {"bundle.py", "commands"}


@pytest.mark.parametrize("folder", ["bundle_training", "bundle_inference", "scoring_program"])
def test_programs_import_nothing_of_the_tool(folder: str) -> None:
    for path in (PROJECT_ROOT / folder).glob("*.py"):
        assert not imports_of(path)
