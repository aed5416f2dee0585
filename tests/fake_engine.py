"""An engine without containers, for tests: an image is a folder, and a run is a process of this machine.

It builds, runs, limits, stops and sweeps for real, so that a whole evaluation works on it in seconds. It
isolates nothing: no network is cut, no folder is hidden. Of a Dockerfile it knows one stage, on a Python
image. A program is a Python script, which gets its two folders as arguments and finds the packages of
this Python: RUN in Dockerfiles of the bundle's own programs, which install packages, is passed over.
"""

import contextlib
import fnmatch
import hashlib
import json
import os
import posixpath
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from challenge_bundle.engines.base import (
    BuildOutcome,
    BuildSpec,
    Capacity,
    Claim,
    ImageInfo,
    OnLine,
    Outcome,
    RunSpec,
)
from challenge_bundle.engines.output_lines import split_lines
from challenge_bundle.errors import ProgramError
from challenge_bundle.files import remove_tree, write_text
from challenge_bundle.formats.build_recipe import BaseConfig, Recipe
from challenge_bundle.formats.container_image_name import canonical_image
from challenge_bundle.formats.dockerfile import DockerfileError
from tests import fake_process

MB = 2**20
LOOK_EVERY_S = 0.05
BASES = ("docker.io/library/python:3.11-slim",)


