"""scoring_program/ on Python 3.9: platforms run it in images of their own, whose Python may be that old."""

import ast
from pathlib import Path

import pytest

from challenge_bundle.installation import PROJECT_ROOT

OLDEST = (3, 9)
FOLDERS = (PROJECT_ROOT / "scoring_program", PROJECT_ROOT / "examples" / "own_metric" / "scoring_program")
MODULES = [module for folder in FOLDERS for module in sorted(folder.glob("*.py"))]
NEWER_ARGUMENTS = {
    ("zip", "strict"),
    ("map", "strict"),
    ("dataclass", "slots"),
    ("dataclass", "kw_only"),
    ("field", "kw_only"),
}
NEWER_NAMES = {
    "asyncio": {"TaskGroup"},
    "contextlib": {"aclosing", "chdir"},
    "datetime": {"UTC"},
    "enum": {"StrEnum"},
    "inspect": {"get_annotations"},
    "itertools": {"batched", "pairwise"},
    "types": {"NoneType"},
    "typing": {"ParamSpec", "Self", "TypeAlias", "TypeGuard", "assert_never", "override"},
}
NEWER_MODULES = {"tomllib"}


def newer_than_oldest(source: str) -> list[str]:
    """What of a module Python 3.9 does not have, each with its line; syntax first."""
    try:
        tree = ast.parse(source, feature_version=OLDEST)
    except SyntaxError as fault:
        return [f"{fault.lineno}: syntax"]
    has_lazy_annotations = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(name.name == "annotations" for name in node.names)
        for node in tree.body
    )
    found = [] if has_lazy_annotations else ["1: annotations"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found += [
                f"{node.lineno}: {one.arg}" for one in node.keywords if (called, one.arg) in NEWER_ARGUMENTS
            ]
            if called in ("isinstance", "issubclass") and any(
                isinstance(arg, ast.BinOp) for arg in node.args
            ):
                found.append(f"{node.lineno}: union")
        elif isinstance(node, ast.ImportFrom):
            newer = NEWER_NAMES.get(node.module or "", set())
            found += [f"{node.lineno}: {one.name}" for one in node.names if one.name in newer]
            found += [f"{node.lineno}: {node.module}"] if node.module in NEWER_MODULES else []
        elif isinstance(node, ast.Import):
            found += [f"{node.lineno}: {one.name}" for one in node.names if one.name in NEWER_MODULES]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            newer = NEWER_NAMES.get(node.value.id, set())
            found += [f"{node.lineno}: {node.attr}"] if node.attr in newer else []
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
def test_python_3_9_has_all_that_a_module_uses(module: Path):
    assert newer_than_oldest(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("for a, b in zip(x, y, strict=True): pass", ["2: strict"]),
        ("@dataclass(frozen=True, slots=True)\nclass A: pass", ["2: slots"]),
        ("@dataclasses.dataclass(kw_only=True)\nclass A: pass", ["2: kw_only"]),
        ("isinstance(x, int | str)", ["2: union"]),
        ("match x:\n    case 1: pass", ["3: syntax"]),
        ("import tomllib", ["2: tomllib"]),
        ("from itertools import pairwise", ["2: pairwise"]),
        ("itertools.pairwise(x)", ["2: pairwise"]),
        ("from datetime import UTC", ["2: UTC"]),
    ],
)
def test_what_is_newer_is_found(line, found):
    future = "from __future__ import annotations\n"
    assert newer_than_oldest(future + line) == found


def test_annotations_that_are_evaluated_are_found():
    assert newer_than_oldest("a: int | None = None") == ["1: annotations"]


def test_modules_are_there():
    assert len(MODULES) > 20
