"""What an engine is: something that builds images and runs programs in them, and reports how each ended.

All other rooms depend on this module alone; `choice.py` is the one place that knows which engines there are.
A new engine is one module or folder in this room that passes `tests/contract/test_engines.py`.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from challenge_bundle.engines.build_context import DOCKERFILE, read_dockerfile
from challenge_bundle.files import hash_file, is_executable
from challenge_bundle.formats.build_recipe import BaseConfig, Recipe, read_recipe
from challenge_bundle.settings import Limits

OnLine = Callable[[str], None]
"""Called with each line that a program or a build prints, made printable."""

Claim = Callable[[str], AbstractContextManager[bool]]
"""Holds the work on a key while its block runs; yields False where somebody else holds it."""

KILLED = (128 + 9, 128 + 15)
"""Exit statuses of what was ended by SIGKILL or SIGTERM, whoever sent them."""


@dataclass(frozen=True, slots=True)
class BuildLimits:
    """What the build of a submission may use.

    Args:
        time_s: Seconds.
        memory_mb: Of one step, in 2**20 bytes.
        image_mb: Of the finished image, in 2**20 bytes.
        network: Whether it has a network.
    """

    time_s: int
    memory_mb: int
    image_mb: int
    network: bool = False


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """What an image is built from.

    Args:
        name: Repository, such as `mednist-training`.
        folder: Of the program; its wheels lie in a folder of that name.
        files: Its Dockerfile and what that copies, by name in the build context.
        base_image: Given as BASE_IMAGE; empty takes the Dockerfile's own.
        torch_backend: Which build of torch it gets where the Dockerfile asks (`cpu`, `cu128`, ...); empty
            leaves it to pip.
        hides_dockerfile: Whether a .dockerignore leaves the Dockerfile out of what can be copied.
        bases: The only images that it may be built on, by canonical name; None lets it be any, and the engine
            fetch it.
        program: What it is the image of, such as `training`.
        owner: The bundle, by a name of its own, so that what a killed command left is found again.
        key: What is built at most once at a time, such as a submission; empty if nothing depends on it.
        limits: What the build may use. None for a program of the bundle's own, which is built with a network
            and from the engine's cache; what has limits is a submission.
    """

    name: str
    folder: str
    files: Mapping[str, Path]
    base_image: str = ""
    torch_backend: str = ""
    hides_dockerfile: bool = False
    bases: Mapping[str, BaseConfig] | None = None
    program: str = ""
    owner: str = ""
    key: str = ""
    limits: BuildLimits | None = None

    def recipe(self, arguments: Mapping[str, str]) -> Recipe:
        """What its Dockerfile does with values for its ARGs.

        Raises:
            DockerfileError: It is not understood.
        """
        return read_recipe(read_dockerfile(self.files[DOCKERFILE]), arguments, self.bases)

    def arguments(self, has_wheels: bool = False) -> dict[str, str]:
        """The values of the ARGs that the Dockerfile declares.

        Args:
            has_wheels: Whether packages come from wheels: which torch they hold was decided with them.
        """
        given = {"BASE_IMAGE": self.base_image, "TORCH_BACKEND": self.torch_backend}
        values = {name: value for name, value in given.items() if value}
        declared = self.recipe(values).arguments
        return {
            name: value
            for name, value in values.items()
            if name in declared and not (has_wheels and name == "TORCH_BACKEND")
        }

    @property
    def image(self) -> str:
        """The image's full name; the same content has the same."""
        digest = hashlib.sha256(json.dumps(self.arguments(), sort_keys=True).encode())
        for name, path in sorted(self.files.items()):
            digest.update(f"\0{name}\0{hash_file(path)}{'x' * is_executable(path)}".encode())
        return f"{self.name}:{digest.hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """How a build ended.

    Args:
        image: The engine's digest of the image; empty if there is none.
        image_bytes: Its size.
        limit: The limit at which it was ended: `time`, `size`, or empty.
        allowed: That limit, in seconds or 2**20 bytes.
        error: What the engine reports of a step that failed; empty if none did.
        last_lines: The end of what the build printed.
        has_volumes: Whether the image asks for folders that no limit would hold.
        lacks_base: Whether a base image did not come.
        is_doubtful: Whether the error may be the engine's: a step that was killed, or words that it does not
            use for a submission's fault.
        is_crowded: Whether the limit is the disk's own, which another submission may have filled.
    """

    image: str = ""
    image_bytes: int = 0
    limit: str = ""
    allowed: int = 0
    error: str = ""
    last_lines: tuple[str, ...] = ()
    has_volumes: bool = False
    lacks_base: bool = False
    is_doubtful: bool = False
    is_crowded: bool = False


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image that the engine has.

    Args:
        digest: The engine's identifier of its content.
        names: All its names, canonical. What was asked for may be none of them: an image can be had by its
            identifier as well, and so can the layers of other builds, which have no name.
        config: What it gives to images that are built on it.
        is_ours: Whether this tool built it, for whatever bundle, or it was built on such a one.
        has_triggers: Whether it has instructions for the builds of others (ONBUILD).
        platform: Such as `linux/amd64`.
    """

    digest: str
    names: tuple[str, ...] = ()
    config: BaseConfig = field(default_factory=BaseConfig)
    is_ours: bool = False
    has_triggers: bool = False
    platform: str = ""


