"""kit.json: what submissions are built with at the organiser's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.errors import DataError
from challenge_bundle.formats.requirements import Wheel, parse_wheel

KIT_NAME = "kit.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Kit:
    """What a submission is built with.

    Args:
        wheels: Packages that can be installed without a network; None where the build has a network.
        python_version: Of the base image, such as `3.11`.
        machine: Such as `x86_64`.
        base_image: What the organiser's own submission is built on.
    """

    wheels: tuple[Wheel, ...] | None = None
    python_version: str = "3.11"
    machine: str = "x86_64"
    base_image: str = ""


def kit_text(kit: Kit) -> str:
    """The text of a kit.json; the same kit has the same."""
    document = {
        "format": FORMAT,
        "python_version": kit.python_version,
        "machine": kit.machine,
        "base_image": kit.base_image,
        "wheels": None if kit.wheels is None else [str(wheel) for wheel in kit.wheels],
    }
    return json.dumps(document, indent=2) + "\n"


def read_kit(path: Path) -> Kit | None:
    """Read a kit.json; None if there is none.

    Raises:
        DataError: It is not one that this version of the tool knows.
    """
    try:
        return parse_kit(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8", path, code="kit-json", hint="take the one of the kit again") from None


def parse_kit(text: str, path: Path | str) -> Kit:
    """Parse the text of a kit.json; see read_kit."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise DataError("is not JSON", path, code="kit-json", hint="take the one of the kit again") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(
            "is of another version of this tool",
            path,
            code="kit-version",
            hint="take the version that the organiser names",
        )
    return _parse(document, path)


def _parse(document: dict[str, Any], path: Path | str) -> Kit:
    names = document.get("wheels")
    texts = [document.get(key) for key in ("python_version", "machine", "base_image")]
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if (names is not None and not is_list) or not all(isinstance(text, str) for text in texts):
        raise DataError(
            "lacks a key, or has a value of another type",
            path,
            code="kit-json",
            hint="take the one of the kit again",
        )
    wheels = None if names is None else [parse_wheel(name) for name in names]
    if wheels is not None and None in wheels:
        raise DataError(
            "has the name of a wheel that is not valid",
            path,
            code="kit-json",
            hint="take the one of the kit again",
        )
    python_version, machine, base_image = map(str, texts)
    known = None if wheels is None else tuple(wheel for wheel in wheels if wheel is not None)
    return Kit(known, python_version, machine, base_image)
