"""Strangers' submissions for real: built, run, scored, probed, verified; the engine may go away meanwhile."""

import csv
import io
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.endurance import DOCKERFILE, FAULTY_CODE, write_zip
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.engines.docker.cleanup import BUILD_LABEL
from challenge_bundle.engines.docker.container import KEY_LABEL, OWNER_LABEL
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.errors import UnavailableError
from challenge_bundle.evaluation.admission import take_all
from challenge_bundle.evaluation.context import Context, open_evaluation, read_context, submission_lock
from challenge_bundle.evaluation.decisions import reopen
from challenge_bundle.evaluation.evaluator import evaluate
from challenge_bundle.evaluation.feedback import feedback_text
from challenge_bundle.evaluation.intake import find_zips
from challenge_bundle.evaluation.invariance import probe_all
from challenge_bundle.evaluation.receipts import check_scores, check_stored, receipt_path
from challenge_bundle.evaluation.records import REFUSED, SET_ASIDE, WAITING, Records, Row
from challenge_bundle.evaluation.rescore import rescore
from challenge_bundle.evaluation.step_cache import StepRecord
from challenge_bundle.evaluation.step_sequence import run_one_step
from challenge_bundle.evaluation.steps import infer
from challenge_bundle.evaluation.stored_scores import scoring_dir
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.findings import Finding
from challenge_bundle.formats.receipt import differing, read_receipt
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import SCORING, build_image
from challenge_bundle.settings import read_manifest
from challenge_bundle.sources.synthetic import SyntheticSource

MANIFEST = """\
[bundle]
name = "tiny"

[inference]
time_s = 6
memory_mb = 256
cpus = 1
pids = 32
output_mb = 8

[evaluation]
build_time_s = 15
build_memory_mb = 256
image_mb = 200
attempts = 2
"""

HONEST = """\
import csv, hashlib, os
rows = []
for name in sorted(os.listdir("/mnt/in")):
    data = open("/mnt/in/" + name, "rb").read()
    rows.append((name, CLASSES[ANSWER]))
with open("/mnt/out/classification_results.csv", "w", newline="") as out:
    csv.writer(out).writerows([("file", "class"), *rows])
"""


def say_nothing(*what: object) -> None:
    """A callback for tests that do not look at it."""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A bundle with four drawn images of each class in each split."""
    root = tmp_path / "bundle"
    root.mkdir()
    (root / "bundle.toml").write_text(MANIFEST)
    layout = Layout(root)
    import_images(SyntheticSource(), ImportRequest(sample_size=4), layout, say_nothing)
    return read_context(read_manifest(layout.manifest), layout)


@pytest.fixture
def records(context: Context) -> Iterator[Records]:
    with open_evaluation(context.bundle, context.layout, None) as (_, found):
        yield found


@pytest.fixture
def zips(tmp_path: Path) -> Path:
    (tmp_path / "zips").mkdir()
    return tmp_path / "zips"


def connect() -> DockerEngine:
    wheelhouse = os.environ.get("BUNDLE_WHEELHOUSE")
    return DockerEngine.connect("none", Path(wheelhouse) if wheelhouse else None)


def right_rows(context: Context) -> list[tuple[str, str]]:
    return sorted(context.reference.label_of.items())


def program(context: Context, answer: str) -> str:
    """A program that answers for each image by an expression of its `data`, its `name` and all `rows`."""
    classes = f"CLASSES = {list(context.class_names)!r}\n"
    return classes + HONEST.replace("ANSWER", f"({answer}) % {len(context.class_names)}")


def put(zips: Path, name: str, code: str, dockerfile: str = DOCKERFILE) -> None:
    with zipfile.ZipFile(zips / f"{name}.zip", "w") as archive:
        archive.writestr("Dockerfile", dockerfile)
        archive.writestr("bundle_inference/infer.py", code)


def run(context: Context, records: Records, zips: Path) -> dict[str, Row]:
    """Evaluate all; gives the rows by team."""
    take_all(find_zips((zips,)), context, records)
    evaluate(context, records, connect, 2, say_nothing)
    return {row.submission.team: row for row in records.rows()}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_again_and_again_the_board_is_that_of_an_undisturbed_run(engine: DockerEngine) -> None:
    command = [sys.executable, PROJECT_ROOT / "benchmarks" / "endurance.py", "--submissions", "26"]
    command += ["--kills", "3", "--size", "6"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROJECT_ROOT)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("good ") == 6


def test_faults_are_told_by_their_kind_and_carry_nothing(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    for number, kind in enumerate([*FAULTY_CODE, "half csv", "unknown class", "build fails", "good"]):
        write_zip(zips / f"{kind}__m.zip", kind, right_rows(context), number)
    rows = run(context, records, zips)
    codes = {team: row.verdict.code for team, row in rows.items() if row.verdict}
    assert codes == {
        "crash": "failed",
        "silent": "no-results",
        "endless": "time",
        "hog": "memory",
        "forks": "time",
        "link": "not-a-file",
        "leak": "failed",
        "half csv": "csv-missing-image",
        "unknown class": "csv-unknown-class",
        "build fails": "build-failed",
        "good": SCORED,
    }
    for row in rows.values():
        text = feedback_text(row)
        for name, class_name in context.reference.label_of.items():
            assert name not in text
            assert name.rpartition(".")[0] not in text
            assert class_name not in text
    assert "no image is good enough" in feedback_text(rows["crash"])
    assert records.scores("all").keys() == {rows["good"].submission.sha256}


RAW = """\
import os
names = sorted(os.listdir("/mnt/in"))
rows = [name.encode() + b"," + CLASSES[0].encode() for name in names]
rows[1] = b'FOLDER/' + rows[1]
with open("/mnt/out/classification_results.csv", "wb") as out:
    out.write(b"file,class\\n" + b"\\n".join(rows) + b"\\n")
