"""Building a stranger's image: no network unless it is given; limits of time, memory, processes and size."""

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.errors import UnavailableError
from tools.manifest import EvaluationSettings
from tools.runners.base import OnLine, printable
from tools.runners.images import ImagePlan, build_arguments, with_wheels, write_context
from tools.runners.watching import RESERVE_BYTES

if TYPE_CHECKING:
    import docker

BUILD_PIDS = 512
MAX_STEPS = 1000
KEPT_LINES = 40
MAX_LINE_CHARACTERS = 300
WATCH_EVERY_S = 0.5
ROOM_WAIT_S = 30

_MB = 2**20
_ENGINES_OWN = (" ---> ", "Removing intermediate container")
"""Lines with identifiers of this engine, which tell a participant nothing."""

_RUNNING = re.compile(r" ---> Running in ([0-9a-f]{12,64})")


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """How a build ended.

    Args:
        image: The engine's digest of the image; empty if there is none.
        image_bytes: Its size.
        limit: The limit at which it was ended: `time`, `size`, or empty.
        allowed: That limit, in seconds or 2**20 bytes.
        error: What the engine said of a step that failed; empty if none did.
        last_lines: The end of what the build printed.
        has_volumes: Whether the image asks for folders that no limit would hold.
        lacks_base: Whether a base image did not come.
        is_doubtful: Whether the error may be the engine's: a step that was killed.
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


def build_foreign_image(
    client: "docker.DockerClient",
    plan: ImagePlan,
    wheelhouse: Path | None,
    labels: Mapping[str, str],
    settings: EvaluationSettings,
    room: Path | None,
    on_line: OnLine,
) -> BuildOutcome:
    """Build an image from a stranger's files, unless one of the same content is there.

    The time limit is held by cutting the connection, at which the engine gives a build up. The engine's
    builder knows no limit of processes, so each step's container is given one as soon as it is named.

    Args:
        client: Speaks to the engine, for this build alone.
        plan: What it is built from.
        wheelhouse: See images.build_image.
        labels: By which it is found again.
        settings: Give the limits.
        room: Where the engine keeps images, if that can be looked at: the build is ended when it runs full.
        on_line: Told of each line.

    Raises:
        UnavailableError: The disk is short of room.
    """
    import docker

    with contextlib.suppress(docker.errors.ImageNotFound):
        return _measure(client, plan, settings, ())
    responses: list[Any] = []

    def keep(response: Any, **_: Any) -> None:
        if "/build" in response.url:
            responses.append(response)

    client.api.hooks["response"].append(keep)
    ended = threading.Event()
    verdict: list[str] = []
    watcher = threading.Thread(target=_watch, args=(settings, room, responses, ended, verdict), daemon=True)
    said: deque[str] = deque(maxlen=KEPT_LINES)
    error = ""
    try:
        with tempfile.TemporaryFile() as archive:
            write_context(with_wheels(plan, wheelhouse), archive)
            watcher.start()
            stream = client.api.build(
                fileobj=archive,
                custom_context=True,
                tag=plan.tag,
                rm=True,
                forcerm=True,
                decode=True,
                buildargs=build_arguments(plan, wheelhouse),
                labels=dict(labels),
                network_mode="default" if settings.build_network else "none",
                container_limits={
                    "memory": settings.build_memory_mb * _MB,
                    "memswap": settings.build_memory_mb * _MB,
                },
                timeout=settings.build_time_s + 60,
            )
            error = _follow(client, stream, said, on_line)
    except Exception:
        # A connection that was cut breaks in one of many ways.
        if not verdict:
            raise
    finally:
        ended.set()
        watcher.join()
        client.api.hooks["response"].clear()
        for response in responses:
            response.close()
    # Of a step that failed the engine quotes the command, which is the stranger's text.
    ours = "" if error.startswith("The command ") else error
    if "disk" in verdict or "no space left on device" in ours:
        if not _has_room_again(client, room):
            raise UnavailableError("the engine's disk is short of room; free some space")
        # What filled it is gone with the build.
        return BuildOutcome(limit="size", allowed=settings.image_mb, last_lines=tuple(said))
    if verdict:
        return BuildOutcome(limit="time", allowed=settings.build_time_s, last_lines=tuple(said))
    if error:
        step = next((line for line in reversed(said) if line.startswith("Step ")), "")
        return BuildOutcome(
            error=error[:MAX_LINE_CHARACTERS],
            last_lines=tuple(said),
            lacks_base=": FROM " in step,
            is_doubtful=error.rstrip().endswith(("code: 137", "code: 143")),
        )
    return _measure(client, plan, settings, tuple(said))


def _has_room_again(client: "docker.DockerClient", room: Path | None) -> bool:
    """Tell whether a build that was ended has given back what it took, its finished steps' layers removed."""
    client.images.prune(filters={"dangling": True})
    for _ in range(ROOM_WAIT_S):
        if room is None or shutil.disk_usage(room).free >= RESERVE_BYTES:
            return room is not None
        time.sleep(1.0)
    return False


def _measure(
    client: "docker.DockerClient", plan: ImagePlan, settings: EvaluationSettings, said: tuple[str, ...]
) -> BuildOutcome:
    """Look at an image, and remove it if it is too large."""
    image = client.images.get(plan.tag)
    size_bytes = int(image.attrs["Size"])
    if size_bytes > settings.image_mb * _MB:
        client.images.remove(plan.tag, force=True)
        return BuildOutcome(limit="size", allowed=settings.image_mb, last_lines=said)
    return BuildOutcome(
        image=str(image.id),
        image_bytes=size_bytes,
        last_lines=said,
        has_volumes=bool((image.attrs.get("Config") or {}).get("Volumes")),
    )


def _follow(
    client: "docker.DockerClient", stream: Iterable[dict[str, Any]], said: "deque[str]", on_line: OnLine
) -> str:
    """Read the engine's messages to their end; gives its error, empty if there is none."""
    error = ""
    limited: set[str] = set()
    for message in stream:
        for line in str(message.get("stream", "")).splitlines():
            if not line.strip():
                continue
            text = printable(line)[:MAX_LINE_CHARACTERS]
            if not line.startswith(_ENGINES_OWN):
                said.append(text)
            on_line(text)
            step = _RUNNING.match(line)
            # A program can print such lines too.
            if step and step[1] not in limited and len(limited) < MAX_STEPS:
                limited.add(step[1])
                _limit_processes(client, step[1])
        error = error or printable(str(message.get("error", ""))).strip()
    return error


def _limit_processes(client: "docker.DockerClient", container: str) -> None:
    """Bound the processes of a step that has just begun; docker's own `update` knows no such argument."""
    url = f"{client.api.base_url}/v{client.api.api_version}/containers/{container}/update"
    with contextlib.suppress(Exception):  # the step may be over by now
        client.api.post(url, json={"PidsLimit": BUILD_PIDS}, timeout=10)


def _watch(
    settings: EvaluationSettings,
    room: Path | None,
    responses: list[Any],
    ended: threading.Event,
    verdict: list[str],
) -> None:
    """Cut the connection when the time is over or the disk runs short."""
    started = time.monotonic()
    while not ended.wait(WATCH_EVERY_S):
        if time.monotonic() - started > settings.build_time_s:
            verdict.append("time")
        elif room is not None and shutil.disk_usage(room).free < RESERVE_BYTES:
            verdict.append("disk")
        if verdict:
            for response in list(responses):
                with contextlib.suppress(Exception):
                    response.raw.shutdown()
            return
