"""How a container's end is judged, and what the process that holds the limits counts."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from challenge_bundle.engines.docker import watchdog_process as watchdog
from challenge_bundle.engines.docker.api import seconds_between
from challenge_bundle.engines.docker.watchdog import judge
from challenge_bundle.engines.docker.watchdog_process import (
    MAX_OUTPUT_DEPTH,
    MAX_OUTPUT_FILES,
    Watch,
    clean_up,
    is_too_large,
    watch_build,
    watch_run,
)

START = "2026-03-01T23:59:58.000000000Z"


def state(finished: str, oom: bool = False, started: str = START) -> dict[str, Any]:
    return {"StartedAt": started, "FinishedAt": finished, "OOMKilled": oom}


@pytest.mark.parametrize(
    ("finished", "seconds"),
    [
        ("2026-03-01T23:59:58Z", 0.0),
        ("2026-03-02T00:00:03.250000999Z", 5.25),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("soon", None),
        ("None", None),
    ],
)
def test_the_engines_times_are_read(finished: str, seconds: float | None) -> None:
    assert seconds_between(START, finished) == seconds


def test_what_never_started_took_no_time() -> None:
    assert seconds_between("0001-01-01T00:00:00Z", START) is None


@pytest.mark.parametrize(
    ("finished", "status", "ended_at", "limit"),
    [
        ("2026-03-02T00:00:03Z", 0, "", ""),  # exactly at the limit
        ("2026-03-02T00:00:03.000001Z", 0, "", "time"),
        ("2026-03-02T00:00:03.000001Z", 3, "", "time"),
        ("2026-03-02T00:00:00Z", 3, "", ""),
        ("2026-03-02T00:00:09Z", 137, "time", "time"),
        ("2026-03-02T00:00:01Z", 137, "output", "output"),
        ("2026-03-02T00:00:09Z", 137, "disk", "disk"),
        ("0001-01-01T00:00:00Z", 137, "time", "time"),
        ("0001-01-01T00:00:00Z", 0, "", ""),
    ],
)
def test_the_verdict_on_time_is_the_engines(finished: str, status: int, ended_at: str, limit: str) -> None:
    assert judge(state(finished), status, ended_at, 5)[0] == limit


def test_memory_is_told_from_a_death_by_other_hands() -> None:
    finished = "2026-03-02T00:00:01Z"
    assert judge(state(finished, oom=True), 137, "", 5) == ("memory", 3.0)
    assert judge(state(finished), 137, "", 5) == ("", 3.0)
    # A child of it was ended for memory; the program itself ended well.
    assert judge(state(finished, oom=True), 0, "", 5) == ("", 3.0)
    assert judge(state("2026-03-02T00:00:09Z", oom=True), 137, "", 5)[0] == "time"


def write_blocks(path: Path, blocks: int) -> None:
    """A file of so many blocks of 4096 bytes on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(4096 * blocks))
    assert path.stat().st_blocks * 512 == 4096 * blocks


def test_output_is_the_sum_over_all_files_up_to_its_limit(tmp_path: Path) -> None:
    limit = 2**20
    for number in range(4):
        write_blocks(tmp_path / f"{number % 2}" / f"{number}", 64)
    assert not is_too_large(tmp_path, limit)
    write_blocks(tmp_path / "one more", 1)
    assert is_too_large(tmp_path, limit)


def test_files_and_depth_have_limits(tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(MAX_OUTPUT_FILES):
        (many / str(number)).touch()
    assert not is_too_large(many, 2**20)
    (many / "one more").touch()
    assert is_too_large(many, 2**20)
    deep = tmp_path / "deep"
    folder = deep
    for _ in range(MAX_OUTPUT_DEPTH):
        folder /= "d"
    folder.mkdir(parents=True)
    assert not is_too_large(deep, 2**20)
    (folder / "d").mkdir()
    (folder / "d" / "file").touch()
    assert is_too_large(deep, 2**20)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write_blocks(tmp_path / "large", 64)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "large")
    (tmp_path / "out" / "folder").symlink_to(tmp_path)
    assert not is_too_large(tmp_path / "out", 64 * 1024)
    assert is_too_large(tmp_path, 64 * 1024 - 1)