"""

ODD_CSVS = {
    # What stands before the second image's name, and the scoring program's verdict. Each base name is valid,
    # so that only a strict reader refuses.
    "return": ('b"a\\rb"', "csv-invalid-line"),
    "long": ('b"a" * 70_000', "csv-line-too-long"),
    "doubled": ("b'a\"' * 20_000", "csv-invalid-line"),
    "newline": ('b"a\\nb"', "csv-cells"),
    "nul": ('b"a\\0"', "csv-invalid-line"),
    "wide": ('b"a" * 60_000', SCORED),
}


def test_odd_csvs_and_slow_code_end_and_hold_up_nobody(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    for team, (folder, _) in ODD_CSVS.items():
        code = f"CLASSES = {list(context.class_names)!r}\n{RAW}".replace("b'FOLDER/'", f"{folder} + b'/'")
        put(zips, f"{team}__m", code)
    # Half a megabyte, of which Python's parser makes minutes.
    put(zips, "slow__m", "x = f'" + "{1}" * 180_000 + "'\n")
    rows = run(context, records, zips)
    codes = {team: row.verdict.code for team, row in rows.items() if row.verdict}
    assert codes == {team: code for team, (_, code) in ODD_CSVS.items()} | {"slow": "zip"}
    assert rows["doubled"].verdict is not None
    assert dict(rows["doubled"].verdict.numbers) == {"line": 3}
    assert "takes more than 10 s to read" in feedback_text(rows["slow"])


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("RUN sleep 60", "build-time"),
        ("RUN head -c 80m /dev/urandom > /opt/weights", "build-size"),
        ("RUN python3 -c \"import socket; socket.create_connection(('1.1.1.1', 53), 3)\"", "build-failed"),
        # 512 processes are too few for it; without a limit it would end well.
        ("RUN for n in $(seq 700); do sleep 4 & done; wait", "build-failed"),
        ('RUN python3 -c "print(len(bytearray(600 << 20)))"', "build-failed"),
        ("VOLUME /scratch", "volume"),
        ("RUN false # no space left on device", "build-failed"),
        ("RUN --mount=type=bind,from=other,target=/x true", "base-image"),
    ],
)
def test_a_build_has_limits(
    engine: DockerEngine, context: Context, records: Records, zips: Path, step: str, code: str
) -> None:
    put(zips, "A__m", "pass", DOCKERFILE.replace("USER", f"{step}\nUSER"))
    row = run(context, records, zips)["A"]
    assert row.verdict is not None
    assert row.verdict.code == code


def test_a_build_that_is_cut_off_ends_at_the_engine(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    before = {container.id for container in engine.client.containers.list()}
    put(zips, "A__m", "pass", DOCKERFILE.replace("USER", "RUN sleep 300\nUSER"))
    assert run(context, records, zips)["A"].state == REFUSED
    deadline = time.monotonic() + 30
    while {container.id for container in engine.client.containers.list()} - before:
        assert time.monotonic() < deadline, "the build's container runs on"
        time.sleep(0.2)


def test_no_image_of_this_tool_is_built_on(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    write_zip(zips / "A__m.zip", "good", right_rows(context), 0)
    built = engine.client.images.build(
        fileobj=io.BytesIO(b"FROM python:3.11-slim\nRUN true\n"),
        rm=True,
        tag="tiny-rival:latest",
        labels={"challenge-bundle.owner": "x"},
    )[0]
    try:
        put(zips, "B__m", "pass", DOCKERFILE.replace("USER", "COPY --from=tiny-rival /etc /opt/x\nUSER"))
        rows = run(context, records, zips)
    finally:
        engine.client.images.remove("tiny-rival:latest", force=True)
    assert built is not None
    assert rows["A"].state == SCORED
    assert rows["B"].verdict is not None
    assert rows["B"].verdict.code == "base-image"


def test_what_hangs_on_circumstances_is_found(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    answers = {
        "honest": "sum(data)",
        "names": "int(hashlib.sha256(name.encode()).hexdigest(), 16)",
        "order": "len(rows)",
        "batch": "sum(data) + len(os.listdir('/mnt/in'))",
        "chance": "os.urandom(1)[0]",
    }
    for team, answer in answers.items():
        put(zips, f"{team}__m", program(context, answer))
    rows = run(context, records, zips)
    assert {row.state for row in rows.values()} == {SCORED}
    with closing(connect()) as runner:
        probe_all(context, records, runner, say_nothing)
    found = {
        row.submission.team: {line.partition(":")[0] for line in row.probe or ()} for row in records.rows()
    }
    # The drawn images are png files without metadata; stripping changes their bytes not at all.
    assert found["honest"] == set()
    assert {"renamed", "reordered"} <= found["names"]
    assert "again" not in found["names"]
    assert "alone" in found["batch"]
    assert "reordered" in found["order"]
    assert "again" in found["chance"]


def test_predictions_alone_are_scored_in_the_same_sandbox(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    """One scoring container for each; what it kept for the organiser is there for every split."""
    text = context.layout.manifest.read_text() + '\n[submission]\nkinds = ["code", "predictions"]\n'
    context.layout.manifest.write_text(text.replace("[evaluation]", "[evaluation]\npublic_share = 0.5"))
    context = read_context(read_manifest(context.layout.manifest), context.layout)
    rows = "".join(f"{name},{label}\n" for name, label in right_rows(context))
    (zips / "A__m.csv").write_text(f"file,class\n{rows}")
    (zips / "B__m.csv").write_text("file,class\n../ref/testing_solution.csv,x\n")
    found = run(context, records, zips)
    assert found["A"].state == SCORED
    assert found["B"].verdict is not None
    assert found["B"].verdict.code == "csv-unknown-image"
    for split in ("public", "final"):
        folder = scoring_dir(context, records, found["A"], split)
        assert {path.name for path in folder.iterdir()} == {
            "cases.csv",
            "detailed_results.html",
            "resamples.npz",
            "scores.json",
            "scores.txt",
        }
    receipt = read_receipt(receipt_path(context.layout, found["A"].submission.sha256))
    with closing(connect()) as runner:
        assert differing(check_all(context, records, runner, receipt)) == []


def test_rescoring_and_receipts(engine: DockerEngine, context: Context, records: Records, zips: Path) -> None:
    right = right_rows(context)
    classes = list(context.class_names)
    write_zip(zips / "A__m.zip", "good", right, 0)
    write_zip(zips / "B__m.zip", "good", [(right[0][0], other(classes, right[0][1])), *right[1:]], 1)
    rows = run(context, records, zips)
    receipt = read_receipt(receipt_path(context.layout, rows["A"].submission.sha256))
    with closing(connect()) as runner:
        assert differing(check_all(context, records, runner, receipt)) == []
        assert rescore(context, records, runner, say_nothing).moves == []
        # The organiser finds that B was right all along.
        reference = context.layout.solution_csv("testing")
        rewrite(reference, right[0][0], other(classes, right[0][1]))
        changed = read_context(context.bundle, context.layout)
        moves = rescore(changed, records, runner, say_nothing).moves
        assert [(move.row.submission.team, move.rank_before, move.rank_after) for move in moves] == [
            ("B", 2, 1),
            ("A", 1, 2),
        ]
        assert moves[0].after == 1.0
        found = {finding.location for finding in differing(check_all(changed, records, runner, receipt))}
        assert {"digests, reference", "scores, all, accuracy", "scored again, all: accuracy"} <= found
        assert "digests, image" not in found
        renewed = read_receipt(receipt_path(context.layout, rows["A"].submission.sha256))
        assert differing(check_all(changed, records, runner, renewed)) == []
        forged = renewed | {"submission": renewed["submission"] | {"team": "C"}}
        assert [finding.location for finding in differing(check_all(changed, records, runner, forged))] == [
            "signature",
            "submission, team",
        ]


def check_all(
    context: Context, records: Records, runner: DockerEngine, receipt: dict[str, Any]
) -> list[Finding]:
    return check_stored(context, records, receipt) + check_scores(context, runner, records, receipt)


def other(classes: list[str], class_name: str) -> str:
    return classes[(classes.index(class_name) + 1) % len(classes)]


def rewrite(path: Path, image: str, class_name: str) -> None:
    with path.open(newline="") as opened:
        rows = list(csv.reader(opened))
    with path.open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(
            (file, class_name if file.endswith(image) else old) for file, old in rows
        )


class Gate:
    """A socket before the engine's that can be closed and opened: an engine that dies and comes back."""

    def __init__(self, path: Path, target: str) -> None:
        self.path, self.target = path, target
        self.pairs: list[socket.socket] = []
        self.server: socket.socket | None = None

    def open(self) -> None:
        self.path.unlink(missing_ok=True)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen()
        threading.Thread(target=self._serve, args=(self.server,), daemon=True).start()

    def close(self) -> None:
        assert self.server is not None
        self.path.unlink(missing_ok=True)
        for end in (self.server, *self.pairs):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.pairs.clear()

    def _serve(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self.target)
                self.pairs += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def gate(engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    # A socket's path may have 107 characters.
    folder = Path("/tmp") / f"gate-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    made = Gate(folder / "s", "/var/run/docker.sock")
    made.open()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{made.path}")
    yield made
    made.close()
    shutil.rmtree(folder)


# Connections that break are dropped unclosed by the docker package.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_comes_back_is_waited_for(
    engine: DockerEngine, gate: Gate, context: Context, records: Records, zips: Path
) -> None:
    put(zips, "A__m", "import time; time.sleep(3)\n" + program(context, "sum(data)"))
    take_all(find_zips((zips,)), context, records)
    states: list[str] = []
    closing_time = threading.Timer(2.0, gate.close)
    opening_time = threading.Timer(2.5, gate.open)

    def show(sha256: str, who: str, state: str, note: str, has_ended: bool) -> None:
        if note == "inference" and WAITING not in states:
            closing_time.start()
            opening_time.start()
        states.append(state)

    evaluate(context, records, connect, 1, show)
    (row,) = records.rows()
    assert row.state == SCORED
    assert WAITING in states
    assert row.attempts == 1
    assert not engine.client.containers.list(all=True, filters={"label": f"{OWNER_LABEL}={context.owner}"})


