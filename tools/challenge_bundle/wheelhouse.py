"""Folders of wheels, from which images are built without a network: filled, and checked for changes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from challenge_bundle.engines.base import Engine, OnLine
from challenge_bundle.engines.build_context import read_dockerfile
from challenge_bundle.engines.choice import connect_isolated
from challenge_bundle.engines.output_lines import printable
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.files import write_text
from challenge_bundle.formats.build_recipe import read_recipe
from challenge_bundle.formats.kit_json import KIT_NAME, Kit, read_kit
from challenge_bundle.formats.requirements import (
    RequirementLine,
    Wheel,
    missing_requirements,
    parse_requirements,
    parse_wheels,
)
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE, PROGRAMS, Program, plan_build
from challenge_bundle.settings import Bundle
from challenge_bundle.submission.build_rules import BuildRules

NEWEST_GLIBC = 36
"""Of Debian 12, which python:3.11-slim is; wheels for this and every older one fit."""

OLDEST_GLIBC = 17
STAMP_NAME = "wheels.json"
SHOWN_LINES = 8
DEFAULT_PYTHON = "3.11"
DEFAULT_MACHINE = "x86_64"
RETRIES = "2"

_PROGRESS = ("Collecting ", "Downloading ", "Processing ")


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels are for.

    Args:
        python_version: Of the image, such as `3.11`.
        machine: Of the image, `x86_64` or `aarch64`.
    """

    python_version: str = DEFAULT_PYTHON
    machine: str = DEFAULT_MACHINE


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a folder of wheels was filled for; written when it is whole.

    Args:
        requirements: As they were, one per line.
        target: What they are for.
        sizes: Bytes of each wheel that pip brought, by file name.
    """

    requirements: tuple[str, ...] = ()
    target: Target = field(default_factory=Target)
    sizes: dict[str, int] = field(default_factory=dict)


def wanted(program: Program, bundle: Bundle, layout: Layout) -> list[RequirementLine]:
    """What a program's image installs; for inference, what the challenge gives to submissions besides."""
    path = layout.program_dir(program.folder) / "requirements.txt"
    lines = parse_requirements(path.read_text(encoding="utf-8")) if path.is_file() else []
    extra = bundle.evaluation.packages if program is INFERENCE else ()
    return [*lines, *parse_requirements("\n".join(extra))]


def fill_wheelhouse(
    program: Program, bundle: Bundle, layout: Layout, folder: Path, target: Target, on_line: OnLine
) -> int:
    """Download the wheels that a program's image installs, for the image's system and not for this one.

    Args:
        program: Whose requirements.txt is taken.
        bundle: Gives the packages that submissions get besides.
        layout: Of the bundle.
        folder: Gets them in a folder of the program's, whole or not at all. Wheels that somebody put there
            by hand stay.
        target: What the wheels are for.
        on_line: Gets pip's progress.

    Returns:
        How many wheels there are.

    Raises:
        UnavailableError: pip could not get them; the details are its own last lines.
    """
    place = folder / program.folder
    requirements = tuple(line.text for line in wanted(program, bundle, layout))
    incoming = place.with_name(f".{place.name}.part")
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    on_line(f"wheels of {program.folder}/requirements.txt for Python {target.python_version}")
    try:
        own = layout.program_dir(program.folder) / "requirements.txt"
        asked = ["--requirement", str(own)] if own.is_file() else []
        asked += bundle.evaluation.packages if program is INFERENCE else ()
        _download(asked, incoming, target, on_line)
        sizes = {path.name: path.stat().st_size for path in incoming.glob("*.whl")}
        for path in place.glob("*.whl"):
            if path.name not in _read_stamp(place).sizes and path.name not in sizes:
                shutil.copy2(path, incoming)
        document = {
            "requirements": requirements,
            "python_version": target.python_version,
            "machine": target.machine,
            "sizes": dict(sorted(sizes.items())),
        }
        write_text(incoming / STAMP_NAME, json.dumps(document, indent=2) + "\n")
        shutil.rmtree(place, ignore_errors=True)
        incoming.replace(place)
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return len(list(place.glob("*.whl")))