class Engine:
    """What the watchdog asks of an engine: a container that runs until it is ended."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.ended: list[str] = []

    def inspect_container(self, container: str) -> dict[str, Any]:
        return {"State": {"Running": True, "Pid": 0}}

    def kill(self, container: str) -> None:
        self.ended.append(container)
        self.watch.released.set()


@pytest.mark.parametrize(
    ("change", "limit"),
    [
        ({"time_s": 0.05}, "time"),
        ({"output_bytes": 4095}, "output"),
        ({"reserve_bytes": 1 << 60}, "disk"),
    ],
)
def test_a_container_is_ended_at_each_limit(tmp_path: Path, change: dict[str, Any], limit: str) -> None:
    write_blocks(tmp_path / "file", 1)
    order = {"do": "run", "id": "c", "time_s": 60, "output_dir": str(tmp_path)}
    watch = Watch(order | {"output_bytes": 4096, "reserve_bytes": 0} | change)
    engine = Engine(watch)
    ready: list[bool] = []
    watch_run(engine, watch, lambda: ready.append(True))
    assert (engine.ended, watch.limit, ready) == (["c"], limit, [True])


def test_a_container_within_its_limits_is_let_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_blocks(tmp_path / "file", 1)
    order = {"do": "run", "id": "c", "time_s": 60, "output_dir": str(tmp_path)}
    watch = Watch(order | {"output_bytes": 4096, "reserve_bytes": 0})
    engine = Engine(watch)
    looks = iter([False] * 3 + [True] * 3)

    def short(folder: Path, reserve_bytes: int) -> bool:
        if next(looks):
            watch.released.set()
        return False

    monkeypatch.setattr(watchdog, "_is_short_of_room", short)
    watch_run(engine, watch, lambda: None)
    assert (engine.ended, watch.limit) == ([], "")


class Stream:
    """Events of an engine, which go on until they are closed."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events, self.closed = events, threading.Event()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self.events
        self.closed.wait(20)

    def close(self) -> None:
        self.closed.set()


class Builder:
    """What the watchdog asks of an engine that builds: its events, and containers that can be ended."""

    base_url, api_version = "http://engine", "1.41"

    def __init__(self, watch: Watch, *events: tuple[str, str, int], running: int = 1) -> None:
        self.watch = watch
        self.stream = Stream([{"Actor": {"ID": c}, "Action": a, "timeNano": t} for a, c, t in events])
        self.filters: list[dict[str, list[str]]] = []
        self.limited: list[tuple[str, dict[str, int]]] = []
        self.counted: list[str] = []
        self.processes: dict[str, int] = {}
        self.ended: list[str] = []
        self.running = running

    def events(self, filters: dict[str, list[str]], decode: bool) -> Stream:
        assert decode
        self.filters.append(filters)
        return self.stream

    def post(self, url: str, json: dict[str, int], timeout: float) -> None:
        self.limited.append((url, json))
        if json != {"PidsLimit": 512}:
            raise AssertionError(json)

    def stats(self, container: str, stream: bool, one_shot: bool) -> dict[str, Any]:
        # Once, at once: an answer without end, or a second look, would keep the next step waiting.
        assert (stream, one_shot) == (False, True)
        # The limit stands by then.
        assert len(self.limited) > len(self.counted)
        self.counted.append(container)
        return {"pids_stats": {"current": self.processes[container]} if container in self.processes else {}}

    def containers(self, filters: dict[str, list[str]]) -> list[dict[str, str]]:
        self.filters.append(filters)
        return [{"Id": f"c{number}"} for number in range(self.running)]

    def kill(self, container: str) -> None:
        self.ended.append(container)
        if container == f"c{self.running - 1}":
            self.watch.released.set()


def build_order(**change: Any) -> dict[str, Any]:
    return {"do": "build", "id": "n1", "time_s": 60, "room": None, "reserve_bytes": 0} | change