@dataclass(frozen=True, slots=True)
class FolderOption:
    """An option of a program whose value is a path below one of its two folders.

    Args:
        option: Such as `--private`.
        is_output: Whether it lies below the output folder; else below the input folder.
        name: Relative path there.
    """

    option: str
    is_output: bool
    name: str


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run of one program.

    Args:
        name: Of the program, such as `training`.
        input_dir: What it reads; never written to.
        output_dir: What it writes; exists.
        arguments: Options after the two folders.
        limits: What it may use.
        image: Full name of its image, which is there; empty for an engine that builds none.
        script: The program's file in its own folder, for an engine that builds no images.
        model_dir: The model that inference loads, for such an engine; in an image it is inside.
        prefix: What the names of this bundle's runs begin with.
        owner: The bundle, by a name of its own, so that what a killed command left is found again.
        key: What is run at most once at a time, such as a submission; empty if nothing depends on it.
        names_folders: Whether the program is given its two folders as arguments: ours find /mnt/in and
            /mnt/out by themselves.
        wants_gpu: Whether it uses a GPU if there is one.
        folder_options: Options with a path below one of the two folders, wherever those are for the program.
    """

    name: str
    input_dir: Path
    output_dir: Path
    arguments: tuple[str, ...]
    limits: Limits
    image: str = ""
    script: Path = Path()
    model_dir: Path | None = None
    prefix: str = "bundle"
    owner: str = ""
    key: str = ""
    names_folders: bool = False
    wants_gpu: bool = False
    folder_options: tuple[FolderOption, ...] = ()

    def options(self, input_dir: str, output_dir: str) -> list[str]:
        """What follows the two folders on the program's command line.

        Args:
            input_dir: Path of the input folder as the program sees it.
            output_dir: Of the output folder, likewise.
        """
        words: list[str] = []
        for one in self.folder_options:
            words += [one.option, f"{output_dir if one.is_output else input_dir}/{one.name}"]
        return [*words, *self.arguments]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Args:
        exit_status: Of the program; above 128 it was ended by signal (status - 128).
        limit: The limit at which it was ended: `time`, `memory`, `output`, `disk` (of the place where it
            writes, which another run may have filled), or empty.
        last_line: The last line that it printed, empty if none.
        seconds: Wall time.
        peak_memory_bytes: The most that it was seen to use; 0 if nobody looked.
        cpu_seconds: Processor time, likewise.
        is_started: False if the image's program could not be started: there is no such file in the image.
    """

    exit_status: int
    limit: str
    last_line: str
    seconds: float
    peak_memory_bytes: int = 0
    cpu_seconds: float = 0.0
    is_started: bool = True


@dataclass(frozen=True, slots=True)
class Capacity:
    """What an engine has to give to all its runs together.

    Args:
        cpus: Processors.
        memory_bytes: Memory; 0 if it is not known.
        machine: As wheels name it: `x86_64` or `aarch64`.
        gives_gpu: Whether runs that want a GPU get one.
    """

    cpus: int
    memory_bytes: int
    machine: str = "x86_64"
    gives_gpu: bool = False