def out_of_date(program: Program, bundle: Bundle, layout: Layout, folder: Path) -> str:
    """Why a program's wheels have to be downloaded (again); empty if they need not be.

    Wheels that were put there by hand have no stamp: then every requirement needs a wheel that meets it.
    """
    lines = wanted(program, bundle, layout)
    place = folder / program.folder
    if not lines:
        return ""
    if not any(place.glob("*.whl")):
        return "there are none"
    stamp = _read_stamp(place)
    if stamp.requirements and stamp.requirements != tuple(line.text for line in lines):
        return "the requirements have changed"
    for name, size in stamp.sizes.items():
        if not (place / name).is_file() or (place / name).stat().st_size != size:
            return f"{name} is missing or cut off"
    missing = missing_requirements(lines, wheels_in(place), stamp.target.python_version, stamp.target.machine)
    return f"none is for {missing[0].text}" if missing else ""


def give_wheels(
    engine: Engine,
    programs: Sequence[Program],
    bundle: Bundle,
    layout: Layout,
    on_line: OnLine,
    for_submissions: bool = False,
) -> None:
    """Let an engine build from wheels, and fill what is missing or out of date of them.

    Where nobody named a folder of wheels, the bundle's own is taken: for submissions always, for the bundle's
    programs if it was filled for them once, or if their build turns out to have no network.

    Args:
        engine: Gets the folder; nothing is done for one that builds no images.
        programs: Whose images are to be built; nothing is downloaded for those that are built.
        bundle: The manifest.
        layout: Of the bundle.
        on_line: Gets pip's progress.
        for_submissions: Whether inference stands for submissions, which are built without a network. Whether
            they can be, without what could not be got here, is for the baseline to show.

    Raises:
        UnavailableError: The folder that was named cannot be filled.
    """
    if not engine.builds_images:
        return
    named = engine.wheelhouse is not None
    folder = engine.wheelhouse = engine.wheelhouse or layout.wheelhouse

    def fill(program: Program, reason: str, on_line: OnLine) -> None:
        on_line(f"{folder / program.folder}: {reason}; downloading")
        try:
            target = target_of_image(program, bundle, layout, engine)
            fill_wheelhouse(program, bundle, layout, folder, target, on_line)
        except UnavailableError as fault:
            raise UnavailableError(
                f"{reason}, and {fault.finding.text}",
                folder / program.folder,
                details=fault.details,
                code="wheels-not-downloaded",
                hint=_fill_hint(folder, layout, program),
            ) from None

    def get(name: str, on_line: OnLine) -> bool:
        on_line("the build has no network; building from wheels that this machine gets")
        with _warning(on_line) as worked:
            fill(PROGRAMS[name], "there are none", on_line)
        return bool(worked)

    engine.get_wheels = get
    for program in programs:
        is_submission = for_submissions and program is INFERENCE
        is_used = named or for_submissions or (folder / program.folder).is_dir()
        if not is_used or (not is_submission and _is_built(program, bundle, layout, engine)):
            continue
        reason = out_of_date(program, bundle, layout, folder)
        if reason and named and not for_submissions:
            fill(program, reason, on_line)
        elif reason:
            with _warning(on_line):
                fill(program, reason, on_line)


@contextmanager
def _warning(on_line: OnLine) -> Iterator[list[bool]]:
    """Turn what is missing here into a warning; yields a list that is not empty if nothing is missing."""
    worked: list[bool] = []
    try:
        yield worked
        worked.append(True)
    except UnavailableError as fault:
        for line in (f"warning: {fault}", *fault.details):
            on_line(line)


def target_of_image(program: Program, bundle: Bundle, layout: Layout, engine: Engine) -> Target:
    """What the wheels of a program's image are for, by its base image and the engine's machine."""
    base = base_of(program, bundle, layout)
    return Target((base and engine.python_version(base)) or DEFAULT_PYTHON, engine.capacity.machine)


def base_of(program: Program, bundle: Bundle, layout: Layout) -> str:
    """The image that a program's is built on; empty if its Dockerfile names none."""
    path = layout.program_dir(program.folder) / "Dockerfile"
    if bundle.base_image or not path.is_file():
        return bundle.base_image
    return next((base.name for base in read_recipe(read_dockerfile(path), {}).bases), "")


def default_target(program: Program, bundle: Bundle, layout: Layout) -> Target:
    """What a program's wheels are for, where an engine knows it; else the common case."""
    try:
        engine = connect_isolated("none")
    except UnavailableError:
        return Target()
    with closing(engine):
        return target_of_image(program, bundle, layout, engine)


def _is_built(program: Program, bundle: Bundle, layout: Layout, engine: Engine) -> bool:
    try:
        spec = plan_build(program, bundle, layout, engine.capacity.gives_gpu)
        return engine.inspect(spec.image) is not None
    except DataError:
        # Such as a model that is not trained yet.
        return False


