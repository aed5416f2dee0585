"""Folders of wheels, from which images are built where there is no network."""

import shutil
import subprocess
import sys
from pathlib import Path

from tools.errors import UnavailableError
from tools.layout import Layout
from tools.programs import Program
from tools.runners.base import OnLine

NEWEST_GLIBC = 36
"""Of Debian 12, which python:3.11-slim is; wheels for this and every older one fit."""

OLDEST_GLIBC = 17


def fill_wheelhouse(
    program: Program, layout: Layout, folder: Path, python_version: str, machine: str, on_line: OnLine
) -> int:
    """Download the wheels that a program's image installs, for the image's system and not for this one.

    Args:
        program: Whose requirements.txt is taken.
        layout: Of the bundle.
        folder: Gets them in a folder of the program's; what was there is replaced when all are there.
        python_version: Of the image, such as `3.11`.
        machine: Of the image, `x86_64` or `aarch64`.
        on_line: Told of pip's progress.

    Returns:
        How many wheels there are.

    Raises:
        UnavailableError: pip could not get them; its own message was shown.
    """
    target = folder / program.folder
    incoming = target.with_name(f".{target.name}.part")
    shutil.rmtree(incoming, ignore_errors=True)
    requirements = layout.program_dir(program.folder) / "requirements.txt"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(incoming)]
    command += [
        "--requirement",
        str(requirements),
        "--only-binary",
        ":all:",
        "--python-version",
        python_version,
    ]
    for platform in platforms(machine):
        command += ["--platform", platform]
    on_line(f"downloading the wheels of {program.folder}/requirements.txt")
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode != 0:
        shutil.rmtree(incoming, ignore_errors=True)
        raise UnavailableError(
            f"pip cannot get all wheels of {requirements} for Python {python_version} on {machine};"
            " its message stands above"
        )
    shutil.rmtree(target, ignore_errors=True)
    incoming.replace(target)
    return len(list(target.glob("*.whl")))


def platforms(machine: str) -> list[str]:
    """The platform tags of wheels that run on a Linux of that machine, the newest first.

    Source:
        PEP 600, manylinux_x_y.
    """
    newer = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
    return [*newer, f"manylinux2014_{machine}", f"linux_{machine}"]
