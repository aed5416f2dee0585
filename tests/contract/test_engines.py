"""What every engine does alike: the same program, the same outcome, nothing left running."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildLimits, BuildOutcome, BuildSpec, Engine, Outcome, RunSpec
from challenge_bundle.engines.docker.container import OWNER_LABEL
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.errors import BundleError, ProgramError
from challenge_bundle.runs.outcome import check_outcome
from challenge_bundle.runs.programs import SCORING
from challenge_bundle.settings import Limits
from tests.fake_engine import FakeEngine

PRELUDE = """\
import os, signal, sys, time
IN = sys.argv[1] if len(sys.argv) > 2 and os.path.isdir(sys.argv[1]) else '/mnt/in'
OUT = sys.argv[2] if len(sys.argv) > 2 and os.path.isdir(sys.argv[2]) else '/mnt/out'
"""

LIMITS = Limits(time_s=20, memory_mb=512, cpus=1, pids=64, output_mb=8)
BUILD_LIMITS = BuildLimits(time_s=4, memory_mb=256, image_mb=400)
OWNER = "contract-suite"

DOCKERFILE = """\
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
COPY program.py /opt/
ENTRYPOINT ["python3", "-B", "/opt/program.py"]
"""


def say_nothing(line: str) -> None:
    """A callback for tests that do not look at it."""


RunCode = Callable[..., tuple[Outcome, list[str]]]


@pytest.fixture(params=["local", "docker", "fake"])
def any_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine; a new one is added here."""
    if request.param == "docker":
        docker: Engine = request.getfixturevalue("engine")
        return docker
    return LocalEngine() if request.param == "local" else FakeEngine(tmp_path / "engine")


@pytest.fixture(params=["docker", "fake"])
def building_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    """Each engine that builds images."""
    if request.param == "docker":
        docker: Engine = request.getfixturevalue("engine")
        return docker
    return FakeEngine(tmp_path / "engine")


def build_spec(folder: Path, code: str, dockerfile: str = DOCKERFILE, limits: BuildLimits | None = None):
    """What a program's image is built from; its files are written."""
    folder.mkdir(exist_ok=True)
    (folder / "program.py").write_text(PRELUDE + code)
    (folder / "Dockerfile").write_text(dockerfile)
    files = {name: folder / name for name in ("Dockerfile", "program.py")}
    return BuildSpec(
        "bundle-probe", "program", files, program="probe", owner=OWNER, key="k" * bool(limits), limits=limits
    )


def run_in(
    engine: Engine, folder: Path, code: str, limits: Limits = LIMITS, dockerfile: str = DOCKERFILE
) -> tuple[Outcome, list[str]]:
    """Run a script as a program; gives the outcome and the lines that it printed."""
    for name in ("in", "out"):
        (folder / name).mkdir(exist_ok=True)
    spec = build_spec(folder / "program", code, dockerfile)
    if engine.builds_images:
        engine.build(spec, say_nothing)
    lines: list[str] = []
    outcome = engine.run(
        RunSpec(
            name="probe",
            image=spec.image if engine.builds_images else "",
            script=folder / "program" / "program.py",
            input_dir=folder / "in",
            output_dir=folder / "out",
            arguments=("--option", "value with blanks"),
            owner=OWNER,
            key="k",
            limits=limits,
        ),
        lines.append,
    )
    return outcome, lines


@pytest.fixture
def run_code(any_engine: Engine, tmp_path: Path) -> RunCode:
    """See run_in."""

    def run(code: str, time_s: int = 20) -> tuple[Outcome, list[str]]:
        limits = Limits(time_s, LIMITS.memory_mb, LIMITS.cpus, LIMITS.pids, LIMITS.output_mb)
        return run_in(any_engine, tmp_path, code, limits)

    return run


def test_lines_and_status(run_code: RunCode) -> None:
    outcome, lines = run_code("print('one'); time.sleep(0.3); print('two', file=sys.stderr); sys.exit(3)")
    assert (outcome.exit_status, outcome.limit, outcome.last_line) == (3, "", "two")
    assert lines == ["one", "two"]
    with pytest.raises(ProgramError) as fault:
        check_outcome(SCORING, outcome, LIMITS)
    assert fault.value.code == "program-failed"
    assert fault.value.finding.message == "scoring failed (exit status 3); its last line: two"


