"""Which submissions stand on a board, with which scores and answers."""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sklearn.metrics import classification_report

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import Context, read_context, steps_dir
from challenge_bundle.evaluation.intake import Submission
from challenge_bundle.evaluation.records import Records, Row
from challenge_bundle.evaluation.verdicts import SCORED, WAITING_TEXT, Verdict
from challenge_bundle.files import write_csv
from challenge_bundle.layout import RESULTS_NAME, Layout
from challenge_bundle.leaderboard.build import make_board
from challenge_bundle.leaderboard.evaluated import choose_entries, choose_phase
from challenge_bundle.settings import Phase, parse_manifest
from tests.conftest import write_image
from tests.evaluations import MANIFEST


def at(month: int, day: int = 1) -> datetime:
    return datetime(2026, month, day, tzinfo=UTC)


def row(team: str, day: int, number: int) -> Row:
    submission = Submission(f"{number:064x}", team, "m", at(3, day), "x.zip")
    return Row(submission, "open", SCORED, 0, Verdict(SCORED), "", None)


def test_the_best_or_the_last_of_a_team_stands() -> None:
    rows = [row("A", 1, 1), row("a ", 2, 2), row("A", 3, 3), row("B", 1, 4)]
    scores = {
        f"{number:064x}": {"accuracy": value} for number, value in ((1, 0.5), (2, 0.9), (3, 0.9), (4, 0.1))
    }
    # Of equals the earlier one: who came first keeps the place.
    assert choose_entries(rows, scores, "accuracy", "best") == [rows[1], rows[3]]
    assert choose_entries(rows, scores, "accuracy", "last") == [rows[2], rows[3]]


def test_the_phase_is_the_last_that_has_opened() -> None:
    phases = (Phase("first", at(1), at(2)), Phase("second", at(3)))
    assert choose_phase(phases, None, at(2)).name == "first"
    assert choose_phase(phases, None, at(4)).name == "second"
    assert choose_phase(phases, "first", at(4)).name == "first"
    with pytest.raises(DataError, match=r"\(first, second\) but got 'third'") as fault:
        choose_phase(phases, "third", at(4))
    assert fault.value.code == "no-such-phase"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    layout = Layout(tmp_path)
    names = [f"{number:03d}.png" for number in range(12)]
    for number, name in enumerate(names):
        write_image(layout.testing_data / name, number)
    rows = [(f"testing-data/{name}", "AB"[number % 2]) for number, name in enumerate(names)]
    write_csv(layout.solution_csv("testing"), ("file", "class"), rows)
    return read_context(parse_manifest(MANIFEST, layout.manifest), layout)


@pytest.fixture
def records(context: Context) -> Iterator[Records]:
    context.layout.evaluation.mkdir(parents=True, exist_ok=True)
    with closing(Records(f"sqlite:///{context.layout.evaluation / 'r.sqlite'}")) as opened:
        yield opened


def put(
    context: Context,
    records: Records,
    number: int,
    answer_of: dict[str, str],
    phase: str,
    team: str = "",
) -> None:
    """Leave what a scored submission leaves."""
    submission = Submission(f"{number:064x}", team or f"team {number}", "m", at(3, number), "x.zip")
    folder = steps_dir(context.layout, "inference") / f"key{number}"
    write_csv(folder / RESULTS_NAME, ("file", "class"), sorted(answer_of.items()))
    results_sha256 = hashlib.sha256((folder / RESULTS_NAME).read_bytes()).hexdigest()
    records.add(submission, phase, None)
    records.add_step(submission.sha256, "inference", f"key{number}", 1.0)
    records.set_results(submission.sha256, results_sha256)
    for part, names in context.test_splits.items():
        true = [context.reference.label_of[name] for name in sorted(names)]
        report = classification_report(
            true, [answer_of[name] for name in sorted(names)], output_dict=True, zero_division=0.0
        )
        content = {
            "weighted_f1": float(report["weighted avg"]["f1-score"]),
            "per_class": {
                name: {key.replace("f1-score", "f1"): value for key, value in report[name].items()}
                for name in ("A", "B")
            },
        }
        key = context.score_key(results_sha256)
        records.add_scores([(submission.sha256, part, key, json.dumps(content))])
    records.set_state(submission.sha256, SCORED, Verdict(SCORED))


def test_a_running_phases_board_depends_on_the_public_split_alone(context: Context, records: Records) -> None:
    right = context.reference.label_of
    wrong = {"A": "B", "B": "A"}
    bad_in = {
        part: {n: wrong[c] if n in names else c for n, c in right.items()}
        for part, names in context.test_splits.items()
    }
    put(context, records, 1, bad_in["public"], "development")
    put(context, records, 2, bad_in["final"], "development")
    public = make_board(context, records, "development", None)
    assert (public.part, public.cases) == ("public", 6)
    assert [entry.scores["weighted_f1"] for entry in public.entries] == [0.0, 1.0]
    final = make_board(context, records, "development", "final")
    assert [entry.scores["weighted_f1"] for entry in final.entries] == [1.0, 0.0]
    assert make_board(context, records, "final", None).entries == ()
    with pytest.raises(DataError) as fault:
        make_board(context, records, "development", "all")
    assert fault.value.code == "no-such-split"
    assert "'all'" in fault.value.finding.message


def test_scores_of_another_reference_are_not_mixed_in(context: Context, records: Records) -> None:
    put(context, records, 1, dict(context.reference.label_of), "development")
    path = context.layout.solution_csv("testing")
    path.write_text(path.read_text().replace("000.png,A", "000.png,B"))
    with pytest.raises(DataError) as fault:
        make_board(read_context(context.bundle, context.layout), records, "development", None)
    assert fault.value.code == "stale-scores"
    assert "run `evaluate --rescore`" in fault.value.finding.hint


def test_look_alike_names_are_one_row_and_one_line(context: Context, records: Records) -> None:
    right = dict(context.reference.label_of)
    names = ("Radiance", "R\u0430diance", "Radiance\ufe0f", "Nordlicht")
    for number, name in enumerate(names, start=1):
        put(context, records, number, right, "development", name)
    board = make_board(context, records, "development", None)
    assert [entry.team for entry in board.entries] == ["Radiance", "Nordlicht"]
    assert [point.team for point in board.history] == ["Radiance"] * 3 + ["Nordlicht"]


def test_the_organiser_chooses_what_is_on_the_board(context: Context, records: Records) -> None:
    board = make_board(context, records, "development", None)
    assert (board.show_failed, board.show_agreement) == (False, False)
    assert "BEGIN PUBLIC KEY" in board.public_key
    for flag in ("show_failed", "show_agreement"):
        text = MANIFEST.replace("[evaluation]", f"[evaluation]\n{flag} = true")
        chosen = dataclasses.replace(context, bundle=parse_manifest(text, context.layout.manifest))
        board = make_board(chosen, records, "development", None)
        assert getattr(board, flag) is True
        assert board.show_failed != board.show_agreement


def test_what_failed_or_waits_stands_below(context: Context, records: Records) -> None:
    records.add(
        Submission("f" * 64, "late", "m", at(7), "x.zip"), "final", Verdict("csv-missing", {"missing": 3})
    )
    records.add(Submission("e" * 64, "queued", "m", at(8), "x.zip"), "final", None)
    board = make_board(context, records, "final", None)
    assert board.entries == ()
    assert [one.reason for one in board.unranked] == [
        "classification_results.csv: 3 images of the test set have no row; write one row per image",
        WAITING_TEXT,
    ]
