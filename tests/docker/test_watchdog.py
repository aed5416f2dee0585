"""Limits hold however busy or dead the tool is, and a build leaves nothing behind."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildLimits, BuildOutcome, BuildSpec
from challenge_bundle.engines.docker.container import OWNER_LABEL
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.docker.watchdog import watchdog_of
from challenge_bundle.engines.docker.watchdog_process import BUILD_PIDS
from challenge_bundle.installation import PROJECT_ROOT

BASE = "FROM python:3.11-slim\n"
LIMITS = BuildLimits(time_s=4, memory_mb=256, image_mb=200)

RUN = """\
import re, sys, threading, time
from pathlib import Path
sys.path.insert(0, {root!r})
from challenge_bundle.settings import Limits
from challenge_bundle.engines.base import RunSpec
from challenge_bundle.engines.docker.engine import DockerEngine
here = Path({here!r})
for name in ("in", "out"):
    (here / name).mkdir(exist_ok=True)
(here / "out").chmod(0o777)
run = RunSpec("busy", here / "in", here / "out", ("-c", {code!r}),
              Limits(time_s={time_s}, memory_mb=64, cpus=1, pids=16, output_mb=4),
              "python:3.11-slim", owner={owner!r})
runner = DockerEngine.connect("none")

def burn():
    # The pattern's matcher never lets another thread run.
    started = time.monotonic()
    re.match("(a+)+$", "a" * 25 + "b")
    one = time.monotonic() - started
    while time.monotonic() - started < {burn_s}:
        re.match("(a+)+$", "a" * (25 + min(5, max(0, int({burn_s} / one).bit_length() - 1))) + "b")
    print("burnt", time.monotonic() - started, flush=True)

