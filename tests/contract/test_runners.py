"""What every runner does alike: the same program, the same verdict, nothing left running."""

import os
import time
from pathlib import Path

import pytest

from challenge_bundle.engines.base import BuildSpec, Engine, Outcome, RunSpec
from challenge_bundle.engines.docker.container import OWNER_LABEL
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.errors import ProgramError
from challenge_bundle.runs.programs import SCORING, check_outcome
from challenge_bundle.settings import Limits

PRELUDE = """\
import os, signal, sys, time
OUT = sys.argv[2] if len(sys.argv) > 2 and os.path.isdir(sys.argv[2]) else '/mnt/out'
"""

LIMITS = Limits(time_s=20, memory_mb=512, cpus=1, pids=64, output_mb=8)


DOCKERFILE = """\
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
COPY program.py /opt/
ENTRYPOINT ["python3", "-B", "/opt/program.py"]
"""


@pytest.fixture(params=["local", "docker"])
def runner(request: pytest.FixtureRequest) -> Engine:
    return LocalEngine() if request.param == "local" else request.getfixturevalue("engine")


@pytest.fixture
def run_code(runner: Engine, tmp_path: Path):
    """Run a script as a program; gives the outcome and the lines that it printed."""

    def run(code: str, time_s: int = 20) -> tuple[Outcome, list[str]]:
        for name in ("program", "in", "out"):
            (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / "program" / "program.py").write_text(PRELUDE + code)
        (tmp_path / "program" / "Dockerfile").write_text(DOCKERFILE)
        lines: list[str] = []
        files = {name: tmp_path / "program" / name for name in ("Dockerfile", "program.py")}
        spec = BuildSpec("bundle-probe", "program", files, program="probe", owner="contract-suite")
        if runner.builds_images:
            runner.build(spec, lambda line: None)
        outcome = runner.run(
            RunSpec(
                name="probe",
                image=spec.image if runner.builds_images else "",
                script=tmp_path / "program" / "program.py",
                input_dir=tmp_path / "in",
                output_dir=tmp_path / "out",
                arguments=("--option", "value with blanks"),
                owner="contract-suite",
                limits=Limits(time_s, LIMITS.memory_mb, LIMITS.cpus, LIMITS.pids, LIMITS.output_mb),
            ),
            lines.append,
        )
        return outcome, lines

    return run


def test_lines_and_status(run_code) -> None:
    outcome, lines = run_code("print('one'); time.sleep(0.3); print('two', file=sys.stderr); sys.exit(3)")
    assert (outcome.exit_status, outcome.limit, outcome.last_line) == (3, "", "two")
    assert lines == ["one", "two"]
    with pytest.raises(ProgramError, match=r"scoring failed \(exit status 3\) and said: two"):
        check_outcome(SCORING, outcome, LIMITS)


def test_options_reach_the_program_and_output_the_folder(run_code, tmp_path: Path) -> None:
    outcome, lines = run_code("print(sys.argv[-2:]); open(OUT + '/written', 'w').close()")
    assert outcome.exit_status == 0
    assert lines == ["['--option', 'value with blanks']"]
    assert (tmp_path / "out" / "written").exists()


def test_a_signal_is_named(run_code) -> None:
    outcome, _ = run_code("print('before', flush=True); os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(ProgramError, match="scoring was ended by SIGSEGV and said: before"):
        check_outcome(SCORING, outcome, LIMITS)


def test_the_time_limit_holds_for_all_that_it_started(run_code, runner: Engine) -> None:
    # Beyond the test's own timeout: if the limit does not hold, that ends the test.
    outcome, lines = run_code(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(600)",
        time_s=2,
    )
    assert outcome.limit == "time"
    if isinstance(runner, DockerEngine):
        assert (
            runner.client.containers.list(all=True, filters={"label": f"{OWNER_LABEL}=contract-suite"}) == []
        )
    else:
        assert has_ended(int(lines[0]))
    with pytest.raises(ProgramError, match="scoring was ended at its time limit of 20 s"):
        check_outcome(SCORING, outcome, LIMITS)


def has_ended(pid: int) -> bool:
    """Wait a little for a process to be gone."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_control_characters_and_endless_lines(run_code) -> None:
    outcome, lines = run_code(
        "sys.stdout.write('\\x1b[2J' + 'a' * 5000 + '\\n'); sys.stdout.buffer.write(b'\\xff\\n')"
    )
    assert outcome.exit_status == 0
    assert not any("\x1b" in line for line in lines)
    assert max(map(len, lines)) <= 2000
    assert sum(line.count("a") for line in lines) == 5000


def test_the_environment_is_not_passed_on(run_code, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    _, lines = run_code("print('secret' in str(os.environ))")
    assert lines == ["False"]
