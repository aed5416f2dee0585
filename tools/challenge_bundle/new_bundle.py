"""A bundle that somebody starts: its bundle.toml, and with `bundle new` the rest of its folder."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from challenge_bundle.errors import DataError
from challenge_bundle.files import write_text
from challenge_bundle.formats.dockerignore import DOCKERIGNORE
from challenge_bundle.installation import PROGRAM_FOLDERS, programs_root
from challenge_bundle.layout import Layout
from challenge_bundle.settings import Bundle, parse_manifest

_LONGEST_NAME = 63

_MANIFEST = """\
# What this challenge is. Keys after a # show their default or an example; remove the # to set one.
# All keys: `docs/reference/bundle-toml.md` of the project.

[bundle]
name = {name}
title = {title}
# class_names = ["NORMAL", "PNEUMONIA"]    # the classes that the images must have

[data]
# Which images `bundle run-all` imports. Drawn ones, to try everything; your own, in class folders:
# source = "folder:path/to/images"
source = "synthetic"
sample_size = 100    # images of each class in each split; 0 takes all: set it to 0 for images of your own
seed = 0             # of sampling and splitting
# split = [0.6, 0.2, 0.2]    # shares of training, validation and testing, where the source has no splits
# group = "csv:patients.csv"  # whose image each is: all of a patient stay in one split (columns file, group)

[training]
# arguments = ["--epochs", "10"]    # options of the program: `bundle train -- --help` lists them
# time_s = 21600                    # limits of one run; the others: memory_mb, cpus, pids, output_mb

[evaluation]
# metric = "weighted_f1"    # what the leaderboard ranks by
# public_share = 0.5        # share of the test images on the board of a running phase; 1 shows all
"""

_README = """\
# {title}

A challenge bundle, made by `bundle new`. In this folder:

```
bundle run-all     # from images to a score and a report
bundle --help      # the other commands
```

Without an installed `bundle`, in the tool's own folder: `python tools/bundle.py --bundle FOLDER run-all`.

`bundle.toml` says what the challenge is and where its images come from.
{programs}
"""

_WITH_PROGRAMS = """\
`bundle_training/`, `bundle_inference/` and `scoring_program/` are the three programs, yours to change."""

_WITHOUT_PROGRAMS = """\
The three programs are those of the installed tool; a folder `bundle_training/`, `bundle_inference/` or
`scoring_program/` here replaces one."""

_GITIGNORE = """\
# made by the bundle; the testing classes are among it
/.bundle/
/model_output/
/input_data/
/submission_directory/
/submission*.zip

# passwords of the image database
.env

__pycache__/
wheelhouse/
"""


def name_for(folder: Path) -> str:
    """A bundle's name from its folder's: small letters, digits and dashes."""
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")
    return name[:_LONGEST_NAME].rstrip("-") or "bundle"


def write_manifest(layout: Layout, name: str = "", title: str = "") -> Bundle:
    """Write a commented bundle.toml.

    Args:
        layout: Of a bundle without one.
        name: Of the bundle; empty takes the folder's, made valid.
        title: As people read it; empty takes the name.

    Returns:
        What it says.

    Raises:
        ManifestError: The name or the title cannot be one; nothing is written.
    """
    name = name or name_for(layout.root)
    text = _MANIFEST.format(name=_quoted(name), title=_quoted(title or name))
    bundle = parse_manifest(text, layout.manifest)
    write_text(layout.manifest, text)
    return bundle


def make_bundle(folder: Path, name: str, title: str, with_programs: bool) -> Bundle:
    """Fill an empty folder with a bundle that runs.

    Args:
        folder: Made if it is not there.
        name: As of `write_manifest`.
        title: As of `write_manifest`.
        with_programs: Whether copies of the three programs are in it, to be changed.

    Raises:
        DataError: The folder is not empty.
        ManifestError: As of `write_manifest`.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(
            "is not an empty folder",
            folder,
            code="folder-not-empty",
            hint="name a folder that is not there yet",
        )
    folder.mkdir(parents=True, exist_ok=True)
    bundle = write_manifest(Layout(folder.resolve()), name, title)
    if with_programs:
        for file in program_files():
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(programs_root() / file, target)
    programs = _WITH_PROGRAMS if with_programs else _WITHOUT_PROGRAMS
    write_text(folder / "README.md", _README.format(title=bundle.title, programs=programs))
    write_text(folder / ".gitignore", _GITIGNORE)
    return bundle


def program_files() -> Iterator[str]:
    """What belongs to the programs, below `programs_root`: no wheels, caches or other hidden files."""
    yield DOCKERIGNORE
    for program in PROGRAM_FOLDERS:
        for path in sorted((programs_root() / program).rglob("*")):
            parts = path.relative_to(programs_root()).parts
            if path.is_file() and not any(map(_is_made_here, parts)):
                yield "/".join(parts)


def _is_made_here(name: str) -> bool:
    return name in ("wheelhouse", "__pycache__") or (name.startswith(".") and name != DOCKERIGNORE)


def _quoted(text: str) -> str:
    # A JSON string is a TOML one but for DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
