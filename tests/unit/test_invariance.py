"""What a submission is run on besides the plain folder, and how results are compared."""

from pathlib import Path

import pytest

from challenge_bundle.evaluation.invariance import MEANINGS, circumstances
from challenge_bundle.evaluation.results import compare

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


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["file,class,probability_A,probability_B", *rows]) + "\n")
    return path


def test_results_are_compared_by_image(tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", ["1.png,A,0.9,0.1", "2.png,B,0.2,0.8"])
    after = write(tmp_path / "b.csv", ["x.png,B,0.25,0.75", "y.png,B,0.5,0.5"])
    changed, largest = compare(before, after, {"x.png": "2.png", "y.png": "1.png"})
    assert changed == 1
    assert largest == pytest.approx(0.4)


def test_columns_in_another_order_are_the_same(tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", ["1.png,A,0.9,0.1"])
    after = tmp_path / "b.csv"
    after.write_text("file,class,probability_B,probability_A\n1.png,A,0.1,0.9\n")
    assert compare(before, after, {"1.png": "1.png"}) == (0, 0.0)


def test_no_number_is_no_difference(tmp_path: Path) -> None:
    before = write(tmp_path / "a.csv", ["1.png,A,nan,x"])
    assert compare(before, before, {"1.png": "1.png"}) == (0, 0.0)
