"""Images, named by the hash of their content: what is unchanged is not built again."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from challenge_bundle.engines.base import OnLine, printable
from challenge_bundle.engines.build_context import DOCKERFILE, read_dockerfile
from challenge_bundle.errors import DataError, ProgramError
from challenge_bundle.files import hash_file, is_executable
from challenge_bundle.formats.build_recipe import BaseConfig, Recipe, read_recipe
from challenge_bundle.formats.dockerfile import DockerfileError
from challenge_bundle.formats.dockerignore import DOCKERIGNORE

if TYPE_CHECKING:
    import docker

WRITTEN_DOCKERFILE = ".challenge-bundle.Dockerfile"
"""In a build's context, beside the Dockerfile that it is made from, which may be copied into the image."""

SHOWN_LINES = 20
SHOWN_STEP_CHARACTERS = 100
_PIPS_OWN = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


@dataclass(frozen=True, slots=True)
class ImagePlan:
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
    """

    name: str
    folder: str
    files: Mapping[str, Path]
    base_image: str = ""
    torch_backend: str = ""
    hides_dockerfile: bool = False
    bases: Mapping[str, BaseConfig] | None = None

    def recipe(self, arguments: Mapping[str, str]) -> Recipe:
        """What its Dockerfile does with values for its ARGs.

        Raises:
            DockerfileError: It is not understood.
        """
        return read_recipe(read_dockerfile(self.files[DOCKERFILE]), arguments, self.bases)

    @property
    def build_arguments(self) -> dict[str, str]:
        """The values of the ARGs that the Dockerfile declares."""
        given = {"BASE_IMAGE": self.base_image, "TORCH_BACKEND": self.torch_backend}
        values = {name: value for name, value in given.items() if value}
        declared = self.recipe(values).arguments
        return {name: value for name, value in values.items() if name in declared}

    @property
    def tag(self) -> str:
        """The image's full name; the same content has the same."""
        digest = hashlib.sha256(json.dumps(self.build_arguments, sort_keys=True).encode())
        for name, path in sorted(self.files.items()):
            digest.update(f"\0{name}\0{hash_file(path)}{'x' * is_executable(path)}".encode())
        return f"{self.name}:{digest.hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class PreparedBuild:
    """What the engine is given.

    Args:
        files: The context, by name; contents that were made here are bytes.
        dockerfile: Which of them is the Dockerfile, written again (see build_recipe).
        arguments: Values of ARGs.
    """

    files: Mapping[str, Path | bytes]
    dockerfile: str
    arguments: Mapping[str, str]


def prepare_build(
    plan: ImagePlan,
    wheelhouse: Path | None,
    more_arguments: Mapping[str, str] | None = None,
    stage_labels: Mapping[str, str] | None = None,
) -> PreparedBuild:
    """Make what the engine is given: of a Dockerfile, only what was understood of it.

    Args:
        plan: What the image is built from.
        wheelhouse: See build_image.
        more_arguments: Values for ARGs besides the plan's.
        stage_labels: Each stage gets them in place of the Dockerfile's own, which change nothing here; of
            letters, digits, dots and hyphens.

    Raises:
        DataError: The Dockerfile is not understood or is built on an image that is not among the plan's, or
            the wheelhouse holds no wheel for the program.
    """
    arguments = build_arguments(plan, wheelhouse) | dict(more_arguments or {})
    recipe = plan.recipe(arguments)
    for base in recipe.bases:
        if plan.bases is not None and base.name not in plan.bases:
            what = f"is built on {base.name}, which may not be used here"
            raise DockerfileError(base.line, what, "name another image", "base-image")
    # A folder of such a name would be in the way of the file that is made here.
    ours = (WRITTEN_DOCKERFILE, DOCKERIGNORE)
    files: dict[str, Path | bytes] = {
        name: path
        for name, path in with_wheels(plan, wheelhouse).items()
        if name.partition("/")[0] not in ours
    }
    if plan.hides_dockerfile:
        del files[DOCKERFILE]
    # The engine takes both away again before anything is copied.
    text = recipe.text if stage_labels is None else label_stages(recipe, stage_labels)
    files[WRITTEN_DOCKERFILE] = text.encode()
    files[DOCKERIGNORE] = f"{WRITTEN_DOCKERFILE}\n{DOCKERIGNORE}\n".encode()
    return PreparedBuild(files, WRITTEN_DOCKERFILE, arguments)


def build_image(
    client: "docker.DockerClient",
    plan: ImagePlan,
    wheelhouse: Path | None,
    labels: Mapping[str, str],
    on_line: OnLine,
) -> tuple[str, bool]:
    """Build an image, unless one of the same content is there.

    Args:
        client: Speaks to the engine.
        plan: What it is built from.
        wheelhouse: Holds a folder of wheels for each program, to install from with no network; None fetches
            them. It changes nothing of what is in the image, so it is not in its name.
        labels: By which it is found again.
        on_line: Told of each step, and of what the engine fetches.

    Returns:
        (its full name, whether it was built)

    Raises:
        ProgramError: The build failed; the details are its last lines.
        DataError: The wheelhouse holds no wheel for the program.
    """
    import docker

    try:
        client.images.get(plan.tag)
    except docker.errors.ImageNotFound:
        pass
    else:
        return plan.tag, False
    prepared = prepare_build(
        plan, wheelhouse, {name: os.environ[name] for name in _PIPS_OWN if name in os.environ}
    )
    network = "none" if wheelhouse else None
    stream = start_build(client, prepared, plan.tag, labels=dict(labels), network_mode=network)
    _follow_build(stream, plan, on_line)
    return plan.tag, True