class FakeEngine:
    """See Engine.

    Args:
        root: Holds the images and a record of each run; engines of the same root are one engine.
        description: See Engine.
        bases: The images that it has from elsewhere, by canonical name.
    """

    name = "fake"
    builds_images = True
    is_isolated = False

    def __init__(self, root: Path, description: str = "Fake 1", bases: Collection[str] = BASES) -> None:
        self.root, self.description, self.bases = root, description, bases
        self.wheelhouse: Path | None = None
        self.get_wheels: Callable[[str, OnLine], bool] = lambda program, on_line: False
        for name in ("images", "builds", "runs"):
            (root / name).mkdir(parents=True, exist_ok=True)

    @property
    def capacity(self) -> Capacity:
        """Two processors and 8 GiB, whatever this machine has."""
        return Capacity(cpus=2, memory_bytes=8 << 30)

    def build(self, spec: BuildSpec, on_line: OnLine) -> BuildOutcome:
        """Copy what the Dockerfile copies into a folder, and run what it runs there."""
        place = self._place(spec.image)
        if place.is_dir():
            return self._measured(spec)
        recipe = spec.recipe(spec.arguments())
        for base in recipe.bases:
            if spec.bases is not None and base.name not in spec.bases:
                raise DockerfileError(
                    f"is built on {base.name}", base.line, code="base-image", hint="name another"
                )
            if base.name not in self.bases:
                if spec.limits is None:
                    raise ProgramError(f"the image {spec.name} cannot be built", code="image-not-built")
                return BuildOutcome(error="no such image", lacks_base=True, is_doubtful=True)
        folder = self.root / "builds" / uuid.uuid4().hex
        (folder / "root").mkdir(parents=True)
        about = {"owner": spec.owner, "key": spec.key, "submission": spec.limits is not None}
        about |= {"command": _command(recipe), "volumes": bool(recipe.volume_lines), "name": spec.image}
        write_text(folder / "about.json", json.dumps(about))
        try:
            outcome = self._fill(spec, recipe, folder / "root", on_line)
            if outcome is None:
                with contextlib.suppress(OSError):  # another build of the same was first
                    folder.rename(place)
                return self._measured(spec)
        finally:
            remove_tree(folder)
        if spec.limits is None:
            raise ProgramError(f"the image {spec.name} cannot be built", code="image-not-built")
        return outcome

    def _fill(self, spec: BuildSpec, recipe: Recipe, root: Path, on_line: OnLine) -> BuildOutcome | None:
        """Do a Dockerfile's steps; gives why they failed, None if they did not."""
        lines: list[str] = []

        def show(line: str) -> None:
            lines.append(line)
            on_line(line)

        deadline = time.monotonic() + (spec.limits.time_s if spec.limits else 3600)
        workdir = "/"
        for line in recipe.lines:
            name, _, value = line.partition(" ")
            show(f"Step: {line}")
            if name == "FROM":
                # Of earlier stages nothing is kept: a COPY from one brings packages, which are there.
                remove_tree(root)
                root.mkdir()
                workdir = "/"
            elif name == "WORKDIR":
                workdir = posixpath.join(workdir, value)
            elif name == "COPY" and not value.startswith("--from"):
                if missing := _copy(spec, json.loads(value[value.index("[") :]), workdir, root):
                    return BuildOutcome(error=f"COPY failed: {missing}", last_lines=tuple(lines))
            elif name == "RUN" and spec.limits is not None:
                status = _run_step(value, root, deadline, show)
                if status is None:
                    return BuildOutcome(limit="time", allowed=spec.limits.time_s, last_lines=tuple(lines))
                if status:
                    error = f"The command '{value}' returned a non-zero code: {status}"
                    return BuildOutcome(
                        error=error, last_lines=tuple(lines), is_doubtful=status in (137, 143)
                    )
        return None

    def _measured(self, spec: BuildSpec) -> BuildOutcome:
        place = self._place(spec.image)
        size = _size(place / "root")
        if spec.limits is not None and size > spec.limits.image_mb * MB:
            self.forget(spec.image)
            return BuildOutcome(limit="size", allowed=spec.limits.image_mb)
        has_volumes = bool(json.loads((place / "about.json").read_text())["volumes"])
        return BuildOutcome(_digest(spec.image), size, has_volumes=has_volumes)

    def inspect(self, image: str) -> ImageInfo | None:
        """Look at an image's folder, or at a base image's name."""
        name = canonical_image(image) or image
        if name in self.bases:
            return ImageInfo(_digest(name), (name,), BaseConfig(), platform="linux/amd64")
        if not self._place(image).is_dir():
            return None
        return ImageInfo(_digest(image), (name,), is_ours=True, platform="linux/amd64")

    def fetch(self, image: str) -> ImageInfo | None:
        """There is no registry."""
        return self.inspect(image)

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        """Run an image's script as a process in a session of its own, and end it at its limits."""
        if spec.key:
            self.stop(spec.owner, spec.key)
        place = self._place(spec.image)
        if not spec.image or not place.is_dir():
            raise ProgramError(f"{spec.name} cannot be run: no image {spec.image}", code="no-image")
        command = json.loads((place / "about.json").read_text())["command"]
        script = next((word for word in command if word.endswith(".py")), "")
        if not script or not (place / "root" / script.lstrip("/")).is_file():
            on_line(f"no program in {spec.image}")
            return Outcome(127, "", "", 0.0, is_started=False)
        arguments = command[command.index(script) + 1 :]
        folders = str(spec.input_dir), str(spec.output_dir)
        arguments += [*folders, *spec.options(*folders)]
        record = self.root / "runs" / f"{uuid.uuid4().hex}.json"
        started = time.monotonic()
        process, output = fake_process.start(
            place / "root" / script.lstrip("/"),
            arguments,
            spec.output_dir,
            spec.limits.output_mb * MB,
            record,
            {"owner": spec.owner, "key": spec.key},
        )
        pid = process.pid
        assert pid is not None
        printed: list[str] = []
        reader = threading.Thread(target=_show, args=(output, printed, on_line), daemon=True)
        reader.start()
        limit, peak = "", 0
        try:
            while process.exitcode is None:
                process.join(LOOK_EVERY_S)
                peak = max(peak, _memory_bytes(pid))
                limit = limit or _limit_of(spec, time.monotonic() - started, peak)
                if limit:
                    fake_process.end(pid)
                    process.join()
        finally:
            # Also what the program has left behind, which may hold its output open.
            fake_process.end(pid)
            process.join()
            reader.join()
            output.close()
            record.unlink(missing_ok=True)
        code = process.exitcode or 0
        process.close()
        last_line = next((line.strip() for line in reversed(printed) if line.strip()), "")
        return Outcome(code if code >= 0 else 128 - code, limit, last_line, time.monotonic() - started, peak)

    def stop(self, owner: str, key: str = "") -> int:
        """End the processes that are recorded for an owner and a key."""
        ended = 0
        for path in (self.root / "runs").glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                about = json.loads(path.read_text())
                if about["owner"] != owner or (key and about["key"] != key):
                    continue
                pid, since = int(about["pid"]), about["since"]
                if fake_process.is_running(pid, since):
                    fake_process.end(pid)
                    ended += 1
                    while fake_process.is_running(pid, since):
                        time.sleep(LOOK_EVERY_S)
                path.unlink()
        return ended

    def sweep(self, owner: str, kept: Collection[str], claim: Claim) -> None:
        """Stop the owner's runs, and remove unfinished builds and images of submissions that do not go on."""
        self.stop(owner)
        for folder in [*(self.root / "builds").iterdir(), *(self.root / "images").iterdir()]:
            about = json.loads((folder / "about.json").read_text())
            if about["owner"] != owner or not about["submission"]:
                continue
            is_finished = folder.parent.name == "images"
            with claim(about["key"]) as is_held:
                if is_held and not (is_finished and (about["key"] in kept or not about["key"])):
                    remove_tree(folder)

    def forget(self, image: str) -> None:
        """Remove an image's folder."""
        remove_tree(self._place(image))

    def forget_older(self, image: str) -> None:
        """Remove the folders of the same repository."""
        repository = image.partition(":")[0]
        for place in (self.root / "images").iterdir():
            name = json.loads((place / "about.json").read_text())["name"]
            if name != image and name.partition(":")[0] == repository:
                remove_tree(place)

    def python_version(self, image: str) -> str:
        """That of the only base image."""
        return "3.11"

    def has_room(self, folder: Path) -> bool:
        """No run is ended for the room on a disk."""
        return True

    def works(self, image: str = "") -> bool:
        """Whether the image, if one is given, is there."""
        return not image or self.inspect(image) is not None

    def close(self) -> None:
        """Nothing is held."""

    def _place(self, image: str) -> Path:
        return self.root / "images" / image.replace("/", "_").replace(":", "@")


