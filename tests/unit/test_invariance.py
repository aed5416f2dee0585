"""What a submission is run on besides the plain folder, and how results are compared."""

from contextlib import closing
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation.context import Context
from challenge_bundle.evaluation.invariance import (
    MEANINGS,
    _parse_comparison,
    circumstances,
    compare,
    probe_all,
)
from challenge_bundle.evaluation.verdicts import Refusal
from tests.conftest import say_nothing
from tests.evaluations import make_context, open_records, reread, scoring_engine

NAMES = [f"{number:03d}.png" for number in range(7)] + ["x.jpg"]


def test_every_circumstance_has_its_meaning_and_every_image_once() -> None:
    found = circumstances(sorted(NAMES))
    assert found.keys() == MEANINGS.keys()
    for circumstance, inputs in found.items():
        for given in inputs:
            images = list(given.image_of.values())
            count = 2 if given.name == "alone-two" else 1
            assert len(set(images)) == len(images) == (count if circumstance == "alone" else len(NAMES))
            # A suffix says what kind of file it is.
            assert all(Path(name).suffix == Path(image).suffix for name, image in given.image_of.items())


def test_renaming_keeps_the_order_and_reordering_the_names() -> None:
    found = circumstances(sorted(NAMES))
    (renamed,), (reordered,) = found["renamed"], found["reordered"]
    assert [renamed.image_of[name] for name in sorted(renamed.image_of)] == sorted(NAMES)
    assert not set(renamed.image_of) & set(NAMES)
    assert set(reordered.image_of) == set(NAMES)
    assert reordered.image_of["000.png"] == "006.png"


def test_which_images_are_given_alone_cannot_be_known_before() -> None:
    """A program that uses the whole folder could else see to these few as it should."""
    names = [f"{number:03d}.png" for number in range(600)]
    drawn = {
        tuple(name for given in circumstances(names, secret)["alone"] for name in given.image_of)
        for secret in ("", "a", "b")
    }
    assert [len(set(names)) for names in drawn] == [3, 3, 3]
    assert len(drawn) == 3
    assert circumstances(names, "a")["alone"] == circumstances(names, "a")["alone"]


def test_a_number_of_images_is_changed_in_two_ways() -> None:
    """Of seven images, a program that counts modulo six or five gives the same alone, or with another one."""
    for total in (3, 7):
        counts = [len(given.image_of) for given in circumstances(NAMES[:total])["alone"]]
        assert counts == [1, 1, 1, 2]
    assert [len(given.image_of) for given in circumstances(NAMES[:2])["alone"]] == [1, 1]


@pytest.fixture
def context(tmp_path: Path) -> Context:
    """A bundle with two images."""
    return make_context(tmp_path / "bundle", '[bundle]\nname = "tiny"\n', images=2)


def write(path: Path, rows: list[str], header: str = "file,class,probability_A,probability_B") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_results_are_compared_by_image(context: Context, tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", ["000.png,A,0.9,0.1", "001.png,B,0.2,0.8"])
    after = write(tmp_path / "b.csv", ["x.png,B,0.25,0.75", "y.png,B,0.5,0.5"])
    changed, largest = compare(
        context, scoring_engine(), before, after, {"x.png": "001.png", "y.png": "000.png"}
    )
    assert changed == 1
    assert largest == pytest.approx(0.4)
    assert list((context.layout.evaluation / "work").iterdir()) == []


def test_columns_in_another_order_are_the_same_and_one_less_is_a_difference(
    context: Context, tmp_path: Path
) -> None:
    before = write(tmp_path / "a.csv", ["000.png,A,0.9,0.1", "001.png,B,0.2,0.8"])
    other = write(tmp_path / "b.csv", ["000.png,A,0.1,0.9"], "file,class,probability_B,probability_A")
    assert compare(context, scoring_engine(), before, other, {"000.png": "000.png"}) == (0, 0.0)
    less = write(tmp_path / "c.csv", ["000.png,A"], "file,class")
    assert compare(context, scoring_engine(), before, less, {"000.png": "000.png"}) == (0, 1.0)


def test_a_comparison_with_a_row_missing(context: Context, tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", ["000.png,A", "001.png,B"], "file,class")
    after = write(tmp_path / "b.csv", ["000.png,A"], "file,class")
    with pytest.raises(Refusal) as fault:
        compare(context, scoring_engine(), before, after, {"000.png": "000.png", "001.png": "001.png"})
    assert fault.value.verdict.code == "predictions"


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"changed": "1", "largest": 0}', '{"changed": 1}', '{"changed": 1, "largest": null}'],
)
def test_a_comparison_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    path.write_text(text)
    with pytest.raises(DataError) as fault:
        _parse_comparison(path)
    assert fault.value.code == "not-a-comparison"


def test_a_program_that_cannot_compare_is_named_before_anything_runs(context: Context) -> None:
    folder = context.layout.root / "scoring_program"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY score.py /\n")
    (folder / "score.py").write_text("")
    with closing(open_records(context)) as records, pytest.raises(DataError) as fault:
        probe_all(reread(context), records, scoring_engine(), say_nothing)
    assert (fault.value.code, fault.value.path) == ("no-compare-mode", folder / "program.toml")
