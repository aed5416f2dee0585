"""Connecting to the Docker Engine, and its faults as this package's errors."""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from challenge_bundle.engines.output_lines import printable
from challenge_bundle.errors import ProgramError, UnavailableError

_DOCKER_SOCKET = "/var/run/docker.sock"
_FULL_DISK = re.compile(r"no space left on device(: unknown)?[\s.\"]*$")


class RefusedError(ProgramError):
    """The engine refused a request (a status of 400 to 499, or a program that it cannot start)."""


@contextlib.contextmanager
def speaking(what: str) -> Iterator[None]:
    """Turn the faults of talking to the engine into the tool's own.

    Raises:
        RefusedError: The engine refused.
        UnavailableError: It went away.
    """
    import docker
    import requests

    try:
        yield
    except docker.errors.APIError as fault:
        message = printable(str(fault.explanation))
        # A program that cannot be started is a server's error too, to this engine.
        if reports_full_disk(message) or (fault.is_server_error() and "OCI runtime" not in message):
            raise UnavailableError(
                f"{what}: {message}", code="engine-failed", hint="look at the disk and the engine's log"
            ) from None
        raise RefusedError(f"{what}: {message}", code="engine-refused") from None
    except (requests.RequestException, ConnectionError) as fault:
        cause = printable(root_cause(fault))
        what = f"{what}: the Docker Engine went away ({cause})"
        raise UnavailableError(what, code="engine-lost", hint="start it again") from None


def reports_full_disk(message: str) -> bool:
    """Whether the engine's message ends so; a path that it names before is perhaps a participant's text."""
    return _FULL_DISK.search(message) is not None


def engine_address() -> dict[str, Any]:
    """What a client is made with: DOCKER_HOST, else the docker command's context, else Podman's socket."""
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


def knock(address: str | None) -> None:
    """Try a Unix socket before the docker package does: its own error names what is wrong, and it is closed.

    Raises:
        OSError: Nobody answers there.
    """
    kind, _, path = (address or "").partition("://")
    if kind == "unix" and hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(path)


def root_cause(fault: BaseException) -> str:
    """The shortest text on what went wrong with a connection."""
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror.lower()
    if "Connection refused" in str(fault):
        return "connection refused"
    return str(fault).splitlines()[0] if str(fault) else type(fault).__name__


def seconds_between(started: str, finished: str) -> float | None:
    """The time between two of the engine's own times.

    Args:
        started: Such as `2026-03-01T12:00:00.123456789Z`.
        finished: Likewise.

    Returns:
        Seconds; None if either is missing (the engine then writes year 1) or cannot be read.
    """
    try:
        first, last = datetime.fromisoformat(started), datetime.fromisoformat(finished)
        return (last - first).total_seconds() if first.year > 1 and last.year > 1 else None
    except (TypeError, ValueError):
        return None
