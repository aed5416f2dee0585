"""A process of its own that holds the limits of containers: no thread of a busy interpreter can delay it.

It gets what to watch as lines of JSON on its standard input. When that ends, the tool has ended: whatever
was watched is removed, however the tool came to its end.
"""

import contextlib
import json
import os
import queue
import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from challenge_bundle.engines.docker.cgroups import Usage
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL, remove_layers

if TYPE_CHECKING:
    from docker import APIClient

MAX_OUTPUT_FILES = 10_000
MAX_OUTPUT_DEPTH = 16
WATCH_EVERY_S = 0.2
BUILD_PIDS = 512
CLEAN_UP_S = 30.0
"""So long the clean-up after the tool's death is tried where the engine does not answer."""

CLEAN_UP_ROUNDS = 5

EVENTS_S = 1.0
"""So long a build that has ended is waited for until the engine has reported its last container's end."""


@dataclass
class Watch:
    """Something that is watched.

    Args:
        order: What was asked for; see `Watchdog` in watching.py.
        released: Set when the tool has seen its end, or has ended itself.
        limit: The limit at which it was ended; empty if it was not.
        found: What else is reported of it.
    """

    order: dict[str, Any]
    released: threading.Event = field(default_factory=threading.Event)
    limit: str = ""
    found: dict[str, Any] = field(default_factory=dict)


def watch_run(api: "APIClient", watch: Watch, ready: Callable[[], None]) -> None:
    """Hold the limits of a container from its start on."""
    order = watch.order
    folder = Path(order["output_dir"])
    ready()
    deadline: float | None = None
    used: Usage | None = None
    while not watch.released.wait(_pause(deadline)):
        if deadline is None:
            # The engine answers once the container has started; its time counts from here.
            state: dict[str, Any] = {}
            with contextlib.suppress(Exception):
                state = api.inspect_container(order["id"])["State"]
            if not state.get("Running"):
                continue
            deadline = time.monotonic() + order["time_s"]
            used = Usage(order["id"], int(state["Pid"]))
        if used is not None:
            used.look()
            watch.found = {
                "peak_memory_bytes": used.peak_memory_bytes,
                "cpu_seconds": used.cpu_seconds,
            }
        limit = ""
        if time.monotonic() > deadline:
            limit = "time"
        elif is_too_large(folder, order["output_bytes"]):
            limit = "output"
        elif _is_short_of_room(folder, order["reserve_bytes"]):
            limit = "disk"
        if limit:
            with contextlib.suppress(Exception):
                # One that has ended by itself meanwhile cannot be killed, and is not blamed.
                api.kill(order["id"])
                watch.limit = watch.limit or limit


def _pause(deadline: float | None) -> float:
    if deadline is None:
        return 0.01
    left = deadline - time.monotonic()
    return min(WATCH_EVERY_S, left + 0.001) if left > 0 else WATCH_EVERY_S


def watch_build(api: "APIClient", watch: Watch, ready: Callable[[], None]) -> None:
    """Hold the limits of a build: of its time, of each step's processes, and of the room on the disk.

    Each stage bears the build's label from its first line on, so the engine itself reports which containers
    are of this build; what the build prints is not looked at.
    """
    order = watch.order
    label = f"{BUILD_LABEL}={order['id']}"
    seen = _Events()
    stream = api.events(
        filters={"type": ["container"], "event": ["create", "die", "destroy"], "label": [label]}, decode=True
    )
    reader = threading.Thread(target=_follow_events, args=(api, stream, seen), daemon=True)
    reader.start()
    ready()
    deadline: float | None = None
    while not watch.released.wait(_pause(deadline) if deadline else WATCH_EVERY_S):
        if deadline is None:
            if not seen.first_ns:
                continue
            deadline = time.monotonic() + order["time_s"]
        limit = ""
        if time.monotonic() > deadline:
            limit = "time"
        elif order["room"] and _is_short_of_room(Path(order["room"]), order["reserve_bytes"]):
            limit = "disk"
        if limit:
            # Until the build has ended: there may be a next step.
            watch.limit = watch.limit or limit
            _kill_labelled(api, label)
    waited_until = time.monotonic() + EVENTS_S
    while seen.alive and time.monotonic() < waited_until:
        time.sleep(0.01)
    with contextlib.suppress(Exception):
        stream.close()
    watch.found = {"seconds": (seen.last_ns - seen.first_ns) / 1e9}


@dataclass
class _Events:
    """What the engine has reported of a build's containers; times are its own, nanoseconds."""

    first_ns: int = 0
    last_ns: int = 0
    alive: set[str] = field(default_factory=set)


