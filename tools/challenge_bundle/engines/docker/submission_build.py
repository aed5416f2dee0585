"""A submission's image: no network unless it is given; limits of time, memory, processes and size."""

import contextlib
import re
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from challenge_bundle.engines.base import KILLED, BuildLimits, BuildOutcome, BuildSpec, OnLine
from challenge_bundle.engines.docker.api import reports_full_disk
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL, remove_layers
from challenge_bundle.engines.docker.images import prepare_build, start_build
from challenge_bundle.engines.docker.watchdog import RESERVE_BYTES, Watchdog
from challenge_bundle.engines.output_lines import printable
from challenge_bundle.errors import UnavailableError

if TYPE_CHECKING:
    import docker

KEPT_LINES = 40
MAX_LINE_CHARACTERS = 300
WATCH_EVERY_S = 0.5
ROOM_WAIT_S = 30

CUT_GRACE_S = 30
"""The watchdog ends a step that runs over time; a build that goes on is cut off so much later."""

_MB = 2**20
_ENGINES_OWN = (" ---> ", "Removing intermediate container")
"""Lines with identifiers of this engine, of no use to a participant. A program that prints such a line hides
it from the log, and no more: nothing else is read from what a build prints."""

_OF_A_STEP = re.compile(r"The command '.*' returned a non-zero code: (\d+)", re.DOTALL)
_OF_THE_FILES = re.compile(r"(?i)(copy|add) failed|dockerfile|invalid from flag|invalid reference format")
_OF_A_BASE = re.compile(
    r"(?i)pull access denied|manifest (for|unknown)|no such image|error pulling|toomanyrequests|unauthorized"
    r"|(get|head) \"?https?:|(error response from daemon|repository|registry)\b.*(not found|denied|lookup)"
)
"""At the beginning of the engine's message: names that follow are the participant's text."""


def build_submission(
    client: "docker.DockerClient",
    spec: BuildSpec,
    wheelhouse: Path | None,
    labels: Mapping[str, str],
    limits: BuildLimits,
    room: Path | None,
    watchdog: Watchdog,
    on_line: OnLine,
) -> BuildOutcome:
    """Build an image from a participant's files, unless one of the same content is there.

    Every build makes its own layers, none from the engine's cache, and each stage bears the build's name: so
    what it leaves can be removed while other builds run, and nothing else is.

    Args:
        client: Speaks to the engine, for this build alone.
        spec: What it is built from.
        wheelhouse: See images.build_image.
        labels: By which it is found again.
        limits: What it may use.
        room: Where the engine keeps images, if that can be looked at: the build is ended when it runs full.
        watchdog: Ends its steps at the limits of time and processes, and when the disk runs short.
        on_line: Gets each line.

    Raises:
        UnavailableError: The disk is short of room.
    """
    import docker

    with contextlib.suppress(docker.errors.ImageNotFound):
        return _measure(client, spec, limits, ())
    build = uuid.uuid4().hex
    order = {
        "do": "build",
        "id": build,
        "time_s": limits.time_s,
        "room": str(room) if room else None,
        "reserve_bytes": RESERVE_BYTES,
    }
    printed: deque[str] = deque(maxlen=KEPT_LINES)
    keep = ""
    try:
        with watchdog.holding(order) as found, _cutting(client, limits, room) as cut:
            error = ""
            try:
                stream = _start(client, spec, wheelhouse, {**labels, BUILD_LABEL: build}, limits)
                error = _follow(stream, printed, on_line)
            except Exception:
                # A connection that was cut breaks in one of many ways.
                if not cut:
                    raise
        outcome = _judge(client, limits, room, (*cut, str(found["limit"])), error, tuple(printed), build)
        if outcome is None and float(found.get("seconds", 0.0)) > limits.time_s:
            outcome = BuildOutcome(limit="time", allowed=limits.time_s, last_lines=tuple(printed))
        if outcome is None:
            outcome = _measure(client, spec, limits, tuple(printed))
        keep = outcome.image
        return outcome
    finally:
        # The layers of a build that failed, of other stages than the last, and of an image that is refused.
        with contextlib.suppress(Exception):  # what an engine that is away keeps is swept by the next run
            remove_layers(client.api, build, keep)


def _start(
    client: "docker.DockerClient",
    spec: BuildSpec,
    wheelhouse: Path | None,
    labels: Mapping[str, str],
    limits: BuildLimits,
) -> Iterable[dict[str, Any]]:
    """Begin a build; gives the engine's messages."""
    memory_bytes = limits.memory_mb * _MB
    prepared = prepare_build(spec, wheelhouse, stage_labels=labels)
    return start_build(
        client,
        prepared,
        spec.image,
        nocache=True,
        network_mode="default" if limits.network else "none",
        container_limits={"memory": memory_bytes, "memswap": memory_bytes},
        timeout=limits.time_s + CUT_GRACE_S + 60,
    )