def start_build(
    client: "docker.DockerClient", prepared: PreparedBuild, tag: str, **options: Any
) -> Iterable[dict[str, Any]]:
    """Begin a build; gives the engine's messages, which are to be read to their end.

    Args:
        client: Speaks to the engine.
        prepared: What it gets.
        tag: The image's full name.
        options: Further arguments of docker's `build`.
    """
    # On disk, not in memory: models and wheels are large.
    with tempfile.TemporaryFile() as archive:
        write_context(prepared.files, archive)
        # The request is sent, and the archive read, before this returns.
        stream: Iterable[dict[str, Any]] = client.api.build(
            fileobj=archive,
            custom_context=True,
            dockerfile=prepared.dockerfile,
            tag=tag,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs=dict(prepared.arguments),
            **options,
        )
    return stream


def label_stages(recipe: Recipe, labels: Mapping[str, str]) -> str:
    """Write a Dockerfile whose stages all begin with labels, and have no others."""
    label = " ".join(f"{name}={value}" for name, value in labels.items())
    kept = (line for line in recipe.lines if not line.startswith("LABEL "))
    return "".join(f"{line}\nLABEL {label}\n" if line.startswith("FROM ") else f"{line}\n" for line in kept)


def build_arguments(plan: ImagePlan, wheelhouse: Path | None) -> dict[str, str]:
    """A build's arguments; where packages come from a wheelhouse, torch's kind was decided there."""
    return {
        name: value
        for name, value in plan.build_arguments.items()
        if not wheelhouse or name != "TORCH_BACKEND"
    }


def write_context(files: Mapping[str, Path | bytes], out: IO[bytes]) -> None:
    """Write a build context as a tar file, with fixed times and owners, for the engine's cache.

    Args:
        files: By name in the context.
        out: Where to; left at its beginning.
    """
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.mode = 0o644
            if isinstance(content, bytes):
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
                continue
            member.mode = 0o755 if is_executable(content) else 0o644
            member.size = content.stat().st_size
            with content.open("rb") as opened:
                archive.addfile(member, opened)
    out.seek(0)


def with_wheels(plan: ImagePlan, wheelhouse: Path | None) -> dict[str, Path]:
    """A build's context: the plan's files, and wheels beside the requirements.txt, as the Dockerfiles expect.

    Raises:
        DataError: The wheelhouse holds none for this program.
    """
    place = wheels_folder(plan.files)
    if wheelhouse is None or place is None:
        return dict(plan.files)
    folder = wheelhouse / plan.folder
    wheels = {(place / path.name).as_posix(): path for path in sorted(folder.glob("*.whl"))}
    if not wheels:
        raise DataError(f"holds no wheel; fill it with `wheelhouse {wheelhouse}`", folder)
    # A file of the folder's name would be in its way, and a folder of a wheel's name in that wheel's.
    blocked = {place.as_posix(), *(f"{name}/" for name in wheels)}
    kept = {
        name: path
        for name, path in plan.files.items()
        if name not in blocked and not any(f"{parent}/" in blocked for parent in PurePosixPath(name).parents)
    }
    return kept | wheels


def wheels_folder(names: Iterable[str]) -> PurePosixPath | None:
    """Where a build's wheels are put: beside the requirements.txt, of several the first; None without one."""
    found = [path for path in map(PurePosixPath, names) if path.name == "requirements.txt"]
    return min(found).with_name("wheelhouse") if found else None


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= SHOWN_STEP_CHARACTERS else text[:SHOWN_STEP_CHARACTERS] + "..."


def _follow_build(stream: Iterable[dict[str, Any]], plan: ImagePlan, on_line: OnLine) -> None:
    said: list[str] = []
    error = ""
    # Read to its end in any case: a stream cut off leaks its socket.
    for message in stream:
        for line in str(message.get("stream", "")).splitlines():
            if line.strip():
                said.append(printable(line))
                if line.startswith("Step "):
                    on_line(cut(said[-1]))
        if message.get("status", "").startswith(("Pulling from", "Status:")):
            on_line(printable(message["status"]))
        error = error or printable(message.get("error", "")).strip()
    if error:
        step = next((line for line in reversed(said) if line.startswith("Step ")), "its first step")
        mend = (
            "get the base image, or name another as 'bundle.base_image' in bundle.toml"
            if ": FROM" in step
            else "mend the Dockerfile or the network that it needs (--wheelhouse builds without one; --runner"
            " local, for your own code, needs no image)"
        )
        raise ProgramError(
            f"the image {plan.name} cannot be built: {cut(error)} (at {cut(step)}); {mend}; its last lines:",
            details=tuple(said[-SHOWN_LINES:]),
        )
