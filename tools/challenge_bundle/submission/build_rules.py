"""A challenge's rules of the build: what a submission may build on, what it can install without a network."""

import contextlib
import itertools
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from challenge_bundle.engines.build_context import ANY_IMAGE, DOCKERFILE, wheels_folder
from challenge_bundle.errors import shown
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.formats.build_recipe import Recipe
from challenge_bundle.formats.container_image_name import canonical_image, is_allowed
from challenge_bundle.formats.kit_json import Kit, kit_text, parse_kit
from challenge_bundle.formats.path_patterns import parse_pattern
from challenge_bundle.formats.requirements import (
    RequirementLine,
    Wheel,
    missing_requirements,
    parse_requirement,
    parse_requirements,
    parse_wheels,
)
from challenge_bundle.submission.recipe_checks import BuildContext

MAX_TEXT_BYTES = 1 << 16
MAX_INSTALLS = 50
"""In one RUN; what comes after is not looked at."""

_PYTHON_IMAGE = re.compile(r"docker\.io/library/python[:@]")
"""The base image that is known to bring no packages."""

_INSTALL = re.compile(
    r"\bpip[\d.]*(?:\s+-[^\s;&|]+(?:\s+[^-\s;&|][^\s;&|]*)??){0,8}?\s+install(?=\s)(?P<words>[^;&|\n]*)"
)
_BEFORE_PIP = re.compile(r"\s*(?:[A-Za-z_]\w*=\S*\s+)*(?:\S*/)?(?:python[\d.]*\s+-m\s+)?")
"""Of a command that is pip's: settings, a path, Python."""

_SEPARATOR = re.compile(r"&&|\|\||[;|&\n]")
_STRICT = re.compile(r"\s*set\s+-[a-z]*e[a-z]*(?:\s+-o\s+pipefail|\s+pipefail)?\s*;")
_REDIRECTED = re.compile(r"\d*>&\d|&>")
_BLOCKS = (("then|do|case", "fi|done|esac"), (r"\(|\{", r"\)|\}"))
_PLACE = re.compile(r"find.links|\s-f\b|\.whl|wheelhous|CONFIG_FILE", re.IGNORECASE)
_WITH_VALUE = (
    *(
        "-r",
        "--requirement",
        "-c",
        "--constraint",
        "-t",
        "--target",
        "-f",
        "--find-links",
        "-i",
        "--index-url",
    ),
    *("--extra-index-url", "--prefix", "--root", "--python", "--platform", "--python-version", "--cache-dir"),
)
"""Options of pip whose value is the next word."""

_CONDITION = re.compile(r"(\[ |\btest |\bcommand |\bwhich |\bls )[^;]*&&[^;]*$")
_BROUGHT = ("pip", "setuptools", "wheel")
"""Packages of Python's own image: asked for in any version, pip is content with what there is."""

_QUOTES = str.maketrans("\"'[],", "     ")


@dataclass(frozen=True, slots=True)
class BuildRules:
    """What is known of how submissions are built.

    Args:
        kit: What can be installed; None where that is not known.
        base_images: What they may build on; empty if all that the organiser's engine has.
        base_image: Given as BASE_IMAGE; empty if the Dockerfile's own default counts.
    """

    kit: Kit | None = None
    base_images: tuple[str, ...] = ()
    base_image: str = ""

    def to_text(self) -> str:
        """As JSON, for a process of its own."""
        kit = None if self.kit is None else kit_text(self.kit)
        return json.dumps({"kit": kit, "base_images": self.base_images, "base_image": self.base_image})


NO_RULES = BuildRules()
"""Nothing is known, as for a platform other than this tool."""


def parse_rules(text: str) -> BuildRules:
    """The opposite of BuildRules.to_text."""
    document = json.loads(text)
    kit = None if document["kit"] is None else parse_kit(document["kit"], "the rules")
    return BuildRules(kit, tuple(document["base_images"]), document["base_image"])


