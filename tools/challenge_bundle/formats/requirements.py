"""What a requirements.txt asks for and what a folder of wheels gives, without installing anything."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

_COMMENT = re.compile(r"(^|\s)#.*$")
_OPTION_BEHIND = re.compile(r"\s--?[A-Za-z].*$")


@dataclass(frozen=True, slots=True)
class RequirementLine:
    """One line of a requirements.txt that asks for a package.

    Args:
        line: Where it begins, from 1.
        text: As written, without comment and options behind it.
        requirement: Parsed; None where pip alone understands it (a path, a URL, an option such as `-r`).
    """

    line: int
    text: str
    requirement: Requirement | None


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package that can be installed from a file.

    Args:
        name: In canonical form, such as `scikit-learn`.
        version: Of the package.
    """

    name: str
    version: Version

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def parse_requirements(text: str) -> list[RequirementLine]:
    """Split a requirements.txt into what it asks for.

    Source:
        pip's documentation, "Requirements File Format".
    """
    found: list[RequirementLine] = []
    lines = enumerate(text.splitlines(), start=1)
    for number, line in lines:
        joined = line
        while joined.endswith("\\"):
            joined = joined[:-1] + next((following for _, following in lines), "")
        plain = _COMMENT.sub("", joined).strip()
        if not plain:
            continue
        if not plain.startswith("-"):
            plain = _OPTION_BEHIND.sub("", plain).strip()
        found.append(RequirementLine(number, plain, parse_requirement(plain)))
    return found


def parse_requirement(text: str) -> Requirement | None:
    """A requirement such as `numpy>=2`; None if it is none, or names a URL or a path."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return None
    return None if requirement.url else requirement


def parse_wheels(file_names: Iterable[str]) -> tuple[Wheel, ...]:
    """The packages of wheel files, by their names; other files are ignored."""
    found: list[Wheel] = []
    for file_name in file_names:
        try:
            name, version, _, _ = parse_wheel_filename(file_name)
        except (InvalidWheelFilename, InvalidVersion):
            continue
        found.append(Wheel(name, version))
    return tuple(sorted(set(found), key=str))


def parse_wheel(text: str) -> Wheel | None:
    """The opposite of str(Wheel)."""
    name, _, version = text.partition("==")
    try:
        return Wheel(canonicalize_name(name, validate=True), Version(version))
    except ValueError:
        return None


def missing_requirements(
    lines: Sequence[RequirementLine], wheels: Iterable[Wheel], python_version: str, machine: str
) -> list[RequirementLine]:
    """The requirements that no wheel meets.

    Args:
        lines: Of a requirements.txt; those that only pip understands are ignored.
        wheels: What there is.
        python_version: Of the image, such as `3.11`.
        machine: Of the image, such as `x86_64`.
    """
    environment = {
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
        "platform_machine": machine,
        "platform_system": "Linux",
        "sys_platform": "linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    by_name: dict[str, list[Version]] = {}
    for wheel in wheels:
        by_name.setdefault(wheel.name, []).append(wheel.version)
    found = []
    for line in lines:
        requirement = line.requirement
        if requirement is None or (requirement.marker and not requirement.marker.evaluate(environment)):
            continue
        versions = by_name.get(canonicalize_name(requirement.name), [])
        # pip takes a pre-release where there is nothing else.
        if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            found.append(line)
    return found