# Connections that break are dropped unclosed by the docker package.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_stays_away_costs_no_submission(
    gate: Gate, context: Context, records: Records, zips: Path
) -> None:
    for team in "ABC":
        put(zips, f"{team}__m", program(context, f"sum(data) + {ord(team)}"))
    take_all(find_zips((zips,)), context, records)

    def show(sha256: str, who: str, state: str, note: str, has_ended: bool) -> None:
        if note == "inference":
            with suppress(OSError):
                gate.close()

    waiting = evaluate(context, records, connect, 1, show)
    assert len(waiting) == 3
    assert {row.state for row in records.rows()} <= {WAITING, "queued", "running"}
    with pytest.raises(UnavailableError):
        evaluate(context, records, connect, 1, say_nothing)
    gate.open()
    assert evaluate(context, records, connect, 2, say_nothing) == {}
    assert {row.state for row in records.rows()} == {SCORED}


def test_a_fault_of_the_tool_ends_one_submission_alone(
    engine: DockerEngine,
    context: Context,
    records: Records,
    zips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for team in "AB":
        put(zips, f"{team}__m", program(context, f"sum(data) + {ord(team)}"))
    take_all(find_zips((zips,)), context, records)
    (first, _) = (row.submission.sha256 for row in records.rows())

    def spoiled(context: Context, runner: DockerEngine, sha256: str, built: StepRecord) -> StepRecord:
        if sha256 == first:
            raise ZeroDivisionError("never thought of")
        return infer(context, runner, sha256, built)

    with monkeypatch.context() as fault:
        fault.setattr("challenge_bundle.evaluation.step_sequence.infer", spoiled)
        fault.setattr("challenge_bundle.evaluation.attempts.BACKOFF_S", (0.1,))
        assert evaluate(context, records, connect, 2, say_nothing) == {}
    states = {row.submission.sha256: (row.state, row.cause) for row in records.rows()}
    assert [state for state, _ in states.values()].count(SCORED) == 1, states
    state, cause = states[first]
    assert state == SET_ASIDE
    assert "never thought of" in Path(cause.rpartition(": ")[2]).read_text()
    reopen(context, records, first)
    assert evaluate(context, records, connect, 2, say_nothing) == {}
    assert {row.state for row in records.rows()} == {SCORED}


def images(engine: DockerEngine, context: Context) -> set[str]:
    """The images of this bundle: others may use the engine at the same time."""
    found = engine.client.api.images(all=True, filters={"label": f"{OWNER_LABEL}={context.owner}"})
    return {image["Id"] for image in found}


@pytest.mark.timeout(300)
def test_equal_submissions_break_no_build_of_one_another(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    """The same files under other methods, built, run and removed at once."""
    step = "RUN head -c 1m /dev/zero > /opt/zeros && true"
    for number in range(8):
        put(
            zips,
            f"T{number % 3}__m{number}",
            program(context, "sum(data)"),
            DOCKERFILE.replace("USER", f"{step}\nUSER"),
        )
        with zipfile.ZipFile(zips / f"T{number % 3}__m{number}.zip", "a") as archive:
            archive.writestr("submission.toml", f'method = "m{number}"\n')
    take_all(find_zips((zips,)), context, records)
    before = images(engine, context)
    assert evaluate(context, records, connect, 4, say_nothing) == {}
    rows = records.rows()
    assert [(row.state, row.attempts) for row in rows] == [(SCORED, 0)] * 8
    assert len({row.results_sha256 for row in rows}) == 1
    # The scoring program's own image is there from now on.
    assert {tag for image in images(engine, context) - before for tag in tags(engine, image)} <= {
        scoring_tag(context)
    }


def tags(engine: DockerEngine, image: str) -> list[str]:
    return engine.client.images.get(image).tags or [image]


def scoring_tag(context: Context) -> str:
    with closing(connect()) as runner:
        return build_image(runner, SCORING, context.bundle, context.layout, say_nothing)


@pytest.mark.timeout(300)
def test_poisoned_submissions_stop_no_other(
    engine: DockerEngine,
    context: Context,
    records: Records,
    zips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("challenge_bundle.evaluation.attempts.BACKOFF_S", (0.1,))
    good = program(context, "sum(data)")
    for team in "ABCDE":
        put(zips, f"{team}__m", good + f"# {team}\n")
    put(zips, "unknown__m", good + "# u\n", DOCKERFILE + "FLY away\n")
    write = 'open("/mnt/out/classification_results.csv", "w", newline="").write('
    put(zips, "long row__m", write + '"file,class\\n" + "x" * (1 << 17) + ",a\\n")')
    put(zips, "return__m", write + '"file,class\\n\\"a\\rb.png\\",x\\n")')
    put(zips, "no text__m", write.replace('"w", newline=""', '"wb"') + 'b"file,class\\n\\xff\\x00,a\\n")')
    for name in ("wheelhouse", "bundle_inference/wheelhouse"):
        team = name.replace("/", " ")
        put(zips, f"{team}__m", good + f"# {team}\n")
        with zipfile.ZipFile(zips / f"{team}__m.zip", "a") as archive:
            archive.writestr(name, "not a folder")
            archive.writestr(f"{name.rpartition('/')[0]}/requirements.txt".lstrip("/"), "numpy\n")
    before = images(engine, context)
    rows = run(context, records, zips)
    states = {team: row.state for team, row in rows.items()}
    assert {team for team, state in states.items() if state == SCORED} >= set("ABCDE")
    for team in ("unknown", "long row", "return", "no text"):
        assert states[team] == REFUSED, rows[team]
    assert {states["wheelhouse"], states["bundle_inference wheelhouse"]} <= {SCORED, REFUSED}
    assert {tag for image in images(engine, context) - before for tag in tags(engine, image)} <= {
        scoring_tag(context)
    }
    assert evaluate(context, records, connect, 2, say_nothing) == {}


def test_a_probe_that_a_program_escapes_is_its_finding(
    engine: DockerEngine,
    context: Context,
    records: Records,
    zips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = sorted(context.image_names)
    escape = f"import os\nif sorted(os.listdir('/mnt/in')) != {names!r}: os.kill(os.getpid(), 9)\n"
    put(zips, "A__m", escape + program(context, "sum(data)"))
    assert run(context, records, zips)["A"].state == SCORED
    with closing(connect()) as runner:
        probe_all(context, records, runner, say_nothing)
    (row,) = records.rows()
    assert [line.partition(";")[0] for line in row.probe or ()] == [
        "renamed: the run failed (exit status 137)",
        "alone: the run failed (exit status 137)",
    ]


def test_what_a_killed_build_left_is_removed_by_the_next_run(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    before = images(engine, context)
    labels = {OWNER_LABEL: context.owner, KEY_LABEL: "0" * 64, BUILD_LABEL: "left"}
    text = "FROM python:3.11-slim\nLABEL " + " ".join(f"{name}={value}" for name, value in labels.items())
    engine.client.images.build(fileobj=io.BytesIO(f"{text}\nRUN true\n".encode()), rm=True)
    assert len(images(engine, context) - before) == 2
    with submission_lock(context, "0" * 64):
        # It is being built by a `step` of another process.
        evaluate(context, records, connect, 1, say_nothing)
        assert len(images(engine, context) - before) == 2
    evaluate(context, records, connect, 1, say_nothing)
    assert images(engine, context) == before


def test_a_program_that_kills_itself_is_refused_after_all(
    engine: DockerEngine,
    context: Context,
    records: Records,
    zips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same is seen of an engine that is being stopped, so it is tried again first."""
    monkeypatch.setattr("challenge_bundle.evaluation.attempts.BACKOFF_S", (0.1,))
    put(zips, "A__m", "import os; os.kill(os.getpid(), 9)")
    row = run(context, records, zips)["A"]
    assert row.attempts == 2
    assert row.verdict is not None
    assert row.verdict.code == "failed"
    assert row.verdict.numbers == {"status": 137}


def test_steps_can_be_called_one_by_one(
    engine: DockerEngine, context: Context, records: Records, zips: Path
) -> None:
    put(zips, "A__m", program(context, "sum(data)"))
    (arrival,) = take_all(find_zips((zips,)), context, records)
    for name in ("build", "inference", "scoring"):
        with closing(connect()) as runner:
            record = run_one_step(context, runner, arrival.submission.sha256, name)
        assert record.verdict is None
    assert "all/scores.json" in record.files
    steps = sorted((context.layout.evaluation / "steps").glob("*/*/record.json"))
    times = [path.stat().st_mtime_ns for path in steps]
    assert run(context, records, zips)["A"].state == SCORED
    assert [path.stat().st_mtime_ns for path in steps] == times


def test_a_full_disk_is_not_the_submissions_fault(
    engine: DockerEngine,
    context: Context,
    records: Records,
    zips: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(zips, "A__m", program(context, "sum(data)"))
    take_all(find_zips((zips,)), context, records)
    with monkeypatch.context() as full:
        full.setattr("challenge_bundle.engines.docker.engine.RESERVE_BYTES", 1 << 60)
        full.setattr("challenge_bundle.evaluation.attempts.BACKOFF_S", (0.1,))
        put(zips, "A__m", "import time; time.sleep(2)\n" + program(context, "sum(data)"))
        take_all(find_zips((zips,)), context, records)
        waiting = evaluate(context, records, connect, 1, say_nothing)
    assert any("disk is short of room" in reason for reason in waiting.values())
    assert evaluate(context, records, connect, 2, say_nothing) == {}
    assert {row.state for row in records.rows()} == {SCORED}