def test_options_reach_the_program_and_output_the_folder(run_code: RunCode, tmp_path: Path) -> None:
    outcome, lines = run_code("print(sys.argv[-2:]); open(OUT + '/written', 'w').close()")
    assert outcome.exit_status == 0
    assert lines == ["['--option', 'value with blanks']"]
    assert (tmp_path / "out" / "written").exists()


def test_a_signal_is_named(run_code: RunCode) -> None:
    outcome, _ = run_code("print('before', flush=True); os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ProgramError) as fault:
        check_outcome(SCORING, outcome, LIMITS)
    assert fault.value.code == "program-ended-by-signal"
    assert "SIGSEGV" in str(fault.value)
    assert "before" in str(fault.value)


def test_the_time_limit_holds_for_all_that_it_started(run_code: RunCode, any_engine: Engine) -> None:
    # Beyond the test's own timeout: if the limit does not hold, that ends the test.
    outcome, lines = run_code(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(600)",
        time_s=2,
    )
    assert outcome.limit == "time"
    if isinstance(any_engine, DockerEngine):
        labelled = {"label": f"{OWNER_LABEL}={OWNER}"}
        assert any_engine.client.containers.list(all=True, filters=labelled) == []
    else:
        assert has_ended(int(lines[0]))
    with pytest.raises(ProgramError) as fault:
        check_outcome(SCORING, outcome, LIMITS)
    assert fault.value.code == "program-over-limit"
    assert fault.value.finding.message == "scoring was ended at its time limit of 20 s"


def has_ended(pid: int) -> bool:
    """Wait a little for a process to be gone."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def test_control_characters_and_endless_lines(run_code: RunCode) -> None:
    outcome, lines = run_code(
        "sys.stdout.write('\\x1b[2J' + 'a' * 5000 + '\\n'); sys.stdout.buffer.write(b'\\xff\\n')"
    )
    assert outcome.exit_status == 0
    assert not any("\x1b" in line for line in lines)
    assert max(map(len, lines)) <= 2000
    assert sum(line.count("a") for line in lines) == 5000


def test_the_environment_is_not_passed_on(run_code: RunCode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    _, lines = run_code("print('secret' in str(os.environ))")
    assert lines == ["False"]


def test_a_run_that_is_stopped_has_ended(any_engine: Engine, tmp_path: Path) -> None:
    ended = threading.Event()

    def run() -> None:
        # How a run ends that somebody else has stopped is not laid down, only that it does.
        with_seconds = 60 if any_engine.builds_images else 2
        try:
            run_in(any_engine, tmp_path, f"open(OUT + '/begun', 'w').close(); time.sleep({with_seconds})")
        except BundleError:
            pass
        finally:
            ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert any_engine.stop(OWNER, "another") == 0
    assert any_engine.stop("nobody") == 0
    # Plain processes end with the tool that started them, so none is ever left to stop.
    assert any_engine.stop(OWNER, "k") == any_engine.builds_images
    assert ended.wait(20)
    thread.join()
    assert any_engine.stop(OWNER) == 0


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("x = b'x' * (700 << 20)\ntime.sleep(15)", "memory"),
        (
            "for n in range(4): open(f'{OUT}/{n}', 'wb').write(b'x' * (3 << 20))\ntime.sleep(15)",
            "output",
        ),
    ],
)
def test_the_other_limits_hold(building_engine: Engine, tmp_path: Path, code: str, limit: str) -> None:
    outcome, _ = run_in(building_engine, tmp_path, code)
    assert outcome.limit == limit
    assert outcome.exit_status != 0


def test_a_program_that_is_not_in_its_image_is_not_started(building_engine: Engine, tmp_path: Path) -> None:
    dockerfile = DOCKERFILE.replace('"python3", "-B", "/opt/program.py"', '"/opt/none.py"')
    outcome, _ = run_in(building_engine, tmp_path, "", dockerfile=dockerfile)
    assert not outcome.is_started
    assert outcome.exit_status == 127


def test_an_image_is_built_once_and_can_be_forgotten(building_engine: Engine, tmp_path: Path) -> None:
    spec = build_spec(tmp_path / "p", f"print({time.time_ns()})", limits=BUILD_LIMITS)
    assert building_engine.inspect(spec.image) is None
    first = building_engine.build(spec, say_nothing)
    assert first.image.startswith("sha256:")
    assert (first.limit, first.error) == ("", "")
    found = building_engine.inspect(spec.image)
    assert found is not None
    assert found.digest == first.image
    assert found.is_ours
    assert f"docker.io/library/{spec.image}" in found.names
    assert building_engine.build(spec, say_nothing).image == first.image
    # What goes on keeps its image in a sweep; what somebody else works on, or does not go on, does not.
    building_engine.sweep(OWNER, {"k"}, claiming(True))
    building_engine.sweep(OWNER, set(), claiming(False))
    building_engine.sweep("nobody", set(), claiming(True))
    assert building_engine.inspect(spec.image) is not None
    building_engine.sweep(OWNER, set(), claiming(True))
    assert building_engine.inspect(spec.image) is None
    building_engine.build(spec, say_nothing)
    building_engine.forget(spec.image)
    assert building_engine.inspect(spec.image) is None
    building_engine.forget(spec.image)


class claiming:
    """A claim that is always granted, or never."""

    def __init__(self, is_held: bool) -> None:
        self.is_held = is_held

    def __call__(self, key: str) -> "claiming":
        return self

    def __enter__(self) -> bool:
        return self.is_held

    def __exit__(self, *fault: object) -> None:
        return None


@pytest.mark.parametrize(
    ("step", "limit"),
    [("RUN exit 7", ""), ("RUN sleep 60", "time"), ("COPY absent /", "")],
)
def test_a_submissions_build_that_fails_is_an_outcome(
    building_engine: Engine, tmp_path: Path, step: str, limit: str
) -> None:
    spec = build_spec(tmp_path / "p", "", f"{DOCKERFILE}{step}\n", BUILD_LIMITS)
    outcome = building_engine.build(spec, say_nothing)
    assert (outcome.image, outcome.limit, bool(outcome.error)) == ("", limit, not limit)
    assert building_engine.inspect(spec.image) is None


def test_the_build_of_a_program_of_the_bundle_that_fails_is_an_error(
    building_engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(ProgramError) as fault:
        building_engine.build(build_spec(tmp_path / "p", "", f"{DOCKERFILE}COPY absent /\n"), say_nothing)
    assert fault.value.code == "image-not-built"


def test_volumes_are_reported(building_engine: Engine, tmp_path: Path) -> None:
    spec = build_spec(tmp_path / "p", "", f"{DOCKERFILE}VOLUME /scratch\n", BUILD_LIMITS)
    try:
        assert building_engine.build(spec, say_nothing).has_volumes
    finally:
        building_engine.forget(spec.image)


def test_an_engine_that_works_says_so(any_engine: Engine, tmp_path: Path) -> None:
    assert any_engine.works()
    assert any_engine.has_room(tmp_path)
    assert any_engine.capacity.cpus >= 1
    assert any_engine.description
    assert any_engine.inspect("no-such-image:1") is None


def test_plain_processes_need_no_images(tmp_path: Path) -> None:
    engine = LocalEngine()
    assert engine.build(build_spec(tmp_path / "p", ""), say_nothing) == BuildOutcome()
    engine.forget("bundle-probe:1")
    engine.forget_older("bundle-probe:1")
    engine.sweep(OWNER, set(), claiming(True))


@pytest.fixture(params=["docker"])
def isolated_engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that may run a participant's code."""
    found: Engine = request.getfixturevalue("engine")
    assert found.is_isolated
    return found


def test_an_isolated_run_reaches_nothing(isolated_engine: Engine, tmp_path: Path) -> None:
    outcome, lines = run_in(
        isolated_engine,
        tmp_path,
        "print(os.getuid() != 0, sorted(os.listdir('/sys/class/net')))\n"
        "for place in ('/', IN, '/opt'):\n"
        "    try: open(place + '/x', 'w').close(); print('written', place)\n"
        "    except OSError: pass\n"
        "print(open('/proc/self/status').read().split('CapEff:')[1].split()[0])\n",
    )
    assert outcome.exit_status == 0
    assert lines == ["True ['lo']", "0000000000000000"]
