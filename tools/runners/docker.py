"""Programs in containers: no network, no rights, one writable folder, limits held from outside."""

import contextlib
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import ProgramError, UnavailableError
from tools.manifest import EvaluationSettings
from tools.runners.base import OnLine, Outcome, ProgramRun, printable
from tools.runners.foreign import BuildOutcome, build_foreign_image
from tools.runners.images import ImagePlan, build_image, context_files
from tools.runners.watching import RESERVE_BYTES, follow

if TYPE_CHECKING:
    import docker
    from docker.models.images import Image

INPUT_MOUNT = "/mnt/in"
OUTPUT_MOUNT = "/mnt/out"
OWNER_LABEL = "challenge-bundle.owner"
PROGRAM_LABEL = "challenge-bundle.program"
KEY_LABEL = "challenge-bundle.key"
SUBMISSION = "submission"

_NOBODY = 65534
_PYTHON_TAG = re.compile(r"(?:^|/)python:(3\.\d+)")
_DOCKER_SOCKET = "/var/run/docker.sock"
_MB = 2**20


@dataclass(frozen=True, slots=True)
class Host:
    """What the engine's machine gives.

    Args:
        cpus: Processors.
        gives_gpu: Whether programs that want one get its NVIDIA GPUs.
        user: `uid:gid` that containers run as: never root, and the owner of what they write.
        memory_bytes: Memory.
        images_dir: Where the engine keeps images, if that is a folder of this machine.
        machine: As wheels name it: `x86_64` or `aarch64`.
    """

    cpus: int
    gives_gpu: bool
    user: str
    memory_bytes: int = 0
    images_dir: Path | None = None
    machine: str = "x86_64"


