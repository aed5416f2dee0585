"""Where the package runs from: a checkout, or an installed wheel that carries the three programs."""

import sys
from pathlib import Path

DISTRIBUTION = "challenge-bundle"

_PACKAGE = Path(__file__).resolve().parent
_PACKAGED_PROGRAMS = _PACKAGE / "programs"

PROJECT_ROOT = _PACKAGE.parents[1]
"""The checkout. Of an installed wheel, the folder above site-packages: ask `is_installed` first."""

PROGRAM_FOLDERS = ("bundle_training", "bundle_inference", "scoring_program")


def is_installed() -> bool:
    """Whether this is an installed wheel; an editable install runs from its checkout."""
    return _PACKAGED_PROGRAMS.is_dir()


def programs_root() -> Path:
    """The folder that holds the three programs and the `.dockerignore` of the inference image's context."""
    return _PACKAGED_PROGRAMS if is_installed() else PROJECT_ROOT


def default_root() -> Path:
    """The bundle's folder where none is named: the current one; in a checkout, if it has a bundle.toml."""
    here = Path.cwd()
    return here if is_installed() or (here / "bundle.toml").is_file() else PROJECT_ROOT


def command_name() -> str:
    """How messages write the command."""
    return "bundle" if is_installed() else "python tools/bundle.py"


def install_hint(extra: str) -> str:
    """How the packages of an extra of pyproject.toml are installed here.

    The project is on no package index, where its name could be anybody's: a checkout installs itself, an
    installed wheel names the packages.
    """
    if not is_installed():
        what = "`make install` brings it too"
        return f"run `.venv/bin/pip install -e '.[{extra}]'` in the project's folder ({what})"
    packages = " ".join(f"'{package}'" for package in packages_of(extra))
    return f"run `{sys.executable} -m pip install {packages}`"


def package_hint(package: str) -> str:
    """How a package is installed that every installation should have."""
    return f"run `{sys.executable} -m pip install {package}`" if is_installed() else "run `make install`"


def packages_of(extra: str) -> list[str]:
    """The requirements of an extra, as this installation's metadata names them."""
    import importlib.metadata

    from packaging.requirements import Requirement

    found = map(Requirement, importlib.metadata.requires(DISTRIBUTION) or ())
    return [
        f"{one.name}{'[' + ','.join(sorted(one.extras)) + ']' if one.extras else ''}{one.specifier}"
        for one in found
        if one.marker and not one.marker.evaluate({"extra": ""}) and one.marker.evaluate({"extra": extra})
    ]
