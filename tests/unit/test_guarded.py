"""A guarded function answers in JSON, and nothing that it does reaches this process."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

import challenge_bundle.guarded
from challenge_bundle.errors import SubmissionError
from challenge_bundle.findings import Finding
from challenge_bundle.guarded import Exceeded, ReadLimits, find_guarded, listed, run_guarded
from challenge_bundle.installation import PROJECT_ROOT

PACKAGE = PROJECT_ROOT / "tools" / "challenge_bundle"

SMALL = ReadLimits(cpu_s=1, wall_s=30, memory_mb=128, answer_bytes=1000)

CODE = '''
"""Functions that a guarded process calls in the tests."""
import ctypes, errno, json, os, signal, sys, time, zlib
from pathlib import Path
from challenge_bundle.errors import DataError, SubmissionError, UnavailableError
from challenge_bundle.guarded import At


def echo(**values):
    yield values
    yield None


def describe():
    yield sorted(os.environ)
    yield os.getsid(0) == os.getpid()
    yield sys.stdin.read() if not sys.stdin.closed else ""
    print("noise", flush=True)
    yield sorted(name for name in sys.modules if "." not in name)
    import resource
    names = ("CPU", "CORE", "NOFILE", "FSIZE", "AS")
    yield {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0] for name in names}


def busy():
    yield "before"
    yield At("model.json")
    while True:
        pass


def in_c():
    yield At("a.py")
    "f" in compile("f'" + "{1}" * 300_000 + "'", "", "eval").co_code


def asleep():
    time.sleep(1000)
    yield


def greedy():
    yield At("big.py")
    yield len(bytes(400 << 20))


def deep():
    yield At("deep.json")
    yield json.loads("[" * 100_000)


def crashes():
    yield "before"
    yield At("x.onnx")
    os.kill(os.getpid(), signal.SIGSEGV)
    yield


def talks():
    yield "x" * 2000


def many():
    for number in range(10_000):
        yield number


def faulty():
    yield {}["missing"]


def refuses(row, path="/x/y.csv"):
    yield "before"
    raise DataError("is wrong", path and Path(path), row, code="wrong", hint="")


def unavailable():
    raise UnavailableError("no such thing here", code="absent")
    yield


def no_room():
    raise OSError(errno.ENOSPC, "No space left on device")
    yield


def no_file():
    open("/nonexistent/x")
    yield


def writes(folder, mb):
    with open(f"{folder}/out", "wb") as out:
        out.write(bytes(mb << 20))
    yield "written"


def lies(text):
    os.write(3, text.encode())
    os._exit(0)
    yield


def finds(more):
    yield ["a-code", "warning", "a.txt", "is \\x1b[2J", "fix it", None]
    yield At("b.txt")
    yield from more
    if not more:
        raise RecursionError


def lingers(folder):
    Path(folder, "pid").write_text(str(os.getpid()))
    time.sleep(1000)
    yield


def ignores_alarm(folder):
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    Path(folder, "pid").write_text(str(os.getpid()))
    time.sleep(1000)
    yield
'''


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second copy of the package that has the functions of these tests."""
    root = tmp_path_factory.mktemp("root")
    package = root / "challenge_bundle"
    package.mkdir()
    for name in ("__init__", "errors", "files", "findings", "guarded"):
        (package / f"{name}.py").write_text((PACKAGE / f"{name}.py").read_text())
    (package / "given.py").write_text(CODE)
    return root


@pytest.fixture(autouse=True)
def _use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge_bundle.guarded, "_ROOT", root)


def call(name: str, limits: ReadLimits = SMALL, **arguments: Any) -> list[Any]:
    return run_guarded(f"challenge_bundle.given:{name}", arguments, limits)


def exceeded(name: str, limits: ReadLimits = SMALL, **arguments: Any) -> Exceeded:
    with pytest.raises(Exceeded) as fault:
        call(name, limits, **arguments)
    return fault.value


def test_values_come_and_go() -> None:
    values = {"text": "é\n\u2028", "number": 0.1, "list": [1, None, True], "long": "x" * 300_000}
    assert call("echo", ReadLimits(), **values) == [values, None]


