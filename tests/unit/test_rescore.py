"""Scoring again after the reference, the program or the metric changed; it runs as a process."""

import json

import pytest

from challenge_bundle.errors import DataError, ProgramError
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.receipts import check_stored, receipt_path
from challenge_bundle.evaluation.records import Records
from challenge_bundle.evaluation.rescore import Move, rescore
from challenge_bundle.evaluation.stored_scores import current_scores, results_of, stale_rows
from challenge_bundle.files import remove_tree
from challenge_bundle.formats.receipt import differing, read_receipt
from challenge_bundle.leaderboard.build import make_board
from tests.conftest import say_nothing
from tests.evaluations import MANIFEST, put_scored, reread, scoring_engine, wrong_in


def relabel(context: Context, name: str, class_name: str) -> Context:
    path = context.layout.solution_csv("testing")
    old = context.reference.label_of[name]
    path.write_text(path.read_text().replace(f"{name},{old}", f"{name},{class_name}"))
    return reread(context)


def seen(moves: list[Move]) -> list[tuple[str, str, float, float, int, int]]:
    return [
        (
            m.row.submission.team,
            m.test_split,
            round(m.before, 3),
            round(m.after, 3),
            m.rank_before,
            m.rank_after,
        )
        for m in moves
    ]


def test_a_label_that_was_wrong_moves_who_predicted_it(context: Context, records: Records) -> None:
    public = min(context.test_splits["public"])
    put_scored(context, records, 1, dict(context.reference.label_of))
    put_scored(context, records, 2, wrong_in(context, frozenset({public})))
    put_scored(context, records, 3, dict(context.reference.label_of), phase="final")
    changed = relabel(context, public, "B" if context.reference.label_of[public] == "A" else "A")
    with pytest.raises(DataError, match="the scores of 2 submissions.*; run `evaluate --rescore`"):
        make_board(changed, records, "development", None)
    found = rescore(changed, records, scoring_engine(), say_nothing)
    assert found.submissions == 3
    assert found.without_score == 0
    public_moves = [move for move in seen(found.moves) if move[1] == "public"]
    # By phase: team 3 of the other phase takes no place from these two.
    assert public_moves == [
        ("team 2", "public", 0.829, 1.0, 2, 1),
        ("team 1", "public", 1.0, 0.838, 1, 2),
        ("team 3", "public", 1.0, 0.838, 1, 1),
    ]
    assert str(found.moves[0]).endswith(", test split public: 0.8286 to 1.0000 (+0.1714), place 2 to 1")
    board = make_board(changed, records, "development", None)
    assert [entry.scores["weighted_f1"] for entry in board.entries] == [pytest.approx(0.838, abs=5e-4), 1.0]
    again = rescore(changed, records, scoring_engine(), say_nothing)
    assert (again.submissions, again.moves) == (0, [])
    for row in records.rows():
        receipt = read_receipt(receipt_path(context.layout, row.submission.id))
        assert differing(check_stored(changed, records, receipt)) == []


def test_the_public_part_stays_as_it_was(context: Context) -> None:
    for name in sorted(context.image_names)[:6:2]:
        changed = relabel(context, name, "B")
        assert changed.test_splits == context.test_splits
        context = changed


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy", "weighted_precision", "macro_recall"])
def test_another_metric_compares_like_with_like(context: Context, records: Records, metric: str) -> None:
    public = min(context.test_splits["public"])
    put_scored(context, records, 1, dict(context.reference.label_of))
    put_scored(context, records, 2, wrong_in(context, frozenset({public})))
    # A scoring program of former days that gave one score only.
    first = records.rows()[0].submission.id
    key, content = records.scores("public")[first]
    old = {name: json.loads(content)[name] for name in ("weighted_f1", "details")}
    records.add_scores([(first, "public", key, json.dumps(old))])
    text = MANIFEST.replace("[evaluation]", f'[evaluation]\nmetric = "{metric}"')
    context.layout.manifest.write_text(text)
    changed = reread(context)
    with pytest.raises(DataError, match=rf"\({metric}\) .* got 'no such score'; .* \(weighted_f1\)"):
        make_board(changed, records, "development", None)
    relabelled = relabel(changed, public, "B" if context.reference.label_of[public] == "A" else "A")
    found = rescore(relabelled, records, scoring_engine(), say_nothing)
    assert found.submissions == 2
    assert found.without_score == 1
    # Team 2 alone has a score in that metric before and after: it has nobody to be compared with.
    assert [(m[0], m[1], *m[4:]) for m in seen(found.moves)] == [("team 2", "public", 1, 1)]
    board = make_board(relabelled, records, "development", None)
    assert board.metric.name == metric
    assert [entry.scores[metric] for entry in board.entries][1] == 1.0


