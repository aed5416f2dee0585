"""Predictions in the scoring step: what is refused and how, what is kept, and an organiser's own programs."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.engines.base import OnLine, Outcome, RunSpec
from challenge_bundle.errors import DataError, ProgramError
from challenge_bundle.evaluation import scoring
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.part_cutting import cut_predictions
from challenge_bundle.evaluation.scoring import score
from challenge_bundle.evaluation.step_cache import StepRecord
from challenge_bundle.evaluation.verdicts import Refusal
from challenge_bundle.files import write_csv
from challenge_bundle.formats.scores import default_metric, find_score, higher_is_better
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import RESULTS_NAME
from tests.conftest import write_image
from tests.csv_faults import CODES, FAULTS, REFERENCE, TOLERATED
from tests.evaluations import MANIFEST, reread, scoring_engine
from tests.fake_engine import FakeEngine

DOCKERFILE = """\
FROM python:3.11-slim
COPY score.py /opt/score.py
ENTRYPOINT ["python3", "/opt/score.py"]
"""

COST = """\
import csv, json, sys
from pathlib import Path
read = lambda folder: list(csv.reader(next(Path(sys.argv[1], folder).glob("*.csv")).open()))[1:]
truth = {row[0].rpartition("/")[2]: row[1] for row in read("ref")}
answers = {row[0].rpartition("/")[2]: row[1] for row in read("res")}
if answers.keys() != truth.keys():
    sys.exit("not the images")
cost = sum(answers[name] != truth[name] for name in truth) / len(truth)
document = {"cost": cost, "cases": len(truth), "higher_is_better": {"cost": False}}
Path(sys.argv[2], "scores.json").write_text(json.dumps(document))
"""
"""A scoring program of an organiser's own, which knows nothing but `score.py IN OUT`."""


@pytest.fixture
def small(context: Context) -> Context:
    """A bundle with the four images of tests/csv_faults.py."""
    for path in context.layout.testing_data.iterdir():
        path.unlink()
    for number, name in enumerate(REFERENCE):
        write_image(context.layout.testing_data / name, number)
    write_csv(context.layout.solution_csv("testing"), ("file", "class"), list(REFERENCE.items()))
    (context.layout.evaluation / "parts.json").unlink()
    return reread(context)


def put(folder: Path, content: bytes) -> Path:
    path = folder / RESULTS_NAME
    path.write_bytes(content)
    return path


def right(context: Context, folder: Path) -> Path:
    """Predictions that are all right."""
    rows = "".join(f"{name},{label}\n" for name, label in sorted(context.reference.label_of.items()))
    return put(folder, f"file,class\n{rows}".encode())


def use_program(context: Context, code: str, **files: str) -> Context:
    folder = context.layout.root / "scoring_program"
    folder.mkdir(exist_ok=True)
    for name, text in {"Dockerfile": DOCKERFILE, "score.py": code, **files}.items():
        (folder / name.replace("_toml", ".toml").replace("_json", ".json")).write_text(text)
    return reread(context)


class CountingEngine(FakeEngine):
    """Notes each run."""

    def __init__(self) -> None:
        super().__init__(scoring_engine().root)
        self.runs: list[RunSpec] = []

    def run(self, spec: RunSpec, on_line: OnLine) -> Outcome:
        self.runs.append(spec)
        return super().run(spec, on_line)


