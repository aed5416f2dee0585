"""Images, named by the hash of their content: what is unchanged is not built again."""

import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from tools.errors import DataError, ProgramError
from tools.files import hash_file
from tools.formats.dockerfile import copied_sources, is_pattern, parse_dockerfile
from tools.layout import STATE_NAME, SUBMISSION_DIR_NAME, solution_name
from tools.runners.base import OnLine, printable

if TYPE_CHECKING:
    import docker

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
    """

    name: str
    folder: str
    files: Mapping[str, Path]
    base_image: str = ""
    torch_backend: str = ""

    @property
    def build_arguments(self) -> dict[str, str]:
        """The values of the ARGs that the Dockerfile declares."""
        declared = {
            instruction.value.partition("=")[0]
            for instruction in parse_dockerfile(self.files["Dockerfile"].read_text(encoding="utf-8"))
            if instruction.name == "ARG"
        }
        values = {"BASE_IMAGE": self.base_image, "TORCH_BACKEND": self.torch_backend}
        return {name: value for name, value in values.items() if value and name in declared}

    @property
    def tag(self) -> str:
        """The image's full name; the same content has the same."""
        digest = hashlib.sha256(json.dumps(self.build_arguments, sort_keys=True).encode())
        for name, path in sorted(self.files.items()):
            digest.update(f"\0{name}\0{hash_file(path)}".encode())
        return f"{self.name}:{digest.hexdigest()[:16]}"


def context_files(dockerfile: Path, context: Path, program_dir: Path) -> dict[str, Path]:
    """List what an image is built from: the files that COPY and ADD name, folders with all that they hold.

    What a .dockerignore leaves out stays out, of a folder also what is no part of a program (hidden files,
    wheels, Python's cache), and true classes are never taken, whatever the Dockerfile says: both the zip and
    the image go to other people.

    Args:
        dockerfile: Which may lie outside of the context.
        context: What its sources are relative to.
        program_dir: The program's folder. A source that begins with its name is taken from there: a bundle
            without programs of its own uses the project's.

    Returns:
        The file for each name in the context, `Dockerfile` first, the others in order of name.

    Raises:
        DataError: The Dockerfile or a source is not there, a source is outside of the context, a link, or
            holds true classes.
    """
    if not dockerfile.is_file():
        raise DataError("not found; the image is built from it", dockerfile)
    ignored = _read_dockerignore([context, program_dir.parent])
    files: dict[str, Path] = {}
    for source, line in copied_sources(parse_dockerfile(dockerfile.read_text(encoding="utf-8"))):
        relative = PurePosixPath(source.lstrip("/"))
        first = relative.parts[0] if relative.parts else ""
        root = (program_dir.parent if first == program_dir.name else context).resolve()
        if ".." in relative.parts:
            raise DataError(f"copies {source}, which is outside of {root}", dockerfile, line)
        found = sorted(root.glob(str(relative))) if relative.parts else [root]
        if not found and not is_pattern(source):
            raise DataError(f"copies {source}, which is not in {root}; make it", dockerfile, line)
        for path in found:
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                name = file.relative_to(root).as_posix()
                if not file.is_file() or _is_no_part(file, path, dockerfile) or ignored(name):
                    continue
                if file.resolve() != file:
                    raise DataError(
                        f"copies {name}, which is or lies behind a link; put the file itself there",
                        dockerfile,
                        line,
                    )
                if _tells_true_classes(PurePosixPath(name)):
                    raise DataError(
                        f"copies {name}, which may tell the true classes of testing images; copy less",
                        dockerfile,
                        line,
                    )
                files[name] = file
    return {"Dockerfile": dockerfile, **dict(sorted(files.items()))}


def _is_no_part(file: Path, copied: Path, dockerfile: Path) -> bool:
    """Tell whether a file is no part of a program because its folder alone is named, and not the file.

    Such are hidden files, wheels (their own line copies them) and the Dockerfile; Python's cache never is.
    """
    inside = file.relative_to(copied).parts
    if "__pycache__" in file.parts or "wheelhouse" in inside:
        return True
    is_dockerfile = len(inside) == 1 and file == dockerfile.resolve()
    return is_dockerfile or any(part.startswith(".") for part in inside)


def _tells_true_classes(name: PurePosixPath) -> bool:
    return name.parts[0] in (STATE_NAME, SUBMISSION_DIR_NAME) or name.name == solution_name("testing")


def _read_dockerignore(folders: Sequence[Path]) -> Callable[[str], bool]:
    from docker.utils.build import PatternMatcher

    for folder in folders:
        path = folder / ".dockerignore"
        if path.is_file():
            lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
            matcher = PatternMatcher([line for line in lines if line and not line.startswith("#")])
            return lambda name: name == ".dockerignore" or bool(matcher.matches(name))  # type: ignore[arg-type]  # it splits a text
    return lambda name: False


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
    arguments = build_arguments(plan, wheelhouse)
    arguments |= {name: os.environ[name] for name in _PIPS_OWN if name in os.environ}
    # On disk, not in memory: models and wheels are large.
    with tempfile.TemporaryFile() as archive:
        write_context(with_wheels(plan, wheelhouse), archive)
        stream = client.api.build(
            fileobj=archive,
            custom_context=True,
            tag=plan.tag,
            rm=True,
            forcerm=True,
            decode=True,
            buildargs=arguments,
            labels=dict(labels),
            network_mode="none" if wheelhouse else None,
        )
        _follow_build(stream, plan, on_line)
    return plan.tag, True


def build_arguments(plan: ImagePlan, wheelhouse: Path | None) -> dict[str, str]:
    """A build's arguments; where packages come from a wheelhouse, torch's kind was decided there."""
    return {
        name: value
        for name, value in plan.build_arguments.items()
        if not wheelhouse or name != "TORCH_BACKEND"
    }


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


def with_wheels(plan: ImagePlan, wheelhouse: Path | None) -> dict[str, Path]:
    """A build's context: the plan's files, and wheels beside the requirements.txt, as the Dockerfiles expect.

    Raises:
        DataError: The wheelhouse holds none for this program.
    """
    place = next((Path(name).parent for name in plan.files if Path(name).name == "requirements.txt"), None)
    if wheelhouse is None or place is None:
        return dict(plan.files)
    folder = wheelhouse / plan.folder
    wheels = {(place / "wheelhouse" / path.name).as_posix(): path for path in sorted(folder.glob("*.whl"))}
    if not wheels:
        raise DataError(f"holds no wheel; fill it with `wheelhouse {wheelhouse}`", folder)
    return {**plan.files, **wheels}


def cut(text: str) -> str:
    """The beginning of a long text."""
    return text if len(text) <= SHOWN_STEP_CHARACTERS else text[:SHOWN_STEP_CHARACTERS] + "..."


def _follow_build(stream: Iterable[dict[str, str]], plan: ImagePlan, on_line: OnLine) -> None:
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
            tuple(said[-SHOWN_LINES:]),
        )