def _follow_events(api: "APIClient", stream: Any, seen: _Events) -> None:
    with contextlib.suppress(Exception):  # a connection that was cut: the build's is cut as well
        for event in stream:
            container, moment = event["Actor"]["ID"], int(event["timeNano"])
            if event["Action"] == "create":
                seen.alive.add(container)
                _limit_processes(api, container)
            elif event["Action"] == "destroy":
                seen.alive.discard(container)
            seen.first_ns = seen.first_ns or moment
            seen.last_ns = max(seen.last_ns, moment)


def _limit_processes(api: "APIClient", container: str) -> None:
    """Bound the processes of a step that is about to begin; docker's own `update` knows no such argument."""
    with contextlib.suppress(Exception):  # the step may be over by now
        url = f"{api.base_url}/v{api.api_version}/containers/{container}/update"
        api.post(url, json={"PidsLimit": BUILD_PIDS}, timeout=10)
        # It holds off new ones; the step has begun meanwhile, and those that were quicker would live on.
        used = api.stats(container, stream=False, one_shot=True)
        if used["pids_stats"]["current"] > BUILD_PIDS:
            api.kill(container)


def _kill_labelled(api: "APIClient", label: str) -> None:
    with contextlib.suppress(Exception):
        for container in api.containers(filters={"label": [label]}):
            with contextlib.suppress(Exception):
                api.kill(container["Id"])


def is_too_large(folder: Path, limit_bytes: int) -> bool:
    """Add up what is on disk below a folder, until it is too much; links are not followed.

    Folders in folders count as too much as well: deep enough, they could neither be looked into nor removed.
    """
    files, used_bytes, pending = 0, 0, [(folder, 0)]
    while pending:
        current, depth = pending.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((Path(entry.path), depth + 1))
                    else:
                        used_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
                    if files > MAX_OUTPUT_FILES or depth > MAX_OUTPUT_DEPTH or used_bytes > limit_bytes:
                        return True
        except FileNotFoundError:
            continue  # removed meanwhile
        except OSError:
            return True  # hidden from us: over-long or closed
    return False


def _is_short_of_room(folder: Path, reserve_bytes: int) -> bool:
    try:
        return shutil.disk_usage(folder).free < reserve_bytes
    except OSError:
        return False


def clean_up(api: "APIClient", order: dict[str, Any]) -> None:
    """Remove what was watched, because nobody waits for it any more."""
    given_up = time.monotonic() + CLEAN_UP_S
    while time.monotonic() < given_up:
        try:
            if order["do"] == "run":
                _remove(api, order["id"])
            else:
                _remove_build(api, order["id"])
        except Exception:  # whatever the engine answers: it may work again
            time.sleep(WATCH_EVERY_S)
        else:
            return


def _remove_build(api: "APIClient", build: str) -> None:
    # The engine gives a build up at the end of its connection, but may be in the midst of a step by then.
    for _ in range(CLEAN_UP_ROUNDS):
        for container in api.containers(all=True, filters={"label": [f"{BUILD_LABEL}={build}"]}):
            _remove(api, container["Id"])
        remove_layers(api, build)
        time.sleep(WATCH_EVERY_S)


def _remove(api: "APIClient", container: str) -> None:
    import docker

    with contextlib.suppress(docker.errors.NotFound):
        api.remove_container(container, force=True, v=True)


def main() -> None:
    """Serve until the standard input ends."""
    import docker

    from challenge_bundle.engines.docker.api import engine_address

    api = docker.APIClient(version="auto", **engine_address())
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_write, args=(answers,), daemon=True).start()
    watches: dict[str, Watch] = {}

    def serve(watch: Watch) -> None:
        order, watching = watch.order, {"run": watch_run, "build": watch_build}[watch.order["do"]]
        with contextlib.suppress(Exception):
            watching(api, watch, lambda: answers.put(json.dumps({"id": order["id"], "ready": True})))
        answers.put(json.dumps({"id": order["id"], "limit": watch.limit, **watch.found}))

    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "release":
            watches.pop(order["id"]).released.set()
        else:
            watches[order["id"]] = Watch(order)
            threading.Thread(target=serve, args=(watches[order["id"]],), daemon=True).start()
    cleaners = [threading.Thread(target=clean_up, args=(api, watch.order)) for watch in watches.values()]
    for cleaner in cleaners:
        cleaner.start()
    for watch in watches.values():
        watch.released.set()
    for cleaner in cleaners:
        cleaner.join()


def _write(answers: "queue.SimpleQueue[str]") -> None:
    with contextlib.suppress(OSError):  # the tool has ended
        while True:
            print(answers.get(), flush=True)