def check_rules(
    recipe: Recipe, context: BuildContext, taken: frozenset[str], rules: BuildRules
) -> Iterator[Finding]:
    """Find what an evaluation by these rules would refuse, or a build by them fail on.

    Args:
        recipe: Of the Dockerfile.
        context: The zip's files.
        taken: Those that come into the image.
        rules: The challenge's.
    """
    yield from _check_bases(recipe, rules)
    if rules.kit is not None and rules.kit.wheels is not None:
        yield from _check_packages(recipe, context, taken, rules.kit, rules.kit.wheels)


def _check_bases(recipe: Recipe, rules: BuildRules) -> Iterator[Finding]:
    given = canonical_image(rules.base_image)
    own = canonical_image(rules.kit.base_image) if rules.kit else None
    for base in recipe.bases:
        if base.name in (given, canonical_image(ANY_IMAGE)):
            continue
        if not is_allowed(base.name, rules.base_images, rules.base_image):
            what = f"builds on {shown(base.name)}, which is not one of the challenge's base images"
            hint = f"build on {' or '.join(rules.base_images)}"
            yield Finding("base-image", ERROR, DOCKERFILE, what, hint, base.line)
        elif own and not rules.base_images and base.name != own:
            what = f"builds on {shown(base.name)}, but the organiser is known to have {own}"
            hint = "ask the organiser whether it is there"
            yield Finding("base-image-unknown", WARNING, DOCKERFILE, what, hint, base.line)


def _check_packages(
    recipe: Recipe, context: BuildContext, taken: frozenset[str], kit: Kit, given: Sequence[Wheel]
) -> Iterator[Finding]:
    """Find what pip would need a network for."""
    own = parse_wheels(PurePosixPath(name).name for name in taken)
    is_bare = all(_PYTHON_IMAGE.match(base.name) for base in recipe.bases)
    reachable = given if _takes_wheels(recipe, context) and _names_wheels(recipe, taken) else ()

    def missing(lines: Sequence[RequirementLine], wheels: Sequence[Wheel]) -> list[RequirementLine]:
        return missing_requirements(lines, wheels, kit.python_version, kit.machine)

    def is_brought(line: RequirementLine) -> bool:
        return line.requirement is not None and line.requirement.name.lower() in _BROUGHT

    def is_lacking(line: RequirementLine) -> bool:
        content = is_brought(line) and line.requirement is not None and not line.requirement.specifier
        return not content and bool(missing([line], [*own, *reachable]))

    for step in (line for line in recipe.lines if line.startswith("RUN ")):
        lacking = [asked for asked in _asked(step, context, taken) if is_lacking(asked[1])]
        # A base image may have the package: only a certain failure is an error, and it fails the whole step.
        fails = is_bare and any(certain and not is_brought(line) for _, line, certain in lacking)
        for place, line, _ in lacking:
            severity = ERROR if fails and not is_brought(line) else WARNING
            yield replace(_advice(line, kit, given, missing), severity=severity, location=place)


def _advice(
    line: RequirementLine,
    kit: Kit,
    given: Sequence[Wheel],
    missing: Callable[[Sequence[RequirementLine], Sequence[Wheel]], list[RequirementLine]],
) -> Finding:
    """The finding of a package that pip would not find."""
    row = line.line or None
    if not missing([line], given):
        what = f"{line.text} is one of the challenge's packages, but the Dockerfile does not use them"
        hint = (
            "COPY the folder wheelhouse/ next to requirements.txt, and install with --no-index --find-links,"
            " as bundle_inference/Dockerfile does"
        )
        return Finding("package-not-used", WARNING, DOCKERFILE, what, hint, row)
    there = [str(wheel) for wheel in given if not missing([_any_version(line)], [wheel])]
    what = f"{line.text} is neither among the challenge's packages nor a wheel in the zip"
    instead = f"ask for {there[0]}, or " if there else ""
    hint = (
        f"{instead}put its wheel into the zip: the build has no network (pip download --only-binary :all:"
        f" --python-version {kit.python_version} -d bundle_inference/wheelhouse '{line.text}')"
    )
    return Finding("package-missing", WARNING, DOCKERFILE, what, hint, row)