def _digest(image: str) -> str:
    return f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"


def _command(recipe: Recipe) -> list[str]:
    """The words of the last ENTRYPOINT and CMD, in JSON form."""
    words: dict[str, list[str]] = {}
    for line in recipe.lines:
        name, _, value = line.partition(" ")
        if name in ("ENTRYPOINT", "CMD") and value.startswith("["):
            words[name] = json.loads(value)
    return [*words.get("ENTRYPOINT", []), *words.get("CMD", [])]


def _copy(spec: BuildSpec, words: list[str], workdir: str, root: Path) -> str:
    """Copy files of the context, of a folder its content; gives a source that is missing, if one is."""
    *sources, target = words
    target = posixpath.join(workdir, target)
    found: list[tuple[str, Path]] = []
    has_folder = len(sources) > 1
    for source in (posixpath.normpath(source.lstrip("/") or ".") for source in sources):
        inside = {
            name.removeprefix("" if source == "." else f"{source}/"): path
            for name, path in spec.files.items()
            if source == "." or name.startswith(f"{source}/")
        }
        files = [(posixpath.basename(n), p) for n, p in spec.files.items() if fnmatch.fnmatch(n, source)]
        if not inside and not files and not any(sign in source for sign in "*?["):
            return source
        has_folder = has_folder or bool(inside)
        found += [*inside.items(), *files]
    for name, path in found:
        place = target if not has_folder and not target.endswith("/") else posixpath.join(target, name)
        (root / place.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / place.lstrip("/"))
    return ""


def _run_step(command: str, root: Path, deadline: float, show: OnLine) -> int | None:
    """Run a step of a build in the image's folder; gives its exit status, None if the time is over."""
    process = subprocess.Popen(
        ["sh", "-c", command],
        cwd=root,
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    is_over = threading.Event()

    def end() -> None:
        is_over.set()
        fake_process.end(process.pid)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), end)
    timer.start()
    with process:
        assert process.stdout is not None
        for line in split_lines(iter(lambda: process.stdout.read1(1 << 16), b"")):  # type: ignore[union-attr]
            show(line)
        status = process.wait()
    timer.cancel()
    return None if is_over.is_set() else status if status >= 0 else 128 - status


def _show(output: fake_process.Connection, printed: list[str], on_line: OnLine) -> None:
    def chunks() -> Iterator[bytes]:
        while chunk := os.read(output.fileno(), 1 << 16):
            yield chunk

    for line in split_lines(chunks()):
        printed.append(line)
        on_line(line)


def _limit_of(spec: RunSpec, seconds: float, memory_bytes: int) -> str:
    if seconds > spec.limits.time_s:
        return "time"
    if memory_bytes > spec.limits.memory_mb * MB:
        return "memory"
    return "output" if _size(spec.output_dir) > spec.limits.output_mb * MB else ""


def _memory_bytes(pid: int) -> int:
    """What a process has written to; what it shares with the server that forked it does not count."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
    return 0


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
