"""The programs of examples/forest: a random forest, with a module and settings of its own."""

import shutil
from pathlib import Path

from challenge_bundle.installation import PROJECT_ROOT

FOREST = PROJECT_ROOT / "examples" / "forest"


def write_forest_programs(root: Path) -> None:
    """Put the programs into a bundle."""
    for name in ("bundle_training", "bundle_inference"):
        shutil.copytree(FOREST / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
