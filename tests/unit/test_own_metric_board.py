"""examples/own_metric from submissions to a board: a metric that nobody has ranks like any other."""

import shutil
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.admission import take_all
from challenge_bundle.evaluation.context import open_evaluation, read_context
from challenge_bundle.evaluation.evaluator import evaluate
from challenge_bundle.evaluation.intake import find_zips
from challenge_bundle.files import write_csv
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.leaderboard.build import make_board
from challenge_bundle.settings import read_manifest
from tests.conftest import write_image
from tests.fake_engine import FakeEngine

MANIFEST = """
[bundle]
name = "own"

[evaluation]
metric = "mean_cost"
resamples = 200

[submission]
kinds = ["predictions"]
"""
TRUTH = ["NORMAL", "PNEUMONIA"] * 10


def answers(misses: int, alarms: int) -> list[str]:
    given = list(TRUTH)
    for number in range(misses):
        given[2 * number + 1] = "NORMAL"
    for number in range(alarms):
        given[2 * number] = "PNEUMONIA"
    return given


@pytest.mark.parametrize("grouped", [False, True], ids=["images", "patients"])
def test_the_lowest_cost_is_first_and_not_the_fewest_mistakes(grouped: bool, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "bundle")
    shutil.copytree(PROJECT_ROOT / "examples" / "own_metric", layout.root)
    layout.manifest.write_text(MANIFEST)
    names = [f"{number:03d}.png" for number in range(len(TRUTH))]
    for number, name in enumerate(names):
        write_image(layout.testing_data / name, number)
    header = ("file", "class", "group") if grouped else ("file", "class")
    rows = [(f"testing-data/{name}", TRUTH[n], f"g{n // 2}")[: len(header)] for n, name in enumerate(names)]
    write_csv(layout.solution_csv("testing"), header, rows)
    sent = {"careful": answers(0, 6), "bold": answers(2, 0), "perfect": answers(0, 0), "broken": []}
    for team, given in sent.items():
        lines = [f"{name},{answer}\n" for name, answer in zip(names, given, strict=False)]
        (tmp_path / f"{team}__m.csv").write_text("file,class\n" + "".join(lines))

    engine = FakeEngine(tmp_path / "engine")
    context = read_context(read_manifest(layout.manifest), layout)
    with open_evaluation(context.bundle, layout, None) as (_, records):
        take_all(find_zips(sorted(tmp_path.glob("*.csv"))), context, records)
        assert evaluate(context, records, lambda: engine, 1, lambda *_: None) == {}
        board = make_board(context, records, None, None)
        submission, (key, content) = next(iter(records.scores("all").items()))
        records.add_scores([(submission, "all", key, content.replace("false", "true"))])
        with pytest.raises(DataError) as fault:
            make_board(context, records, None, None)
    # A program that wrote another direction for one submission could put it first.
    assert fault.value.code == "metric-directions-differ"
    assert board.ranking is not None
    scores = {entry.team: entry.scores["mean_cost"] for entry in board.entries}
    assert scores == {"perfect": 0.0, "careful": 6 / 20, "bold": 20 / 20}
    ranks = {entry.team: int(rank) for entry, rank in zip(board.entries, board.ranking.ranks, strict=True)}
    assert ranks == {"perfect": 1, "careful": 2, "bold": 3}
    assert (board.metric.name, board.metric.higher_is_better) == ("mean_cost", False)
    assert board.groups == (10 if grouped else None)
    assert [entry.team for entry in board.unranked] == ["broken"]