def _any_version(line: RequirementLine) -> RequirementLine:
    name = line.requirement.name if line.requirement else ""
    return RequirementLine(line.line, name, parse_requirement(name))


def _asked(
    step: str, context: BuildContext, taken: frozenset[str]
) -> Iterator[tuple[str, RequirementLine, bool]]:
    """What a RUN lets pip install: the file that asks for it, what it is, and whether it surely will be."""
    command = _command_of(step)
    for install in itertools.islice(_INSTALL.finditer(command), MAX_INSTALLS):
        is_certain = _is_certain(command, install.start(), install.end())
        words = iter(install["words"].translate(_QUOTES).split())
        for word in words:
            name, _, value = word.partition("=")
            if word.startswith("-r") and len(word) > 2 and not word.startswith("-r="):
                value, name = word[2:], "-r"
            elif name in _WITH_VALUE and not value:
                value = next(words, "")
            if name in ("-r", "--requirement"):
                for place, line in _in_file(PurePosixPath(value).name, context, taken):
                    yield place, line, is_certain
            elif not word.startswith("-") and parse_requirement(word) is not None:
                yield DOCKERFILE, RequirementLine(0, word, parse_requirement(word)), is_certain


def _command_of(step: str) -> str:
    """What a RUN has a shell do, or, where there is none, its words."""
    text = step.removeprefix("RUN ")
    with contextlib.suppress(ValueError):
        words = [str(word) for word in json.loads(text)]
        text = words[-1] if "-c" in words[1:-1] else " ".join(words)
    return _REDIRECTED.sub(" ", text)


def _is_certain(command: str, start: int, end: int) -> bool:
    """Whether an install is run in any case, and its failure is that of the RUN; any doubt is a no.

    Args:
        command: The shell's line.
        start: Where `pip` begins.
        end: Where what it installs ends.
    """
    before, after = command[:start], _SEPARATOR.findall(command[end:])
    begins = [found.end() for found in _SEPARATOR.finditer(before)]
    own = before[begins[-1] if begins else 0 :]
    blocks = (tuple(len(re.findall(rf"(?<![\w$])(?:{words})", before)) for words in pair) for pair in _BLOCKS)
    is_command = (
        _BEFORE_PIP.fullmatch(own) is not None
        and all(opened == closed for opened, closed in blocks)
        and not any(before.count(quote) % 2 for quote in "'\"`")
        and not re.search(r"(?:^|\s)#", before)
        and {*_SEPARATOR.findall(before)} <= {"&&", ";"}
        and not _CONDITION.search(before)
    )
    ends_it = {*after} <= {"&&"} or (_STRICT.match(command) is not None and after[0] == ";")
    return is_command and ends_it


def _in_file(
    file_name: str, context: BuildContext, taken: frozenset[str]
) -> Iterator[tuple[str, RequirementLine]]:
    """The lines of the files of a name that come into the image, wherever they are there."""
    for name in sorted(name for name in taken if PurePosixPath(name).name == file_name):
        path = context.folder / name
        if path.stat().st_size <= MAX_TEXT_BYTES:
            text = path.read_text(encoding="utf-8", errors="replace")
            for line in parse_requirements(text):
                yield name, line


def _names_wheels(recipe: Recipe, taken: frozenset[str]) -> bool:
    """Whether anything shows pip a place with wheels."""
    has_settings = any(PurePosixPath(name).name in ("pip.conf", ".pip.conf") for name in taken)
    return has_settings or any(
        _PLACE.search(line) for line in recipe.lines if line.startswith(("RUN", "ENV"))
    )


def _takes_wheels(recipe: Recipe, context: BuildContext) -> bool:
    """Whether the Dockerfile copies the wheels that a build is given, to the folder of requirements.txt."""
    place = wheels_folder(context.names - context.hidden.keys())
    if place is None:
        return False
    wheel = (place / "any.whl").as_posix()
    sources = (posixpath.normpath(source.lstrip("/") or ".") for c in recipe.copies for source in c.sources)
    return any(source == "." or parse_pattern(source).covers(wheel) for source in sources)