STEP = [("create", "c0", 5_000_000_000), ("die", "c0", 7_500_000_000), ("destroy", "c0", 8_000_000_000)]


def test_each_container_of_a_build_is_limited_when_it_is_made() -> None:
    watch = Watch(build_order())
    engine = Builder(watch, *STEP, ("create", "c1", 9_000_000_000), ("destroy", "c1", 9_250_000_000))
    threading.Timer(0.5, watch.released.set).start()
    watch_build(engine, watch, lambda: None)
    assert engine.limited == [
        (f"http://engine/v1.41/containers/c{number}/update", {"PidsLimit": 512}) for number in (0, 1)
    ]
    assert engine.filters[0] == {
        "type": ["container"],
        "event": ["create", "die", "destroy"],
        "label": ["challenge-bundle.build=n1"],
    }
    # From the engine's first word of it to its last.
    assert watch.found == {"seconds": 4.25}
    assert (watch.limit, engine.ended, engine.stream.closed.is_set()) == ("", [], True)


def test_a_step_that_was_quicker_than_its_limit_is_ended() -> None:
    """Until the limit stands it may have made any number of processes; at the limit it goes on."""
    watch = Watch(build_order())
    engine = Builder(
        watch, *STEP, ("create", "c1", 9_000_000_000), ("create", "c2", 9_500_000_000), running=9
    )
    engine.processes |= {"c0": 512, "c1": 513}
    threading.Timer(0.5, watch.released.set).start()
    watch_build(engine, watch, lambda: None)
    assert engine.counted == ["c0", "c1", "c2"]
    assert (engine.ended, watch.limit) == (["c1"], "")


@pytest.mark.parametrize(
    ("change", "limit"),
    [({"time_s": 0.05}, "time"), ({"room": "/", "reserve_bytes": 1 << 62}, "disk")],
)
def test_all_containers_of_a_build_are_ended_at_a_limit(change: dict[str, Any], limit: str) -> None:
    watch = Watch(build_order(**change))
    engine = Builder(watch, *STEP, running=3)
    watch_build(engine, watch, lambda: None)
    assert (watch.limit, engine.ended) == (limit, ["c0", "c1", "c2"])
    assert engine.filters[-1] == {"label": ["challenge-bundle.build=n1"]}


def test_a_build_that_waits_for_its_first_step_is_not_over_time() -> None:
    watch = Watch(build_order(time_s=0.05))
    engine = Builder(watch)
    threading.Timer(0.6, watch.released.set).start()
    watch_build(engine, watch, lambda: None)
    assert (watch.limit, engine.ended, watch.found) == ("", [], {"seconds": 0.0})


class Left:
    """An engine that holds what a tool that was killed has left, and answers at the second question only."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.asked = 0

    def containers(self, all: bool, filters: dict[str, list[str]]) -> list[dict[str, str]]:
        assert all
        assert filters == {"label": ["challenge-bundle.build=n1"]}
        self.asked += 1
        if self.asked == 1:
            raise ConnectionError
        return [{"Id": "c0"}] if "c0" not in self.removed else []

    def remove_container(self, container: str, force: bool, v: bool) -> None:
        assert force
        assert v
        self.removed.append(container)

    def images(self, all: bool) -> list[dict[str, Any]]:
        assert all
        labels = {"challenge-bundle.build": "n1"}
        left = [] if "i0" in self.removed else [{"Id": "i0", "ParentId": "", "Labels": labels}]
        return [*left, {"Id": "other", "ParentId": "", "Labels": None}]

    def remove_image(self, image: str, force: bool, noprune: bool) -> None:
        assert force
        assert noprune
        self.removed.append(image)


def test_what_a_killed_tool_left_is_removed_once_the_engine_answers() -> None:
    engine = Left()
    clean_up(engine, {"do": "run", "id": "c9"})
    assert engine.removed == ["c9"]
    engine = Left()
    clean_up(engine, build_order())
    assert engine.removed == ["c0", "i0"]