class DockerRunner:
    """Runs a program in a container of its own image; use `connect` to make one.

    Args:
        client: Speaks to the engine.
        engine: What the engine is, for messages.
        host: What its machine gives.
        wheelhouse: See build_image.
    """

    name = "docker"

    def __init__(
        self, client: "docker.DockerClient", engine: str, host: Host, wheelhouse: Path | None
    ) -> None:
        self.client = client
        self.engine = engine
        self.host = host
        self.wheelhouse = wheelhouse
        self.reserve_bytes = RESERVE_BYTES

    @classmethod
    def connect(cls, gpus: str = "auto", wheelhouse: Path | None = None) -> "DockerRunner":
        """Find the engine: DOCKER_HOST, else the docker command's current context, else Podman's socket.

        Args:
            gpus: `auto` (if the engine has NVIDIA's runtime), `none` or `all`.
            wheelhouse: See build_image.

        Raises:
            UnavailableError: None answers, or the docker package is not installed.
        """
        try:
            import docker
        except ImportError:
            raise UnavailableError("the docker package is not installed; run `make install`") from None
        where = "any context"
        try:
            address = _engine_address()
            where = str(address["base_url"])
            _knock(where)
            client = docker.DockerClient(**address)
            info = client.info()
        except Exception as fault:  # a broken context file raises a bare Exception there
            raise UnavailableError(
                f"no Docker Engine answers at {where} ({_root_cause(fault)}); start it, correct DOCKER_HOST"
                " or DOCKER_CONTEXT if you set them, or use --runner local for your own code"
            ) from None
        return cls(client, f"Engine {info.get('ServerVersion', '?')}", read_host(info, gpus), wheelhouse)

    def run(self, run: ProgramRun, on_line: OnLine) -> Outcome:
        """Build the image if its content changed, then run it; see Runner."""
        self.sweep(run.owner)
        return self.run_image(run, self.build(run, on_line), on_line)

    def run_image(self, run: ProgramRun, image: str, on_line: OnLine) -> Outcome:
        """Run an image that is there.

        Args:
            run: What it gets; its Dockerfile and context are not looked at.
            image: Its name.
            on_line: Told of each line that it prints.

        Raises:
            ProgramError: The engine refuses to start it.
            UnavailableError: The engine went away.
        """
        if run.key:
            # What an engine that went away for a while has kept on running.
            self.sweep(run.owner, run.key)
        if os.name == "posix" and os.geteuid() == 0:
            os.chown(run.output_dir, *map(int, self.host.user.split(":")))
        with _speaking(f"{run.name} cannot be run"):
            container = self.client.containers.create(**container_config(run, image, self.host))
            try:
                return follow(container, run, self.reserve_bytes, on_line)
            finally:
                with contextlib.suppress(Exception):  # the next start finds by its label what is left here
                    container.remove(force=True, v=True)

    def build(self, run: ProgramRun, on_line: OnLine) -> str:
        """Make the image of a program, unless one of the same content is there.

        Returns:
            Its full name.

        Raises:
            ProgramError: The build failed.
            UnavailableError: The engine went away.
            DataError: The Dockerfile, a file that it copies or the program's wheels are not there.
        """
        plan = self._plan(run)
        on_line(f"image {plan.tag}")
        started = time.monotonic()
        with _speaking(f"the image {plan.name} cannot be built"):
            labels = {OWNER_LABEL: run.owner, PROGRAM_LABEL: run.name}
            tag, built = build_image(self.client, plan, self.wheelhouse, labels, on_line)
            if built:
                self._forget_older_images(tag, labels)
        on_line(f"built in {time.monotonic() - started:.1f} s" if built else "unchanged, not built again")
        return tag

    def is_built(self, run: ProgramRun) -> bool:
        """Tell whether the image of a program as it is now is there.

        Raises:
            UnavailableError: The engine went away.
            DataError: The Dockerfile or a file that it copies is not there.
        """
        return bool(self.image_id(self._plan(run).tag))

    def _plan(self, run: ProgramRun) -> ImagePlan:
        return ImagePlan(
            name=f"{run.image_name}-{run.name}",
            folder=run.program_dir.name,
            files=context_files(run.dockerfile, run.context, run.program_dir),
            base_image=run.base_image,
            torch_backend="" if self.host.gives_gpu else "cpu",
        )

    def build_foreign(
        self, plan: ImagePlan, owner: str, settings: EvaluationSettings, on_line: OnLine
    ) -> BuildOutcome:
        """Build a stranger's image; see build_foreign_image.

        Raises:
            UnavailableError: The engine went away, or its disk is short of room.
        """
        labels = {OWNER_LABEL: owner, PROGRAM_LABEL: SUBMISSION}
        with _speaking(f"the image {plan.name} cannot be built"):
            return build_foreign_image(
                self.client, plan, self.wheelhouse, labels, settings, self.host.images_dir, on_line
            )

    def image_id(self, name: str) -> str:
        """The engine's digest of an image; empty if it is not there.

        Raises:
            UnavailableError: The engine went away.
        """
        image = self._image(name)
        return str(image.id) if image else ""

    def python_version(self, name: str) -> str:
        """The Python of a base image that is the organiser's own, such as `3.11`; empty if it is not there.

        Raises:
            ProgramError: The image has no `python3`.
            UnavailableError: The engine went away.
        """
        if tagged := _PYTHON_TAG.search(name):
            return tagged[1]
        if not self.image_id(name):
            return ""
        command = ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        with _speaking(f"the Python of {name} is not known"):
            said: bytes = self.client.containers.run(
                name, command, entrypoint=["python3"], network_mode="none", remove=True
            )
        return said.decode("ascii", "replace").strip()

    def is_ours(self, name: str) -> bool:
        """Tell whether an image was built by this tool, for whatever bundle."""
        image = self._image(name)
        return image is not None and OWNER_LABEL in image.labels

    def forget_image(self, name: str) -> None:
        """Remove an image, if that can be: it only takes room."""
        import docker
        import requests

        with contextlib.suppress(docker.errors.APIError, requests.RequestException, ConnectionError):
            self.client.images.remove(name)

    def forget_others(self, tag: str) -> None:
        """Remove the images that bear the name of one, but are older."""
        for image in self.client.images.list(name=tag.partition(":")[0]):
            for other in image.tags:
                if other != tag:
                    self.forget_image(other)

    def _image(self, name: str) -> "Image | None":
        """What the engine knows of an image; None if it is not there, or has no name that could be."""
        import docker

        with _speaking("an image cannot be looked at"):
            try:
                return self.client.images.get(name)
            except docker.errors.NullResource:
                return None
            except docker.errors.APIError as fault:
                if fault.is_client_error():
                    return None
                raise

    def _forget_older_images(self, tag: str, labels: Mapping[str, str]) -> None:
        """Remove what the same program of the same bundle was built to before: up to a gigabyte each."""
        import docker

        found = self.client.images.list(
            filters={"label": [f"{key}={value}" for key, value in labels.items()]}
        )
        for image in found:
            if image.tags and tag not in image.tags:
                with contextlib.suppress(docker.errors.APIError):  # a container still uses it
                    self.client.images.remove(str(image.id))

    def sweep(self, owner: str, key: str = "") -> int:
        """Remove the containers that a killed command of this bundle left running.

        The bundle's lock is held, so whatever bears its label is nobody's any more.

        Args:
            owner: The bundle; see ProgramRun.
            key: Those of one key alone; see ProgramRun.

        Returns:
            How many there were.

        Raises:
            ProgramError: The engine refused.
            UnavailableError: It went away.
        """
        import docker

        with _speaking("containers of an earlier run cannot be removed"):
            labels = [f"{OWNER_LABEL}={owner}", *([f"{KEY_LABEL}={key}"] if key else [])]
            left = self.client.containers.list(all=True, filters={"label": labels})
            for container in left:
                with contextlib.suppress(docker.errors.NotFound):
                    container.remove(force=True, v=True)
        return len(left)

    def close(self) -> None:
        """Close the connection to the engine."""
        self.client.close()