threading.Timer(1.0, burn).start()
outcome = runner.run(run, print)
print("outcome", outcome.limit, outcome.seconds, outcome.exit_status, flush=True)
"""


@pytest.fixture
def owner(engine: DockerEngine) -> Iterator[str]:
    name = f"watchdog-{uuid.uuid4().hex[:12]}"
    yield name
    engine.stop(name)


def tool(tmp_path: Path, owner: str, code: str, time_s: int, burn_s: float) -> "subprocess.Popen[str]":
    """A process that runs a program in a container and keeps its own interpreter busy meanwhile."""
    script = RUN.format(
        root=str(PROJECT_ROOT), here=str(tmp_path), code=code, time_s=time_s, owner=owner, burn_s=burn_s
    )
    entry = script.replace('"python:3.11-slim"', '"watchdog-python:test"')
    return subprocess.Popen([sys.executable, "-c", entry], stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module", autouse=True)
def python_image(engine: DockerEngine) -> Iterator[None]:
    """The base image with an interpreter as its program."""
    dockerfile = (BASE + 'ENTRYPOINT ["python3"]\n').encode()
    engine.client.images.build(fileobj=io.BytesIO(dockerfile), tag="watchdog-python:test", rm=True)
    yield
    engine.client.images.remove("watchdog-python:test")


def test_a_busy_interpreter_gives_a_program_no_more_time(
    engine: DockerEngine, owner: str, tmp_path: Path
) -> None:
    with tool(tmp_path, owner, "import time; time.sleep(60)", 3, 12.0) as process:
        said = process.communicate(timeout=100)[0]
    facts = dict(line.split(maxsplit=1) for line in said.splitlines())
    limit, seconds, status = facts["outcome"].split()
    assert (limit, status) == ("time", "137")
    # It was ended while the tool could do nothing.
    assert 3.0 < float(seconds) < float(facts["burnt"])


def test_a_program_that_ended_in_time_is_not_blamed_for_a_busy_interpreter(
    engine: DockerEngine, owner: str, tmp_path: Path
) -> None:
    with tool(tmp_path, owner, "import time; time.sleep(2)", 4, 10.0) as process:
        said = process.communicate(timeout=100)[0]
    facts = dict(line.split(maxsplit=1) for line in said.splitlines())
    limit, seconds, status = facts["outcome"].rsplit(maxsplit=2)[0], *facts["outcome"].split()[-2:]
    assert (limit.strip('"') in ("", seconds), status) == (True, "0")
    assert 2.0 <= float(seconds) <= 4.0 < float(facts["burnt"])


def test_the_tools_death_ends_its_containers(engine: DockerEngine, owner: str, tmp_path: Path) -> None:
    def containers() -> list[str]:
        found = engine.client.containers.list(all=True, filters={"label": f"{OWNER_LABEL}={owner}"})
        return [str(container.status) for container in found]

    with tool(tmp_path, owner, "import time; time.sleep(300)", 300, 0.0) as process:
        wait_for(lambda: containers() == ["running"])
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: containers() == [])


def test_a_watchdog_that_was_ended_is_replaced(engine: DockerEngine) -> None:
    first = watchdog_of(engine.address)
    assert watchdog_of(engine.address) is first
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert watchdog_of(engine.address) is not first
    assert watchdog_of(engine.address).is_alive


def wait_for(condition, seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def images(engine: DockerEngine) -> set[str]:
    """The images of these builds: others may use the engine at the same time."""
    found = engine.client.api.images(all=True, filters={"label": f"{OWNER_LABEL}=nobody"})
    return {image["Id"] for image in found}


@pytest.fixture
def dangling(engine: DockerEngine) -> Iterator[str]:
    """An image without a name that somebody else keeps on this engine."""
    dockerfile = f"{BASE}LABEL somebody={uuid.uuid4().hex}\nRUN true\n".encode()
    image, _ = engine.client.images.build(fileobj=io.BytesIO(dockerfile), rm=True)
    yield str(image.id)
    engine.client.images.remove(str(image.id))


def build(engine: DockerEngine, folder: Path, steps: str) -> BuildOutcome:
    (folder / "Dockerfile").write_text(BASE.replace("\n", " AS one\n") + textwrap.dedent(steps))
    files = {"Dockerfile": folder / "Dockerfile"}
    plan = BuildSpec("watchdog-build", "f", files, owner="nobody", key="k", limits=LIMITS)
    try:
        return engine.build(plan, [].append)
    finally:
        engine.forget(plan.image)


FORGED = "for n in $(seq 1500); do printf ' ---> Running in %012x\\n' $n; done"


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ("RUN head -c 200m /dev/urandom > /x\nRUN false\n", "returned a non-zero code: 1"),
        ("RUN head -c 50m /dev/urandom > /x\nFROM one AS two\nRUN cp /x /y\nRUN sleep 60\n", "time"),
        (f"RUN head -c 5m /dev/urandom > /x\n{BASE}COPY --from=one /x /y\n", ""),
        ("RUN head -c 80m /dev/zero > /x\n", "size"),
        (
            "LABEL challenge-bundle.build=other\nRUN head -c 5m /dev/urandom > /x\nRUN false\n",
            "non-zero code",
        ),
        ("RUN trap '' TERM INT HUP; while true; do sleep 1; done\n", "time"),
        ("RUN yes\n", "time"),
        ("RUN sleep 3\nRUN sleep 3\nRUN sleep 3\n", "time"),
    ],
)
def test_a_build_leaves_nothing_and_takes_nothing_of_others(
    engine: DockerEngine, dangling: str, tmp_path: Path, steps: str, found: str
) -> None:
    before = images(engine)
    outcome = build(engine, tmp_path, steps)
    assert found in (outcome.limit or outcome.error)
    assert bool(outcome.image) is (found == "")
    assert images(engine) == before == set()
    assert engine.client.images.get(dangling).id == dangling


def test_forged_lines_win_no_processes(engine: DockerEngine, tmp_path: Path) -> None:
    outcome = build(engine, tmp_path, f"RUN {FORGED}; for n in $(seq 700); do sleep 2 & done; wait\n")
    assert "non-zero code" in outcome.error
    assert any("fork" in line.lower() for line in outcome.last_lines)
    # As many as are allowed can be had: the shell is one of them.
    counted = f"for n in $(seq {BUILD_PIDS - 2}); do sleep 0.5 & done; wait; echo all"
    outcome = build(engine, tmp_path, f"RUN {counted}\n")
    assert outcome.image
    assert "all" in outcome.last_lines


def test_the_tools_death_ends_its_build_and_removes_its_layers(engine: DockerEngine, tmp_path: Path) -> None:
    before = images(engine)
    script = f"""
import sys
sys.path.insert(0, {str(PROJECT_ROOT)!r})
from pathlib import Path
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.base import BuildLimits, BuildSpec
limits = BuildLimits(time_s=200, memory_mb=256, image_mb=400)
files = {{"Dockerfile": Path({str(tmp_path / "Dockerfile")!r})}}
plan = BuildSpec("watchdog-dying", "f", files, owner="nobody", key="k", limits=limits)
runner = DockerEngine.connect("none")
runner.build(plan, lambda line: print(line, flush=True))
"""
    (tmp_path / "Dockerfile").write_text(
        BASE + "RUN head -c 5m /dev/urandom > /x\nRUN echo begun; sleep 150\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any(line == "begun\n" for line in process.stdout)
        assert images(engine) > before
        process.send_signal(signal.SIGKILL)
    wait_for(lambda: images(engine) == before)
    running = engine.client.containers.list(filters={"label": f"{OWNER_LABEL}=nobody"})
    assert running == []