def _fill_hint(folder: Path, layout: Layout, program: Program) -> str:
    """The command that fills a wheelhouse, to be run on a machine that has a package index."""
    where = "" if folder == layout.wheelhouse else f" {folder}"
    command = f"wheelhouse{where} --program {program.name}"
    return f"where there is a package index, run `{command}`, and copy {folder} here"


def read_offer(bundle: Bundle, layout: Layout, folder: Path | None, on_line: OnLine) -> Kit:
    """What submissions are built with; missing wheels are downloaded first.

    Args:
        bundle: The manifest.
        layout: Of the bundle.
        folder: The wheelhouse; None takes the bundle's own.
        on_line: Gets pip's progress.

    Raises:
        UnavailableError: The wheels are not here, and cannot be got.
    """
    base = base_of(INFERENCE, bundle, layout).removeprefix("docker.io/library/")
    if bundle.evaluation.build_network:
        return Kit(base_image=base)
    house = folder or layout.wheelhouse
    if out_of_date(INFERENCE, bundle, layout, house):
        target = default_target(INFERENCE, bundle, layout)
        try:
            fill_wheelhouse(INFERENCE, bundle, layout, house, target, on_line)
        except UnavailableError as fault:
            raise UnavailableError(
                fault.finding.text,
                details=fault.details,
                code="wheels-not-downloaded",
                hint=_fill_hint(house, layout, INFERENCE),
            ) from None
    target = target_of(house, INFERENCE)
    return Kit(wheels_in(house / INFERENCE.folder), target.python_version, target.machine, base)


def read_rules(bundle: Bundle, layout: Layout, folder: Path | None) -> BuildRules:
    """How submissions are built, as far as it is known here: by a kit, or at the organiser's by the wheels.

    Args:
        bundle: The manifest.
        layout: Of the bundle.
        folder: The wheelhouse that submissions are built from.

    Raises:
        DataError: There is a kit.json that cannot be read.
    """
    kit = read_kit(layout.root / KIT_NAME)
    wheels = wheels_in(folder / INFERENCE.folder) if folder else ()
    if kit is None and folder and wheels and not bundle.evaluation.build_network:
        target = target_of(folder, INFERENCE)
        kit = Kit(wheels, target.python_version, target.machine)
    return BuildRules(kit, bundle.evaluation.base_images, bundle.base_image)


def wheels_in(place: Path) -> tuple[Wheel, ...]:
    """The packages in a folder of wheels."""
    return parse_wheels(path.name for path in place.glob("*.whl"))


def target_of(folder: Path, program: Program) -> Target:
    """What a program's wheels are for."""
    return _read_stamp(folder / program.folder).target


def platforms(machine: str) -> list[str]:
    """The platform tags of wheels that run on a Linux of that machine, the newest first.

    Source:
        PEP 600, manylinux_x_y.
    """
    newer = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
    return [*newer, f"manylinux2014_{machine}", f"linux_{machine}"]


def _download(asked: Sequence[str], incoming: Path, target: Target, on_line: OnLine) -> None:
    """Let pip download.

    Raises:
        UnavailableError: It could not.
    """
    command = [sys.executable, "-m", "pip", "download", "--progress-bar", "off", "--no-color"]
    command += ["--retries", RETRIES, "--dest", str(incoming), *asked]
    command += ["--only-binary", ":all:", "--python-version", target.python_version]
    for platform in platforms(target.machine):
        command += ["--platform", platform]
    printed: list[str] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as pip:
        assert pip.stdout is not None
        try:
            for line in pip.stdout:
                text = printable(line.rstrip("\n"))
                printed.append(text)
                if text.strip().startswith(_PROGRESS):
                    # Without what asked for it, and the place of a file.
                    what, _, name = text.strip().partition(" (from ")[0].partition(" ")
                    on_line(f"{what} {name.rpartition('/')[2]}")
        except BaseException:
            pip.kill()
            raise
    if pip.returncode != 0:
        raise UnavailableError(
            f"pip cannot get all wheels for Python {target.python_version} on {target.machine}",
            details=tuple(line for line in printed if line.strip())[-SHOWN_LINES:],
            code="pip-failed",
        )


def _read_stamp(place: Path) -> Stamp:
    """What is known of a folder of wheels; nothing of one that was filled by hand."""
    try:
        document = json.loads((place / STAMP_NAME).read_text(encoding="utf-8"))
        return Stamp(
            tuple(map(str, document["requirements"])),
            Target(str(document["python_version"]), str(document["machine"])),
            {str(name): int(size) for name, size in document["sizes"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Stamp()
