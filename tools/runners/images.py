"""Images, named by the hash of their content: what is unchanged is not built again."""

import hashlib
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tools.errors import DataError, ProgramError
from tools.files import hash_file
from tools.formats.dockerfile import copied_sources, is_pattern, parse_dockerfile
from tools.runners.base import OnLine, printable

if TYPE_CHECKING:
    import docker

LABEL = "challenge-bundle.image"
SHOWN_LINES = 20
SHOWN_STEP_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """What an image is built from.

    Args:
        name: Repository, such as `mednist-training`.
        folder: Of the program; its wheels lie in a folder of that name.
        files: Its Dockerfile and what that copies, by name in the build context.
        base_image: Given as BASE_IMAGE; empty takes the Dockerfile's own.
    """

    name: str
    folder: str
    files: Mapping[str, Path]
    base_image: str = ""

    @property
    def tag(self) -> str:
        """The image's full name; the same content has the same."""
        digest = hashlib.sha256(self.base_image.encode())
        for name, path in sorted(self.files.items()):
            digest.update(f"\0{name}\0{hash_file(path)}".encode())
        return f"{self.name}:{digest.hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How an image is built; none of it changes what is in it, so none of it is in its name.

    Args:
        wheelhouse: Holds a folder of wheels for each program, to install from with no network;
            None fetches them.
        torch_backend: Which build of torch training gets (`cpu`, `cu128`, ...); empty leaves it to pip.
    """

    wheelhouse: Path | None = None
    torch_backend: str = ""


def context_files(dockerfile: Path, context: Path) -> dict[str, Path]:
    """List what an image is built from: the files that COPY and ADD name, folders with all that they hold.

    Args:
        dockerfile: Which may lie outside of the context.
        context: What its sources are relative to.

    Returns:
        The file for each name in the context, `Dockerfile` first, the others in order of name.

    Raises:
        DataError: The Dockerfile or a source is not there, or a source is outside of the context.
    """
    if not dockerfile.is_file():
        raise DataError("not found; the image is built from it", dockerfile)
    root = context.resolve()
    files: dict[str, Path] = {}
    for source, line in copied_sources(parse_dockerfile(dockerfile.read_text(encoding="utf-8"))):
        found = sorted(context.glob(source.lstrip("/"))) if source.strip("./") else [context]
        if not found and not is_pattern(source):
            raise DataError(f"copies {source}, which is not in {context}; make it", dockerfile, line)
        for path in found:
            if not path.resolve().is_relative_to(root):
                raise DataError(f"copies {source}, which is outside of {context}", dockerfile, line)
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    files[file.resolve().relative_to(root).as_posix()] = file
    return {"Dockerfile": dockerfile, **dict(sorted(files.items()))}


def build_image(
    client: "docker.DockerClient", plan: ImagePlan, options: BuildOptions, on_line: OnLine
) -> tuple[str, bool]:
    """Build an image, unless one of the same content is there.

    Args:
        client: Speaks to the engine.
        plan: What it is built from.
        options: How.
        on_line: Told of each step, and of what the engine fetches.

    Returns:
        (its full name, whether it was built)

    Raises:
        ProgramError: The build failed; the details are its last lines.
    """
    import docker

    try:
        client.images.get(plan.tag)
    except docker.errors.ImageNotFound:
        pass
    else:
        return plan.tag, False
    arguments = {"BASE_IMAGE": plan.base_image} if plan.base_image else {}
    if options.torch_backend:
        arguments["TORCH_BACKEND"] = options.torch_backend
    # On disk, not in memory: models and wheels are large.
    with tempfile.TemporaryFile() as archive:
        write_context({**plan.files, **_wheels(plan, options.wheelhouse)}, archive)
        stream = client.api.build(
            fileobj=archive,
            custom_context=True,
            tag=plan.tag,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs=arguments,
            labels={LABEL: plan.name},
            network_mode="none" if options.wheelhouse else None,
        )
        _follow_build(stream, plan, on_line)
    return plan.tag, True


def write_context(files: Mapping[str, Path], out: IO[bytes]) -> None:
    """Write a build context as a tar file, with fixed times and modes: the engine's cache sees content alone.

    Args:
        files: By name in the context.
        out: Where to; left at its beginning.
    """
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as opened:
                archive.addfile(member, opened)
    out.seek(0)


def _wheels(plan: ImagePlan, wheelhouse: Path | None) -> dict[str, Path]:
    """Where the wheels go in the context: beside the requirements.txt, as the Dockerfiles expect them."""
    if wheelhouse is None:
        return {}
    place = next(
        (Path(name).parent for name in plan.files if Path(name).name == "requirements.txt"), Path(".")
    )
    folder = wheelhouse / plan.folder
    wheels = {(place / "wheelhouse" / path.name).as_posix(): path for path in sorted(folder.glob("*.whl"))}
    if not wheels:
        raise DataError(f"holds no wheel; fill it with `wheelhouse {wheelhouse}`", folder)
    return wheels


def _follow_build(stream: Iterable[dict[str, str]], plan: ImagePlan, on_line: OnLine) -> None:
    said: list[str] = []
    for message in stream:
        for line in str(message.get("stream", "")).splitlines():
            if line.strip():
                said.append(printable(line))
                if line.startswith("Step "):
                    on_line(said[-1][:SHOWN_STEP_CHARACTERS])
        if message.get("status", "").startswith(("Pulling from", "Status:")):
            on_line(printable(message["status"]))
        if "error" in message:
            step = next((line for line in reversed(said) if line.startswith("Step ")), "its first step")
            mend = (
                "get the base image, or name another as 'bundle.base_image' in bundle.toml"
                if ": FROM" in step
                else "mend the Dockerfile, or the network that it needs (see --wheelhouse)"
            )
            raise ProgramError(
                f"the image {plan.name} cannot be built: {printable(message['error']).strip()} (at {step});"
                f" {mend}. Its last lines:",
                tuple(said[-SHOWN_LINES:]),
            )