def test_the_process_has_nothing_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    limits = ReadLimits(cpu_s=3, memory_mb=200, file_mb=7, answer_bytes=1 << 20)
    environment, leads, read, modules, set_limits = call("describe", limits)
    assert set(environment) <= {"LD_LIBRARY_PATH", "LC_CTYPE"}
    assert leads is True
    assert read == ""
    assert not {"numpy", "click", "docker", "sqlalchemy", "PIL"} & set(modules)
    assert set_limits == {"CPU": 3, "CORE": 0, "NOFILE": 64, "FSIZE": 7 << 20, "AS": 200 << 20}


@pytest.mark.parametrize(
    ("name", "code", "words", "place", "items"),
    [
        ("busy", "read-time", "takes more than 1 s to read", "model.json", ("before",)),
        ("in_c", "read-time", "takes more than 1 s to read", "a.py", ()),
        ("greedy", "read-memory", "takes more than 128 MB of memory to read", "big.py", ()),
        ("deep", "read-depth", "is nested too deeply to be read", "deep.json", ()),
        ("crashes", "read-crash", "ends the process that reads it", "x.onnx", ("before",)),
        ("talks", "read-answer", "makes the reader give an invalid answer", "", ()),
        ("many", "read-answer", "makes the reader give an invalid answer", "", ()),
        ("faulty", "read-fault", "cannot be read (KeyError in given.py:", "", ()),
        ("no_file", "read-fault", "cannot be read (FileNotFoundError in given.py:", "", ()),
    ],
)
def test_what_exceeds_a_limit_has_a_reason(
    name: str, code: str, words: str, place: str, items: tuple[Any, ...]
) -> None:
    fault = exceeded(name)
    assert (fault.code, fault.finding.location, fault.items) == (code, place, items)
    assert fault.finding.hint == "make it smaller or simpler"
    assert fault.finding.message.startswith(words)


def test_wall_time_counts_too() -> None:
    assert exceeded("asleep", ReadLimits(cpu_s=1, wall_s=0.5)).code == "read-time"


def test_the_limits_that_hold_where_none_are_given() -> None:
    defaults = ReadLimits()
    assert (defaults.cpu_s, defaults.wall_s, defaults.memory_mb, defaults.file_mb) == (10, 300.0, 512, 0)
    assert defaults.answer_bytes == 16_777_216
    assert call("describe", defaults)[-1]["AS"] == 512 << 20
    assert call("describe", defaults)[-1]["FSIZE"] == 16_777_217


def find(more: list[Any]) -> list[str]:
    return [
        str(finding)
        for finding in find_guarded("challenge_bundle.given:finds", {"more": more}, "the zip", SMALL)
    ]


def test_findings_and_what_exceeded_a_limit() -> None:
    first = "warning: a.txt: is ?[2J; fix it"
    deep = "error: b.txt: is nested too deeply to be read; make it smaller or simpler"
    broken = "error: the zip: makes the reader give an invalid answer; make it smaller or simpler"
    assert find([["e", "error", "b", "c", "d", 7]]) == [first, "error: b:7: c; d"]
    assert find([]) == [first, deep]
    for item in ("abcde", ["a"] * 5, ["a"] * 7, 3, None, {"a": 1}):
        assert find([item]) == [first, broken]
    no_place = find_guarded("challenge_bundle.given:talks", {}, "the zip", SMALL)
    assert [str(finding) for finding in no_place] == [broken]


def test_a_finding_comes_through_as_it_is() -> None:
    finding = Finding("base-image", "error", "x.py", "is wrong", "fix it", 3)
    assert Finding(*listed(finding)) == finding


def test_one_that_keeps_its_alarm_from_ending_it_is_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(challenge_bundle.guarded, "_GRACE_S", 0.2)
    assert exceeded("ignores_alarm", ReadLimits(wall_s=1.0), folder=str(tmp_path)).code == "read-time"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    "text",
    [
        "no json\n",
        "[]\n",
        "3\n",
        '["data", 3]\n',
        '["data", [1, 2, "x"]]\n',
        '["os", ["x", ""]]\n',
        '["item"]\n',
        "[" * 100_000 + "\n",
        "\xff\n",
    ],
)
def test_a_process_that_was_taken_over_gives_one_finding(text: str) -> None:
    assert exceeded("lies", ReadLimits(), text=text).code == "read-answer"


