"""Programs in containers: no network, no rights, one writable folder, limits held from outside."""

import contextlib
import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import DataError, ProgramError, UnavailableError
from tools.files import hash_file
from tools.formats.dockerfile import copied_sources, parse_dockerfile
from tools.runners.base import MAX_LINE_CHARACTERS, OnLine, Outcome, ProgramRun, printable

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

INPUT_MOUNT = "/mnt/in"
OUTPUT_MOUNT = "/mnt/out"
LABEL = "challenge-bundle.run"

_NOBODY = 65534
_MB = 2**20


class DockerRunner:
    """Runs a program in a container of its own image; use `connect` to make one.

    Args:
        client: Speaks to the engine.
        engine: What the engine is, for messages.
    """

    name = "docker"

    def __init__(self, client: "docker.DockerClient", engine: str) -> None:
        self.client = client
        self.engine = engine

    @classmethod
    def connect(cls) -> "DockerRunner":
        """Find the engine: DOCKER_HOST, else the docker command's current context.

        Raises:
            UnavailableError: None answers, or the docker package is not installed.
        """
        try:
            import docker
        except ImportError:
            raise UnavailableError("the docker package is not installed; run `make install`") from None
        address = _engine_address()
        try:
            _knock(address)
            client = docker.DockerClient(base_url=address)
            version = client.version()
        except (docker.errors.DockerException, OSError, ValueError) as fault:
            raise UnavailableError(f"no Docker Engine answers ({_root_cause(fault)})") from None
        return cls(client, f"Engine {version.get('Version', '?')}")

    def run(self, run: ProgramRun, on_line: OnLine) -> Outcome:
        """Build the image if its content changed, then run it; see Runner."""
        import docker

        image = self.build(run, on_line)
        user = _container_user()
        if os.name == "posix" and os.geteuid() == 0:
            os.chown(run.output_dir, user, user)
        try:
            container = self.client.containers.create(**container_config(run, image, user))
        except docker.errors.APIError as fault:
            raise ProgramError(f"{run.name} cannot be started: {fault.explanation}") from None
        try:
            return _follow(container, run, on_line)
        finally:
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)

    def close(self) -> None:
        """Close the connection to the engine."""
        self.client.close()

    def build(self, run: ProgramRun, on_line: OnLine) -> str:
        """Make the image of a program, unless one of the same content is there.

        Returns:
            Its name.

        Raises:
            ProgramError: The build failed; the message has its last lines.
            DataError: The Dockerfile or a file that it copies is not there.
        """
        import docker

        files = build_files(run)
        image = f"challenge-bundle/{run.name}:{_content_tag(files)}"
        with contextlib.suppress(docker.errors.ImageNotFound):
            self.client.images.get(image)
            return image
        on_line(f"building the image {image}; this is done once for this content")
        said: list[str] = []
        stream = self.client.api.build(
            fileobj=_context_archive(files),
            custom_context=True,
            tag=image,
            rm=True,
            forcerm=True,
            decode=True,
        )
        for message in stream:
            for line in str(message.get("stream", "")).splitlines():
                if line.strip():
                    said.append(printable(line))
                    if line.startswith("Step "):
                        on_line(said[-1])
            if "error" in message:
                raise ProgramError(
                    f"the image of {run.name} cannot be built: {printable(message['error'])}",
                    tuple(said[-15:]),
                )
        return image


def container_config(run: ProgramRun, image: str, user: int) -> dict[str, Any]:
    """Say what a container may see and use: a pure function of the run.

    Args:
        run: What is run.
        image: Its image.
        user: The user and group id that it runs as, never 0.

    Returns:
        Keyword arguments of docker's `containers.create`.
    """
    from docker.types import LogConfig, Mount

    memory_bytes = run.limits.memory_mb * _MB
    return {
        "image": image,
        "command": list(run.arguments),
        "user": f"{user}:{user}",
        "network_mode": "none",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "pids_limit": run.limits.pids,
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
        "nano_cpus": int(run.limits.cpus * 1e9),
        "shm_size": "64m",
        "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=256m,mode=1777"},
        "mounts": [
            Mount(INPUT_MOUNT, str(run.input_dir), type="bind", read_only=True),
            Mount(OUTPUT_MOUNT, str(run.output_dir), type="bind"),
        ],
        "log_config": LogConfig(type="json-file", config={"max-size": "4m", "max-file": "1"}),
        "labels": {LABEL: run.name},
    }


