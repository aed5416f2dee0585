"""A small project for each page: a checkout of its own, with what the page's reader has."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from challenge_bundle.installation import PROJECT_ROOT
from tests.dicoms import write_linked

COPIED = (
    "bundle_training",
    "bundle_inference",
    "scoring_program",
    "tools",
    "examples",
    ".dockerignore",
    "Makefile",
    "install.py",
    "pyproject.toml",
    "setup.py",
    "constraints.txt",
)

MANIFEST = """\
[bundle]
name = "docs-test"
title = "Which body region is it?"

[data]
source = "synthetic"
sample_size = 4

[training]
arguments = ["--epochs", "1"]

[evaluation]
resamples = 100
"""


def make_project(root: Path) -> None:
    """A checkout with the installed environment and a small bundle.toml, without images."""
    root.mkdir(parents=True)
    for name in COPIED:
        source = PROJECT_ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".bundle", "wheelhouse")
            shutil.copytree(source, root / name, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, root / name)
    (root / "bundle.toml").write_text(MANIFEST)
    # What `make install` would have made, and newer than what it depends on.
    (root / ".venv").mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.name != "installed":
            (root / ".venv" / path.name).symlink_to(path)
    (root / ".venv" / "installed").touch()


def project_environment(root: Path) -> dict[str, str]:
    """The environment that a page's blocks run in."""
    return {
        **os.environ,
        "PATH": f"{root / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root / "tools"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Blocks that need an engine say so; the others run the same with and without one.
        "BUNDLE_RUNNER": "local",
    }


def run_bundle(root: Path, *arguments: str) -> None:
    """Run a command of the tool in a project."""
    command = [sys.executable, "tools/bundle.py", *arguments]
    done = subprocess.run(command, cwd=root, env=project_environment(root), capture_output=True, text=True)
    assert done.returncode == 0, f"{arguments}: {done.stderr[-2000:]}"


def make_template(root: Path) -> None:
    """A project that has been through `run-all`, and has what pages ask for; pages get copies of it."""
    make_project(root)
    run_bundle(root, "run-all", "--runner", "local")
    run_bundle(root, "kit", "mykit.zip")
    run_bundle(root, "zip", "--team", "Example", "--method", "baseline", "--output", "submission.zip")
    (root / "submissions").mkdir()
    (root / "submission.zip").rename(root / "submissions" / "Example__baseline.zip")
    add_image_folder(root / "images")
    write_linked(root / "dicom")


def add_image_folder(folder: Path) -> None:
    """Class folders: what an organiser begins with."""
    rng = np.random.default_rng(0)
    for label, class_name in enumerate(("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")):
        (folder / class_name).mkdir(parents=True)
        for number in range(20):
            image = Image.fromarray(rng.integers(0, 60, (64, 64), dtype=np.uint8))
            left, top = (int(value) for value in rng.integers(0, 24, 2))
            ImageDraw.Draw(image).ellipse((left, top, left + 10 + 5 * label, top + 30), fill=100 + 25 * label)
            image.save(folder / class_name / f"patient{label}{number // 2:02d}_{number}.png")


def copy_project(template: Path, root: Path, without: tuple[str, ...] = ()) -> None:
    """A page's own copy of the template; links of the environment stay links."""
    left_out = {str(template / name) for name in without}

    def ignore(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if os.path.join(folder, name) in left_out}

    shutil.copytree(template, root, symlinks=True, ignore=ignore)