def _judge(
    client: "docker.DockerClient",
    limits: BuildLimits,
    room: Path | None,
    reached: tuple[str, ...],
    error: str,
    printed: tuple[str, ...],
    build: str,
) -> BuildOutcome | None:
    """Why a build gave no image; None if it gave one."""
    of_step = _OF_A_STEP.match(error)
    # Of a step that failed the engine quotes the command, which is the participant's text.
    ours = "" if of_step else error
    if "disk" in reached or reports_full_disk(ours):
        if not _has_room_again(client, room, build):
            raise UnavailableError(
                "the engine's disk is short of room", code="disk-short-of-room", hint="free some space"
            )
        # What filled it is gone with the build, or with another one that was ended at the same time.
        return BuildOutcome(limit="size", allowed=limits.image_mb, last_lines=printed, is_crowded=True)
    if "time" in reached:
        return BuildOutcome(limit="time", allowed=limits.time_s, last_lines=printed)
    if not error:
        return None
    is_killed = of_step is not None and int(of_step[1]) in KILLED
    lacks_base = bool(_OF_A_BASE.match(ours)) and not _OF_THE_FILES.search(ours)
    return BuildOutcome(
        error=error[:MAX_LINE_CHARACTERS],
        last_lines=printed,
        lacks_base=lacks_base,
        is_doubtful=is_killed or (bool(ours) and not _OF_THE_FILES.search(ours)),
    )


def _has_room_again(client: "docker.DockerClient", room: Path | None, build: str) -> bool:
    """Whether a build that was ended has given back what it took, its finished steps' layers removed."""
    remove_layers(client.api, build)
    for _ in range(ROOM_WAIT_S):
        if room is None or shutil.disk_usage(room).free >= RESERVE_BYTES:
            return room is not None
        time.sleep(1.0)
    return False


def _measure(
    client: "docker.DockerClient", spec: BuildSpec, limits: BuildLimits, printed: tuple[str, ...]
) -> BuildOutcome:
    """Look at an image, and remove it if it is too large."""
    image = client.images.get(spec.image)
    size_bytes = int(image.attrs["Size"])
    if size_bytes > limits.image_mb * _MB:
        forget_build(client, spec.image)
        return BuildOutcome(limit="size", allowed=limits.image_mb, last_lines=printed)
    return BuildOutcome(
        image=str(image.id),
        image_bytes=size_bytes,
        last_lines=printed,
        has_volumes=bool((image.attrs.get("Config") or {}).get("Volumes")),
    )


def forget_build(client: "docker.DockerClient", name: str) -> None:
    """Remove an image of a submission with all that its build has made; one that is in use stays."""
    build = client.images.get(name).labels.get(BUILD_LABEL)
    if build:
        remove_layers(client.api, build)
    else:
        client.images.remove(name, noprune=True)


def _follow(stream: Iterable[dict[str, Any]], printed: "deque[str]", on_line: OnLine) -> str:
    """Read the engine's messages to their end; gives its error, empty if there is none."""
    error = ""
    for message in stream:
        for line in str(message.get("stream", "")).splitlines():
            if not line.strip():
                continue
            text = printable(line)[:MAX_LINE_CHARACTERS]
            if not line.startswith(_ENGINES_OWN) and f" {BUILD_LABEL}=" not in line:
                printed.append(text)
            on_line(text)
        error = error or printable(str(message.get("error", "")).strip())
    return error


@contextlib.contextmanager
def _cutting(client: "docker.DockerClient", limits: BuildLimits, room: Path | None) -> Iterator[list[str]]:
    """Cut a build's connection, at which the engine gives it up, if its steps' ends have not ended it.

    Yields:
        Why it was cut: `time` or `disk`; empty if it was not.
    """
    responses: list[Any] = []

    def keep(response: Any, **_: Any) -> None:
        if "/build" in response.url:
            responses.append(response)

    client.api.hooks["response"].append(keep)
    ended = threading.Event()
    cut: list[str] = []
    watcher = threading.Thread(target=_watch, args=(limits, room, responses, ended, cut), daemon=True)
    watcher.start()
    try:
        yield cut
    finally:
        ended.set()
        watcher.join()
        client.api.hooks["response"].clear()
        for response in responses:
            response.close()


def _watch(
    limits: BuildLimits,
    room: Path | None,
    responses: list[Any],
    ended: threading.Event,
    cut: list[str],
) -> None:
    """Cut the connection when the time is long over or the disk runs short."""
    started = time.monotonic()
    while not ended.wait(WATCH_EVERY_S):
        if time.monotonic() - started > limits.time_s + CUT_GRACE_S:
            cut.append("time")
        elif room is not None and shutil.disk_usage(room).free < RESERVE_BYTES:
            cut.append("disk")
        if cut:
            for response in list(responses):
                with contextlib.suppress(Exception):
                    response.raw.shutdown()
            return