def test_an_answer_without_its_end_is_no_answer() -> None:
    assert exceeded("lies", text='["item", 1]\n["do').items == (1,)
    assert exceeded("lies", text='["item", 1]\n["do').code == "read-crash"
    assert exceeded("lies", text='["item", 1]\n').code == "read-crash"
    long = exceeded("lies", ReadLimits(), text=f'["fault", "{"x" * 5000}"]\n')
    assert long.finding.message == f"cannot be read ({'x' * 4096})"
    assert exceeded("lies", text='["fault", "\\u001b[2J"]\n').finding.message == "cannot be read (?[2J)"


@pytest.mark.parametrize("row", [None, 7])
def test_a_data_error_comes_back_as_the_submissions(row: int | None) -> None:
    with pytest.raises(SubmissionError) as fault:
        call("refuses", row=row)
    assert not isinstance(fault.value, Exceeded)
    assert str(fault.value) == ("/x/y.csv: is wrong" if row is None else "/x/y.csv:7: is wrong")
    assert (str(fault.value.path), fault.value.row) == ("/x/y.csv", row)
    with pytest.raises(SubmissionError) as fault:
        call("refuses", row=row, path=None)
    assert (str(fault.value), fault.value.path, fault.value.row) == ("is wrong", None, row)
    with pytest.raises(SubmissionError) as fault:
        call("unavailable")
    assert (fault.value.code, fault.value.finding.message) == ("absent", "no such thing here")


def test_a_fault_of_this_machine_is_none_of_the_file() -> None:
    with pytest.raises(OSError, match="No space left") as fault:
        call("no_room")
    assert fault.value.errno == errno.ENOSPC


def test_it_cannot_write_more_than_it_may(tmp_path: Path) -> None:
    limits = ReadLimits(file_mb=2, answer_bytes=1000)
    assert call("writes", limits, folder=str(tmp_path), mb=2) == ["written"]
    assert exceeded("writes", limits, folder=str(tmp_path), mb=3).code == "read-fault"
    assert (tmp_path / "out").stat().st_size <= 2 << 20


def test_it_leaves_no_compiled_module(root: Path) -> None:
    """One that a limit cut off would end every later call."""
    assert call("echo", ReadLimits(answer_bytes=100)) == [{}, None]
    assert not (root / "challenge_bundle" / "__pycache__").exists()


def test_an_answer_up_to_its_limit() -> None:
    text = "x" * (3 << 20)
    size = len(json.dumps(["item", {"text": text}])) + len('\n["item", null]\n["done", null]\n')
    assert call("echo", ReadLimits(answer_bytes=size), text=text) == [{"text": text}, None]
    assert exceeded("echo", ReadLimits(answer_bytes=size - 1), text=text).code == "read-answer"


@pytest.mark.parametrize(
    "function",
    [
        "os:getcwd",
        "challenge_bundlex.given:echo",
        "challenge_bundle.given:_private",
        "challenge_bundle.given",
    ],
)
def test_only_functions_of_this_package_are_called(function: str) -> None:
    with pytest.raises(Exceeded) as fault:
        run_guarded(function, {}, SMALL)
    assert fault.value.code == "read-fault"
    assert "ValueError" in fault.value.finding.message


def test_it_dies_with_the_process_that_started_it(root: Path, tmp_path: Path) -> None:
    script = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(root)!r})
        from challenge_bundle.guarded import ReadLimits, run_guarded
        run_guarded("challenge_bundle.given:lingers", {{"folder": {str(tmp_path)!r}}}, ReadLimits(wall_s=250))
    """)
    process = subprocess.Popen([sys.executable, "-c", script])
    pid_file = tmp_path / "pid"
    while not pid_file.exists() or not pid_file.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    child = Path("/proc") / pid_file.read_text()
    for _ in range(200):
        if not child.exists() or "\nState:\tZ" in (child / "status").read_text():
            return
        time.sleep(0.05)
    raise AssertionError("the guarded process lives on")


def test_requests_are_json() -> None:
    with pytest.raises(TypeError):
        run_guarded("challenge_bundle.given:echo", {"path": Path("/x")})
    assert json.dumps(call("echo", a={"b": [1]})[0]) == '{"a": {"b": [1]}}'