@pytest.mark.parametrize("value", [float("nan"), "0.5", None, True, [1.0]])
def test_a_score_that_is_no_number_ranks_nobody(context: Context, records: Records, value: object) -> None:
    row = put_scored(context, records, 1, dict(context.reference.label_of))
    key, content = records.scores("public")[row.submission.id]
    records.add_scores(
        [(row.submission.id, "public", key, json.dumps(json.loads(content) | {"weighted_f1": value}))]
    )
    with pytest.raises(DataError) as fault:
        current_scores(context, records, "public", records.rows())
    assert (fault.value.code, fault.value.path) == ("metric-not-scored", context.layout.manifest)
    assert "weighted_f1" in fault.value.finding.message


def test_a_rescore_that_fails_leaves_the_old_scores(context: Context, records: Records) -> None:
    row = put_scored(context, records, 1, dict(context.reference.label_of))
    before = records.scores("public")
    changed = relabel(context, min(context.test_splits["public"]), "B")
    program = context.layout.root / "scoring_program"
    program.mkdir()
    (program / "Dockerfile").write_text("FROM scratch\nCOPY score.py /\n")
    (program / "score.py").write_text("raise SystemExit('no')")
    with pytest.raises(ProgramError, match="scoring failed"):
        rescore(reread(changed), records, scoring_engine(), say_nothing)
    assert records.scores("public") == before
    assert [found.submission.id for found in stale_rows(changed, records, "public", [row])] == [
        row.submission.id
    ]


def test_a_rescore_that_was_cut_off_writes_the_receipts_later(
    context: Context, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_scored(context, records, 1, dict(context.reference.label_of))
    row = put_scored(context, records, 2, wrong_in(context, frozenset({min(context.test_splits["public"])})))
    changed = relabel(context, min(context.test_splits["public"]), "B")

    def cut_off(*what: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as fault:
        fault.setattr("challenge_bundle.evaluation.rescore.renew_receipt", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rescore(changed, records, scoring_engine(), say_nothing)
    stored = check_stored(changed, records, read_receipt(receipt_path(context.layout, row.submission.id)))
    assert differing(stored) != []
    assert rescore(changed, records, scoring_engine(), say_nothing).submissions == 0
    stored = check_stored(changed, records, read_receipt(receipt_path(context.layout, row.submission.id)))
    assert differing(stored) == []


def test_a_receipt_of_former_days_is_written_again(context: Context, records: Records) -> None:
    row = put_scored(context, records, 1, dict(context.reference.label_of))
    path = receipt_path(context.layout, row.submission.id)
    path.write_text('{"receipt": 1}')
    rescore(context, records, scoring_engine(), say_nothing)
    assert read_receipt(path)["receipt"] == 2


def test_images_that_are_gone_are_no_circle(context: Context, records: Records) -> None:
    row = put_scored(context, records, 1, dict(context.reference.label_of))
    image = context.layout.testing_data / "003.png"
    original = image.read_bytes()
    # Other pixels under the same names: no score may be taken for one on these.
    image.write_bytes((context.layout.testing_data / "005.png").read_bytes())
    for act in (
        lambda there: make_board(there, records, "development", None),
        lambda there: rescore(relabel(there, "000.png", "B"), records, scoring_engine(), say_nothing),
    ):
        with pytest.raises(DataError, match="1 of 1 scored submissions ran on other") as fault:
            act(reread(context))
        assert fault.value.code == "other-testing-images"
        assert "import those" in fault.value.finding.hint
    image.write_bytes(original)
    remove_tree(results_of(context, records, row).parent)
    with pytest.raises(DataError) as fault:
        make_board(relabel(context, "000.png", "A"), records, "development", None)
    assert fault.value.code == "other-testing-images"
    assert "`data import --replace`" in fault.value.finding.hint
