"""A whole evaluation on the fake engine: built, run and scored as processes; killed, it goes on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from challenge_bundle.evaluation.admission import take_all
from challenge_bundle.evaluation.context import Context, open_evaluation
from challenge_bundle.evaluation.evaluator import evaluate
from challenge_bundle.evaluation.receipts import check_scores, check_stored, receipt_path
from challenge_bundle.evaluation.records import REFUSED
from challenge_bundle.evaluation.verdicts import SCORED
from challenge_bundle.formats.receipt import differing, read_receipt
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.leaderboard.build import make_board
from tests.fake_engine import FakeEngine
from tests.worlds import make_context, put_zip

DRIVER = """\
import sys
from pathlib import Path
from challenge_bundle.evaluation.context import open_evaluation
from challenge_bundle.evaluation.evaluator import evaluate
from challenge_bundle.layout import Layout
from challenge_bundle.settings import read_manifest
from tests.fake_engine import FakeEngine
layout = Layout(Path(sys.argv[1]))
with open_evaluation(read_manifest(layout.manifest), layout, None) as (context, records):
    evaluate(context, records, lambda: FakeEngine(Path(sys.argv[2])), 1, lambda *change: None)
"""

WAITS_ONCE = """\
if not os.path.exists({mark!r}):
    import time
    open({mark!r}, "w").write(str(os.getpid()))
    time.sleep(300)
"""


def say_nothing(*what: object) -> None:
    """A callback for tests that do not look at it."""


def wait_for(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def step_times(context: Context) -> dict[Path, int]:
    folder = context.layout.evaluation / "steps"
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/*/record.json")}


def test_an_evaluation_that_is_killed_goes_on_where_it_was(filled_layout: Layout, tmp_path: Path) -> None:
    context, root, mark = make_context(filled_layout), tmp_path / "engine", tmp_path / "mark"
    zips = [
        put_zip(context, tmp_path / "zips", "A"),
        put_zip(context, tmp_path / "zips", "B", more=WAITS_ONCE.format(mark=str(mark))),
        put_zip(context, tmp_path / "zips", "C", more="raise SystemExit('no image is good enough')"),
    ]
    for number, path in enumerate(zips):
        os.utime(path, (1_770_000_000 + number,) * 2)
    with open_evaluation(context.bundle, context.layout, None) as (_, records):
        take_all(zips, context, records)

    command = [sys.executable, "-c", DRIVER, str(context.layout.root), str(root)]
    path = os.pathsep.join((str(PROJECT_ROOT), str(PROJECT_ROOT / "tools")))
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}) as driver:
        wait_for(lambda: mark.exists() and mark.read_text() != "")
        driver.send_signal(signal.SIGKILL)
    orphan = int(mark.read_text())
    assert is_running(orphan)
    before = step_times(context)
    # All of A, and the build of B.
    assert len(before) == 4

    with open_evaluation(context.bundle, context.layout, None) as (_, records):
        assert evaluate(context, records, lambda: FakeEngine(root), 2, say_nothing) == {}
        assert not is_running(orphan)
        rows = {row.submission.team: row for row in records.rows()}
        assert {team: row.state for team, row in rows.items()} == {"A": SCORED, "B": SCORED, "C": REFUSED}
        assert rows["C"].verdict is not None
        assert (rows["C"].verdict.code, dict(rows["C"].verdict.numbers)) == ("failed", {"status": 1})
        after = step_times(context)
        assert {path: after[path] for path in before} == before
        board = make_board(context, records, None, None)
        assert [(entry.team, entry.scores["weighted_f1"]) for entry in board.entries] == [
            ("A", 1.0),
            ("B", 1.0),
        ]
        for team in "AB":
            receipt = read_receipt(receipt_path(context.layout, rows[team].submission.id))
            with closing(FakeEngine(root)) as engine:
                checks = check_stored(context, records, receipt)
                checks += check_scores(context, engine, records, receipt)
            assert list(differing(checks)) == []
    assert list((root / "runs").iterdir()) == []
    # The submissions' images are gone, the scoring program's stays.
    names = [path.name for path in (root / "images").iterdir()]
    assert [name.partition("@")[0] for name in names] == ["tiny-scoring"]
