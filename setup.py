"""The part of the build that pyproject.toml cannot express: the wheel carries the three programs."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PROGRAMS = ("bundle_training", "bundle_inference", "scoring_program")
PACKAGED = "challenge_bundle/programs"
IGNORE = ".dockerignore"
"""Of the folder above the programs, too: it belongs to the inference image's build context."""


def program_files() -> Iterator[str]:
    """What git holds of the programs: no wheels, no caches, no hidden files but `.dockerignore`."""
    yield IGNORE
    for program in PROGRAMS:
        for path in sorted((ROOT / program).rglob("*")):
            parts = path.relative_to(ROOT).parts
            is_made_here = any(
                part in ("wheelhouse", "__pycache__") or (part.startswith(".") and part != IGNORE)
                for part in parts
            )
            if path.is_file() and not is_made_here:
                yield "/".join(parts)


class BuildWithPrograms(build_py):
    """Copies the programs into the package, except for an editable install, which uses the checkout's."""

    def run(self) -> None:
        """Build."""
        super().run()
        if self.editable_mode:
            return
        packaged = Path(self.build_lib, PACKAGED)
        # A former build's may hold files that are gone here.
        shutil.rmtree(packaged, ignore_errors=True)
        for name in program_files():
            target = packaged / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)

    def get_source_files(self) -> list[str]:
        """What an sdist holds."""
        return [*super().get_source_files(), *program_files()]


setup(cmdclass={"build_py": BuildWithPrograms})