def content(record: StepRecord, part: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((record.folder / part / "scores.json").read_text())
    return document


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_a_csv_is_a_verdict_of_the_closed_list(
    name: str, small: Context, tmp_path: Path
) -> None:
    found, _, row = FAULTS[name]
    record = score(small, scoring_engine(), put(tmp_path, found))
    assert record.verdict is not None
    assert (record.verdict.code, record.verdict.finding.row) == (CODES[name], row)
    listed = json.loads((small.layout.program_dir("scoring_program") / "findings.json").read_text())
    # Nothing of the csv, the reference or the program's output is in it.
    assert record.verdict.message == listed[CODES[name]]["message"]
    assert record.verdict.hint == listed[CODES[name]]["hint"]
    assert (record.verdict.lines, record.files.keys()) == ((), {"scoring.log"})


@pytest.mark.parametrize("name", TOLERATED)
def test_what_is_valid_is_scored(name: str, small: Context, tmp_path: Path) -> None:
    record = score(small, scoring_engine(), put(tmp_path, TOLERATED[name]))
    assert record.verdict is None
    assert {part: content(record, part)["details"]["cases"] for part in small.test_splits} == {  # type: ignore[index]
        part: len(names) for part, names in small.test_splits.items()
    }


def test_one_run_scores_all_splits_and_its_private_files_are_kept(context: Context, tmp_path: Path) -> None:
    engine = CountingEngine()
    record = score(context, engine, right(context, tmp_path))
    assert [spec.name for spec in engine.runs] == ["scoring"]
    files = ("cases.csv", "detailed_results.html", "resamples.npz", "scores.json", "scores.txt")
    of_parts = {f"{part}/{name}" for part in ("public", "final") for name in files}
    assert record.files.keys() == of_parts | {"scoring.log"}
    for part, names in context.test_splits.items():
        rows = (record.folder / part / "cases.csv").read_text().splitlines()[1:]
        assert {row.split(",")[0] for row in rows} == names
    # The second time nothing is run.
    assert score(context, engine, right(context, tmp_path)) == record
    assert len(engine.runs) == 1
    assert list((context.layout.evaluation / "work").iterdir()) == []


def test_the_scores_depend_on_all_that_they_are_made_from(context: Context, tmp_path: Path) -> None:
    keys = {context.score_key("0" * 64), context.score_key("1" * 64)}
    manifest = context.layout.manifest
    manifest.write_text(MANIFEST.replace("resamples = 100", "resamples = 200"))
    keys.add(reread(context).score_key("0" * 64))
    manifest.write_text(MANIFEST + '\n[scoring]\narguments = ["--show-cases"]\n')
    keys.add(reread(context).score_key("0" * 64))
    manifest.write_text(MANIFEST)
    (context.reference_dir / "task.json").write_text(
        '{"version": 1, "task": "classification", "class_names": ["B", "A"], "metric": "", "options": {}}'
    )
    keys.add(reread(context).score_key("0" * 64))
    keys.add(use_program(context, COST).score_key("0" * 64))
    keys.add(use_program(context, COST, program_toml='modes = ["private"]').score_key("0" * 64))
    assert len(keys) == 7


def test_a_link_in_place_of_scores_is_not_followed(context: Context, tmp_path: Path) -> None:
    """The scoring program may have been taken over: its output is as little trusted as a submission's."""
    code = (
        "import os, sys\nos.symlink(sys.argv[1] + '/ref/testing_solution.csv', sys.argv[2] + '/scores.json')"
    )
    with pytest.raises(ProgramError) as fault:
        score(use_program(context, code), scoring_engine(), right(context, tmp_path))
    assert fault.value.code == "output-not-a-file"


@pytest.mark.parametrize("text", ["[]", "{}", "no json", '{"a": "b"}', "[" * 5000, '{"a": NaN}'])
def test_scores_that_are_none_are_the_programs_fault(text: str, context: Context, tmp_path: Path) -> None:
    code = f"import sys\nopen(sys.argv[2] + '/scores.json', 'w').write({text!r})"
    with pytest.raises(DataError) as fault:
        score(use_program(context, code), scoring_engine(), right(context, tmp_path))
    assert fault.value.code == "scores-unreadable"


def test_a_program_without_modes_is_run_for_each_split(context: Context, tmp_path: Path) -> None:
    own, engine = use_program(context, COST), CountingEngine()
    name = min(own.test_splits["public"])
    label = own.reference.label_of[name]
    path = right(own, tmp_path)
    path.write_text(path.read_text().replace(f"{name},{label}", f"{name},{'B' if label == 'A' else 'A'}"))
    record = score(own, engine, path)
    assert len(engine.runs) == 2
    assert content(record, "public")["cost"] == pytest.approx(1 / 6)
    assert content(record, "final")["cost"] == 0.0
    assert record.files.keys() == {"public/scores.json", "final/scores.json", "scoring.log"}
    scores = content(record, "public")
    assert not higher_is_better(scores, "cost")
    assert higher_is_better(scores, "cases")
    assert find_score(scores, "cost") == pytest.approx(1 / 6)
    # It does not say which of its two numbers ranks.
    assert default_metric(scores) == ""


def test_exit_status_1_of_such_a_program_is_the_predictions_fault(context: Context, tmp_path: Path) -> None:
    own = use_program(context, COST)
    path = right(own, tmp_path)
    path.write_text(path.read_text() + "unknown.png,A\n")
    record = score(own, scoring_engine(), path)
    assert record.verdict == Refusal("predictions").verdict
    assert "not the images" not in str(record.verdict)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("1 / 0", "program-failed"), ("import sys\nsys.exit(3)", "program-failed"), ("", "output-missing")],
)
def test_a_program_that_fails_refuses_nobody(
    code: str, expected: str, context: Context, tmp_path: Path
) -> None:
    with pytest.raises(ProgramError) as fault:
        score(use_program(context, code), scoring_engine(), right(context, tmp_path))
    assert fault.value.code == expected


def test_a_program_of_ones_own_has_codes_of_its_own(context: Context, tmp_path: Path) -> None:
    code = """\
import json, os, sys
private = sys.argv[sys.argv.index("--private") + 1]
os.makedirs(private, exist_ok=True)
found = json.load(open(sys.argv[1] + "/res/classification_results.csv"))
json.dump(found, open(private + "/findings.json", "w"))
sys.exit(1)
"""
    modes = 'modes = ["check", "private", "parts"]'
    listed = '{"too-dear": {"message": "the cost is over 3", "hint": "be cheaper"}}'
    own = use_program(context, code, program_toml=modes, findings_json=listed)
    known = put(tmp_path, b'[{"code": "too-dear", "row": 4, "message": "truth is A", "hint": "A"}]')
    verdict = score(own, scoring_engine(), known).verdict
    assert str(verdict) == "classification_results.csv:4: the cost is over 3; be cheaper"
    unknown = put(tmp_path, b'[{"code": "000001.png is A", "row": 4}]')
    assert score(own, scoring_engine(), unknown).verdict == Refusal("predictions", line=4).verdict
    # It says that the reference is at fault: nobody's submission.
    ours = put(tmp_path, b'[{"code": "reference-invalid", "row": 4}]')
    with pytest.raises(ProgramError):
        score(own, scoring_engine(), ours)


