"""Imports inside the package point one way."""

import ast
import re
from pathlib import Path

import pytest

from challenge_bundle.installation import PROJECT_ROOT

# Each stands on those above it; what shares a line may not import one another.
LAYERS = [
    {"findings", "installation", "lazy", "lookalikes", "progress", "redaction"},
    {"errors"},
    {"layout", "files", "image_forms", "templates"},
    {"image_io"},
    {"guarded"},
    {"metadata"},
    {"lock", "display", "bounded_log", "database"},
    {"formats"},
    {"data_settings"},
    {"settings", "store"},
    {"dicom"},
    {"sources", "engines", "audit"},
    {"runs"},
    {"dataset"},
    {"submission"},
    {"wheelhouse"},
    {"kit", "doctor", "new_bundle"},
    {"evaluation"},
    {"leaderboard"},
    {"report"},
    {"run_all"},
    {"commands"},
    {"cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PACKAGE = PROJECT_ROOT / "tools" / "challenge_bundle"


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("challenge_bundle"):
            found.add(node.module)
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("challenge_bundle")}
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for module in imports_of(path):
        assert module.count(".") >= 1, f"import the module, not the package: {module}"
        other = module.split(".")[1]
        assert own == other or LEVEL[other] < LEVEL[own], f"{path.name} ({own}) imports {module}"


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Not for types either: what only a type needs is a Protocol, or belongs below both."""
    imported = {module_name(path): imports_of(path) for path in PACKAGE.rglob("*.py")}

    def reached(module: str, seen: set[str]) -> set[str]:
        for other in imported.get(module, set()) - seen:
            seen.add(other)
            reached(other, seen)
        return seen

    assert [module for module in imported if module in reached(module, set())] == []


def test_only_the_command_line_imports_click() -> None:
    users = [path for path in PACKAGE.rglob("*.py") if re.search(r"(import|from) click\b", path.read_text())]
    assert {path.relative_to(PACKAGE).parts[0] for path in users} == {"cli.py", "commands"}


@pytest.mark.parametrize("folder", ["bundle_training", "bundle_inference", "scoring_program"])
def test_programs_import_nothing_of_the_tool(folder: str) -> None:
    for path in (PROJECT_ROOT / folder).glob("*.py"):
        assert not imports_of(path)


ENGINE_NAMES = re.compile(r"docker(?!file|ignore)|cgroup|podman|containerd|apptainer|slurm|kubernetes", re.I)
"""What names one engine, in code; the formats of Dockerfile and .dockerignore are no engine's."""


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if "engines" not in path.relative_to(PACKAGE).parts],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_engine_is_named_outside_of_their_room(path: Path) -> None:
    """By no import, name or attribute; `engines/choice.py` alone chooses one."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                found = [name.name for name in names]
            case ast.ImportFrom(module=str(module), names=names):
                found = [module, *(name.name for name in names)]
            case (
                ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str(name))
            ):
                found = [name]
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found = [name]
            case _:
                continue
        for name in found:
            assert not ENGINE_NAMES.search(name), f"{path.name}:{getattr(node, 'lineno', 1)} names {name}"
