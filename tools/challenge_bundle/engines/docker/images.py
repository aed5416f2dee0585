"""Images, named by the hash of their content: what is unchanged is not built again."""

import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from challenge_bundle.engines.base import BuildSpec, OnLine
from challenge_bundle.engines.build_context import DOCKERFILE, wheels_folder
from challenge_bundle.engines.output_lines import printable
from challenge_bundle.errors import DataError, ProgramError
from challenge_bundle.files import is_executable
from challenge_bundle.formats.build_recipe import Recipe
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
    spec: BuildSpec,
    wheelhouse: Path | None,
    more_arguments: Mapping[str, str] | None = None,
    stage_labels: Mapping[str, str] | None = None,
) -> PreparedBuild:
    """Make what the engine is given: of a Dockerfile, only what was understood of it.

    Args:
        spec: What the image is built from.
        wheelhouse: See build_image.
        more_arguments: Values for ARGs besides the spec's.
        stage_labels: Each stage gets them in place of the Dockerfile's own, which change nothing here; of
            letters, digits, dots and hyphens.

    Raises:
        DataError: The Dockerfile is not understood or is built on an image that is not among the spec's, or
            the wheelhouse holds no wheel for the program.
    """
    arguments = spec.arguments(wheelhouse is not None) | dict(more_arguments or {})
    recipe = spec.recipe(arguments)
    for base in recipe.bases:
        if spec.bases is not None and base.name not in spec.bases:
            what = f"is built on {base.name}, which may not be used here"
            raise DockerfileError(what, base.line, code="base-image", hint="name another image")
    # A folder of such a name would be in the way of the file that is made here.
    ours = (WRITTEN_DOCKERFILE, DOCKERIGNORE)
    files: dict[str, Path | bytes] = {
        name: path
        for name, path in with_wheels(spec, wheelhouse).items()
        if name.partition("/")[0] not in ours
    }
    if spec.hides_dockerfile:
        del files[DOCKERFILE]
    # The engine takes both away again before anything is copied.
    text = recipe.text if stage_labels is None else label_stages(recipe, stage_labels)
    files[WRITTEN_DOCKERFILE] = text.encode()
    files[DOCKERIGNORE] = f"{WRITTEN_DOCKERFILE}\n{DOCKERIGNORE}\n".encode()
    return PreparedBuild(files, WRITTEN_DOCKERFILE, arguments)


def build_image(
    client: "docker.DockerClient",
    spec: BuildSpec,
    wheelhouse: Path | None,
    labels: Mapping[str, str],
    on_line: OnLine,
) -> tuple[str, bool]:
    """Build an image, unless one of the same content is there.

    Args:
        client: Speaks to the engine.
        spec: What it is built from.
        wheelhouse: See Engine; None fetches what it installs.
        labels: By which it is found again.
        on_line: Gets each step, and what the engine fetches.

    Returns:
        (the engine's digest of it, whether it was built)

    Raises:
        ProgramError: The build failed; the details are its last lines.
        DataError: The wheelhouse holds no wheel for the program.
    """
    import docker

    try:
        return str(client.images.get(spec.image).id), False
    except docker.errors.ImageNotFound:
        pass
    prepared = prepare_build(
        spec, wheelhouse, {name: os.environ[name] for name in _PIPS_OWN if name in os.environ}
    )
    network = "none" if wheelhouse else None
    stream = start_build(client, prepared, spec.image, labels=dict(labels), network_mode=network)
    _follow_build(stream, spec, on_line)
    return str(client.images.get(spec.image).id), True


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


def with_wheels(spec: BuildSpec, wheelhouse: Path | None) -> dict[str, Path]:
    """A build's context: the spec's files, and wheels beside the requirements.txt, as the Dockerfiles expect.

    Raises:
        DataError: The wheelhouse holds none for this program.
    """
    place = wheels_folder(spec.files)
    if wheelhouse is None or place is None:
        return dict(spec.files)
    folder = wheelhouse / spec.folder
    wheels = {(place / path.name).as_posix(): path for path in sorted(folder.glob("*.whl"))}
    if not wheels:
        raise DataError(
            "holds no wheel", folder, code="wheels-missing", hint=f"fill it with `wheelhouse {wheelhouse}`"
        )
    # A file of the folder's name would be in its way, and a folder of a wheel's name in that wheel's.
    blocked = {place.as_posix(), *(f"{name}/" for name in wheels)}
    kept = {
        name: path
        for name, path in spec.files.items()
        if name not in blocked and not any(f"{parent}/" in blocked for parent in PurePosixPath(name).parents)
    }
    return kept | wheels


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= SHOWN_STEP_CHARACTERS else text[:SHOWN_STEP_CHARACTERS] + "..."


def _follow_build(stream: Iterable[dict[str, Any]], spec: BuildSpec, on_line: OnLine) -> None:
    printed: list[str] = []
    error = ""
    # Read to its end in any case: a stream cut off leaks its socket.
    for message in stream:
        for line in str(message.get("stream", "")).splitlines():
            if line.strip():
                printed.append(printable(line))
                if line.startswith("Step "):
                    on_line(cut(printed[-1]))
        if message.get("status", "").startswith(("Pulling from", "Status:")):
            on_line(printable(message["status"]))
        error = error or printable(message.get("error", "")).strip()
    if error:
        step = next((line for line in reversed(printed) if line.startswith("Step ")), "its first step")
        hint = (
            "get the base image, or name another as 'bundle.base_image' in bundle.toml"
            if ": FROM" in step
            else "correct the Dockerfile or the network that it needs (--wheelhouse builds without one;"
            " --runner local, for your own code, needs no image)"
        )
        raise ProgramError(
            f"the image {spec.name} cannot be built: {cut(error)} (at {cut(step)}); its last lines follow",
            details=tuple(printed[-SHOWN_LINES:]),
            code="image-not-built",
            hint=hint,
        )