def test_the_example_of_a_program_of_ones_own_is_scored_with_its_uncertainty(
    context: Context, tmp_path: Path
) -> None:
    shutil.copytree(
        PROJECT_ROOT / "examples" / "own_metric" / "scoring_program", context.layout.root / "scoring_program"
    )
    own, engine = reread(context), CountingEngine()
    record = score(own, engine, right(own, tmp_path))
    assert len(engine.runs) == 2
    for part, names in own.test_splits.items():
        scores = content(record, part)
        assert (scores["mean_cost"], default_metric(scores)) == (0.0, "mean_cost")
        assert not higher_is_better(scores, "mean_cost")
        with np.load(record.folder / part / "resamples.npz") as resamples:
            assert resamples["mean_cost"].shape == (100,)
        assert len((record.folder / part / "cases.csv").read_text().splitlines()) == 1 + len(names)
    path = put(tmp_path, b"file\n000.png\n")
    verdict = score(own, engine, path).verdict
    assert verdict is not None
    assert (verdict.code, verdict.finding.row) == ("columns", 1)


def test_predictions_that_make_scoring_overrun_are_at_fault_if_they_are_large(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.layout.manifest.write_text(MANIFEST + "\n[scoring]\ntime_s = 1\n")
    own = use_program(context, "import time\ntime.sleep(30)", program_toml='modes = ["parts"]')
    path = right(own, tmp_path)
    with pytest.raises(ProgramError) as fault:
        score(own, scoring_engine(), path)
    assert fault.value.code == "program-over-limit"
    monkeypatch.setattr(scoring, "_FAIR_BYTES", path.stat().st_size - 12 * 4096)
    with pytest.raises(ProgramError):
        score(own, scoring_engine(), path)
    monkeypatch.setattr(scoring, "_FAIR_BYTES", path.stat().st_size - 12 * 4096 - 1)
    assert score(own, scoring_engine(), path).verdict == Refusal("predictions-too-large", limit=0).verdict


def test_a_split_without_an_answer_needs_a_program_that_scores_parts(context: Context) -> None:
    path = context.layout.solution_csv("testing")
    public = min(context.test_splits["public"])
    lines = path.read_text().splitlines()
    others = [line for line in lines[1:] if public in line] * 1
    assert len(others) == 1
    final = sorted(context.test_splits["final"])[:2]
    changed = [
        line.rpartition(",")[0] + ",C" if any(name in line for name in final) else line for line in lines
    ]
    path.write_text("\n".join(changed) + "\n")
    assert reread(context).class_names == ("A", "B", "C")
    with pytest.raises(DataError) as fault:
        use_program(context, COST)
    assert fault.value.code == "class-without-images"


def test_a_row_is_handed_on_as_it_is_written(tmp_path: Path) -> None:
    rows = [
        b"\xef\xbb\xbffile,class,note\r\n",
        b'"a,.png",A,"say ""so"""\r\n',
        b"\r\n",
        b"x/b.png,B,1\n",
        b"x/../unknown.png,B,1\n",
        b'"b.png",B,1',
    ]
    path = put(tmp_path, b"".join(rows))
    cut_predictions(path, {"b.png"}, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == b"".join([*rows[:3], rows[4]])
    cut_predictions(path, {"a,.png", "c.png"}, tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_bytes() == b"".join([rows[0], *rows[2:]])


@pytest.mark.parametrize(
    ("row", "line"),
    [(b"b\xff.png,A\n", 3), (b'"b.png,A\n', 3), (b"x" * (1 << 20) + b",A\n", 3), (b'"a"b,A\n', 3)],
)
def test_a_row_that_cannot_be_read_is_refused_by_its_line(row: bytes, line: int, tmp_path: Path) -> None:
    path = put(tmp_path, b"file,class\na.png,A\n" + row)
    with pytest.raises(Refusal) as fault:
        cut_predictions(path, {"b.png"}, tmp_path / "part.csv")
    assert fault.value.verdict == Refusal("predictions", line=line).verdict


def test_the_programs_of_participants_cannot_read_what_scoring_kept(context: Context, tmp_path: Path) -> None:
    """No folder that a submission's container gets holds a scoring step, or holds a link to one."""
    record = score(context, scoring_engine(), right(context, tmp_path))
    given = {context.layout.testing_data.resolve()}
    for path in record.folder.rglob("*"):
        assert not given & set(path.resolve().parents)
    inodes = {os.stat(path).st_ino for path in record.folder.rglob("*") if path.is_file()}
    shared = {os.stat(path).st_ino for path in context.layout.testing_data.iterdir()}
    assert not inodes & shared