def container_config(run: ProgramRun, image: str, host: Host) -> dict[str, Any]:
    """Say what a container may see and use: a pure function, for what it gives is all that holds a stranger.

    Args:
        run: What is run.
        image: Its image.
        host: What the engine's machine gives.

    Returns:
        Keyword arguments of docker's `containers.create`.
    """
    from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

    memory_bytes = run.limits.memory_mb * _MB
    output_bytes = run.limits.output_mb * _MB
    cpus = min(run.limits.cpus, float(host.cpus))
    gpus = [DeviceRequest(count=-1, capabilities=[["gpu"]])] if run.wants_gpu and host.gives_gpu else []
    folders = [INPUT_MOUNT, OUTPUT_MOUNT] if run.names_folders else []
    return {
        "image": image,
        "name": f"{run.image_name}-{run.name}-{uuid.uuid4().hex[:8]}",
        "command": [*folders, *run.arguments],
        "user": host.user,
        "hostname": "program",
        "environment": {
            # Numerical libraries count the machine's processors, not the container's share of them.
            "OMP_NUM_THREADS": str(max(1, int(cpus))),
            # Lines are shown when they are printed, in the order in which they are.
            "PYTHONUNBUFFERED": "1",
        },
        "network_mode": "none",
        "ipc_mode": "private",
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
        "pids_limit": run.limits.pids,
        "mem_limit": memory_bytes,
        "memswap_limit": memory_bytes,
        "nano_cpus": int(cpus * 1e9),
        "oom_score_adj": 500,
        "shm_size": "256m",
        "tmpfs": {"/tmp": "rw,noexec,nosuid,nodev,size=256m,mode=1777"},
        "ulimits": [
            Ulimit(name="fsize", soft=output_bytes, hard=output_bytes),
            Ulimit(name="nofile", soft=4096, hard=4096),
            Ulimit(name="core", soft=0, hard=0),
        ],
        "mounts": [
            Mount(INPUT_MOUNT, str(run.input_dir), type="bind", read_only=True),
            Mount(OUTPUT_MOUNT, str(run.output_dir), type="bind"),
        ],
        "device_requests": gpus,
        "log_config": LogConfig(type="json-file", config={"max-size": "4m", "max-file": "1"}),
        "labels": {OWNER_LABEL: run.owner, PROGRAM_LABEL: run.name, KEY_LABEL: run.key},
    }


def read_host(info: dict[str, Any], gpus: str) -> Host:
    """Parse what the engine says of its machine.

    Args:
        info: The answer to `docker info`.
        gpus: See `connect`.
    """
    rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
    uid = os.geteuid() if os.name == "posix" else _NOBODY
    # In a rootless engine the container's root is the unprivileged user whose engine it is.
    user = "0:0" if rootless else f"{uid or _NOBODY}:{_NOBODY}"
    gives_gpu = gpus == "all" or (gpus == "auto" and "nvidia" in (info.get("Runtimes") or {}))
    images_dir = Path(info.get("DockerRootDir") or "/nowhere")
    return Host(
        int(info.get("NCPU") or 1),
        gives_gpu,
        user,
        int(info.get("MemTotal") or 0),
        images_dir if images_dir.is_dir() else None,
        "aarch64" if info.get("Architecture") in ("aarch64", "arm64") else "x86_64",
    )


@contextlib.contextmanager
def _speaking(what: str) -> Iterator[None]:
    """Turn the faults of talking to the engine into the tool's own.

    Raises:
        ProgramError: The engine refused.
        UnavailableError: It went away.
    """
    import docker
    import requests

    try:
        yield
    except docker.errors.APIError as fault:
        said = printable(str(fault.explanation))
        # A program that cannot be started is a server's error too, to this engine.
        if "no space left" in said or (fault.is_server_error() and "OCI runtime" not in said):
            raise UnavailableError(f"{what}: {said}") from None
        raise ProgramError(f"{what}: {said}") from None
    except (requests.RequestException, ConnectionError) as fault:
        cause = printable(_root_cause(fault))
        raise UnavailableError(f"{what}: the Docker Engine went away ({cause}); start it again") from None


def _engine_address() -> dict[str, Any]:
    """What a DockerClient is made with."""
    from docker.context import ContextAPI
    from docker.utils import kwargs_from_env

    given: dict[str, Any] = {**kwargs_from_env()}
    if "base_url" in given:
        return given
    wanted = os.environ.get("DOCKER_CONTEXT")
    named = ContextAPI.get_context(wanted) if wanted else ContextAPI.get_current_context()
    if wanted and named is None:
        raise ValueError(f"docker knows no context {wanted!r}")
    if named is not None and named.Host:
        return {"base_url": named.Host, "tls": named.TLSConfig or False}
    podman = Path(os.environ.get("XDG_RUNTIME_DIR", "/run")) / "podman" / "podman.sock"
    if not Path(_DOCKER_SOCKET).exists() and podman.exists():
        return {"base_url": f"unix://{podman}"}
    return {"base_url": f"unix://{_DOCKER_SOCKET}"}


def _knock(address: str | None) -> None:
    """Try a Unix socket before the docker package does: it says plainly what is wrong, and closes it.

    Raises:
        OSError: Nobody answers there.
    """
    kind, _, path = (address or "").partition("://")
    if kind == "unix" and hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)


def _root_cause(fault: BaseException) -> str:
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror.lower()
    if "Connection refused" in str(fault):
        return "connection refused"
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__