def build_files(run: ProgramRun) -> dict[str, Path]:
    """List what an image is built from: its Dockerfile and what that copies, by name in the context.

    Raises:
        DataError: One of them is not there.
    """
    if not run.dockerfile.is_file():
        raise DataError("not found; the container is built from it", run.dockerfile)
    files = {"Dockerfile": run.dockerfile}
    for source, line in copied_sources(parse_dockerfile(run.dockerfile.read_text(encoding="utf-8"))):
        path = run.context / source
        if not path.exists():
            raise DataError(f"copies {source}, which is not in {run.context}", run.dockerfile, line)
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                files[file.relative_to(run.context).as_posix()] = file
    return files


def _engine_address() -> str | None:
    from docker.context import ContextAPI

    if "DOCKER_HOST" in os.environ:
        return os.environ["DOCKER_HOST"]
    context = ContextAPI.get_current_context()
    return context.Host if context else None


def _knock(address: str | None) -> None:
    """Try a Unix socket before the docker package does: it says plainly what is wrong, and closes it.

    Raises:
        OSError: Nobody answers there.
    """
    kind, _, path = (address or "unix:///var/run/docker.sock").partition("://")
    if kind == "unix" and hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)


def _root_cause(fault: BaseException) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror.lower()
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__


def _container_user() -> int:
    """The user that owns what the container writes: this one, or nobody in place of root."""
    user = os.geteuid() if os.name == "posix" else _NOBODY
    return user or _NOBODY


def _content_tag(files: dict[str, Path]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(f"{name}\0{hash_file(path)}\n".encode())
    return digest.hexdigest()[:16]


def _context_archive(files: dict[str, Path]) -> io.BytesIO:
    """A build context with fixed times and modes, so that the engine's cache sees content alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, path in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = path.stat().st_size, 0o644
            with path.open("rb") as opened:
                archive.addfile(member, opened)
    buffer.seek(0)
    return buffer


def _follow(container: "Container", run: ProgramRun, on_line: OnLine) -> Outcome:
    started = time.monotonic()
    container.start()
    timed_out = threading.Event()

    def end() -> None:
        timed_out.set()
        with contextlib.suppress(Exception):
            container.kill()

    deadline = threading.Timer(run.limits.time_s, end)
    deadline.start()
    last_line = ""
    try:
        for line in _log_lines(lambda: container.logs(stream=True, follow=True)):
            last_line = line if line.strip() else last_line
            on_line(line)
        status = int(container.wait()["StatusCode"])
    finally:
        deadline.cancel()
    container.reload()
    return Outcome(
        exit_status=status,
        timed_out=timed_out.is_set(),
        out_of_memory=bool(container.attrs["State"]["OOMKilled"]),
        last_line=last_line.strip(),
        seconds=time.monotonic() - started,
    )


def _log_lines(logs: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """Cut a stream of bytes into lines, none longer than the limit."""
    pending = b""
    for chunk in logs():
        pending += chunk
        while (end := pending.find(b"\n")) >= 0 or len(pending) > MAX_LINE_CHARACTERS:
            cut = min(end, MAX_LINE_CHARACTERS) if end >= 0 else MAX_LINE_CHARACTERS
            yield printable(pending[:cut].decode("utf-8", "replace").rstrip("\r"))
            pending = pending[cut + (cut == end) :]
    if pending:
        yield printable(pending.decode("utf-8", "replace"))