class Engine(Protocol):
    """Builds images and runs programs in them, one step at a time, several at once from several threads.

    **Isolation.** An engine whose `is_isolated` is true may run a participant's code. Such a run has no
    network, no capabilities and nothing of this machine's environment. It gets a read-only root, `input_dir`
    read-only, `output_dir` as the only folder that stays, and its own /tmp; it does not run as root. Its
    limits are held from outside of it, also while this process is busy, and end all that it started. How it
    ended is read from its exit status and the limits, never from what it printed.

    **Retries.** A program's own exit status is a result: no engine runs it again. What fails for the engine's
    sake (it went away, its node died) is an UnavailableError, unless the engine itself has run the step again
    with success; a caller may repeat every call, for `run` empties nothing and `build` gives what is there.
    """

    name: str
    """`docker`, `local`, ...; a result that another engine made is made again."""

    description: str
    """What it is, with its version, for people and receipts."""

    builds_images: bool
    """False if programs are run from their own folders: RunSpec.image stays empty, and nothing is built."""

    is_isolated: bool
    """Whether a participant's code may be run."""

    @property
    def capacity(self) -> Capacity:
        """What all runs share."""

    wheelhouse: Path | None
    """Holds a folder of wheels for each program, to build from with no network; None fetches them. It changes
    nothing of what is in an image, so it is not in its name."""

    get_wheels: Callable[[str, OnLine], bool]
    """Fills the wheelhouse for a program whose build has no network; returns whether it could."""

    def build(self, spec: BuildSpec, on_line: OnLine) -> BuildOutcome:
        """Make the image `spec.image`, unless it is there; of a build that fails nothing stays.

        A submission's build (`spec.limits`) ends at its limits and has no network unless it is given one. Its
        failing is an outcome.

        Raises:
            ProgramError: The build of a program of the bundle's own failed; the details are its last lines.
            DataError: The Dockerfile or the program's wheels are not there.
            DockerfileError: It is not understood, or is built on an image that is not among `spec.bases`.
            UnavailableError: The engine went away, or its disk is short of room.
        """

    def inspect(self, image: str) -> ImageInfo | None:
        """Look at an image; None if the engine has none of that name.

        Raises:
            UnavailableError: The engine went away.
        """

    def fetch(self, image: str) -> ImageInfo | None:
        """Fetch an image from its registry; None if it did not come.

        Raises:
            UnavailableError: The engine went away.
        """

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        """Run a program to its end; a program that fails is an outcome, not an exception.

        What still runs under the same owner and key, of an engine that went away for a while, is stopped
        first. Nothing of the run is left when this returns, but what it wrote to `output_dir`.

        Raises:
            ProgramError: It cannot be started at all.
            UnavailableError: The engine went away, or lacks something.
        """

    def stop(self, owner: str, key: str = "") -> int:
        """End the runs of an owner, those of one key alone if it is given, whoever started them.

        Returns:
            How many there were; none of them runs any more.

        Raises:
            ProgramError: The engine refused.
            UnavailableError: It went away.
        """

    def sweep(self, owner: str, kept: Collection[str], claim: Claim) -> None:
        """Stop the runs of an owner, and remove what builds of its submissions have left.

        That is what was cut off, and finished images whose submission does not go on.

        Args:
            owner: The bundle; see BuildSpec.
            kept: Keys whose finished images stay.
            claim: What it does not get is being worked on by somebody else, and stays.

        Raises:
            UnavailableError: The engine went away.
        """

    def forget(self, image: str) -> None:
        """Remove an image with all that its build made, if that can be: it only takes room."""

    def forget_older(self, image: str) -> None:
        """Remove the images of the same repository but this one."""

    def python_version(self, image: str) -> str:
        """The Python of a base image that is the organiser's own, such as `3.11`; empty if it is not known.

        Raises:
            ProgramError: The image has no `python3`.
            UnavailableError: The engine went away.
        """

    def has_room(self, folder: Path) -> bool:
        """Whether a run that writes below a folder would find enough room on its disk to be left running."""

    def works(self, image: str = "") -> bool:
        """Whether the engine does something harmless, so that what it failed at is to blame.

        Args:
            image: One that is there, which is started; empty leaves that out.
        """

    def close(self) -> None:
        """Let go of what the engine holds, such as a connection; runs of other connections go on."""
