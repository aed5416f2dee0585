"""Folders of wheels: whole or not at all, filled again when what they are for has changed."""

import json
from pathlib import Path

import pytest

from challenge_bundle.engines.local import LocalEngine
from challenge_bundle.errors import UnavailableError
from challenge_bundle.layout import Layout
from challenge_bundle.runs.programs import INFERENCE, SCORING
from challenge_bundle.settings import Bundle, EvaluationSettings
from challenge_bundle.wheelhouse import (
    STAMP_NAME,
    Target,
    fill_wheelhouse,
    give_wheels,
    out_of_date,
    platforms,
    target_of,
    wheels_in,
)
from tests.wheels import use_index, write_wheel

BUNDLE = Bundle("x", "x")
TARGET = Target("3.12", "aarch64")


def say_nothing(line: str) -> None:
    """A callback for tests that do not look at it."""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    use_index(folder, monkeypatch)
    write_wheel(folder, "alpha", needs=("beta>=1",))
    write_wheel(folder, "beta", "1.5")
    write_wheel(folder, "gamma")
    return folder


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "bundle")
    for program in (INFERENCE, SCORING):
        (made.root / program.folder).mkdir(parents=True)
    require(made, "alpha==1.0\n")
    return made


def require(layout: Layout, text: str) -> None:
    (layout.root / INFERENCE.folder / "requirements.txt").write_text(text)


def fill(layout: Layout, bundle: Bundle = BUNDLE) -> int:
    return fill_wheelhouse(INFERENCE, bundle, layout, layout.wheelhouse, TARGET, say_nothing)


def names(layout: Layout) -> list[str]:
    return [str(wheel) for wheel in wheels_in(layout.wheelhouse / INFERENCE.folder)]


def reason(layout: Layout, bundle: Bundle = BUNDLE) -> str:
    return out_of_date(INFERENCE, bundle, layout, layout.wheelhouse)


def test_filled_with_what_is_needed_and_what_that_needs(index: Path, layout: Layout) -> None:
    lines: list[str] = []
    assert reason(layout) == "there are none"
    assert fill_wheelhouse(INFERENCE, BUNDLE, layout, layout.wheelhouse, TARGET, lines.append) == 2
    assert names(layout) == ["alpha==1.0", "beta==1.5"]
    assert reason(layout) == ""
    assert target_of(layout.wheelhouse, INFERENCE) == TARGET
    assert lines[0] == "wheels of bundle_inference/requirements.txt for Python 3.12"
    assert "Processing alpha-1.0-py3-none-any.whl" in lines
    assert [path.name for path in layout.wheelhouse.iterdir()] == [INFERENCE.folder]


def test_what_the_organiser_gives_besides_comes_too(index: Path, layout: Layout) -> None:
    bundle = Bundle("x", "x", evaluation=EvaluationSettings(packages=("gamma>=1",)))
    fill(layout)
    assert reason(layout, bundle) == "the requirements have changed"
    assert fill(layout, bundle) == 3
    assert names(layout) == ["alpha==1.0", "beta==1.5", "gamma==1.0"]
    assert out_of_date(SCORING, bundle, layout, layout.wheelhouse) == ""


def test_changed_requirements_are_noticed_and_replace_the_old_wheels(index: Path, layout: Layout) -> None:
    fill(layout)
    require(layout, "gamma==1.0  # instead\n")
    assert reason(layout) == "the requirements have changed"
    assert fill(layout) == 1
    assert names(layout) == ["gamma==1.0"]
    require(layout, "# nothing but a comment more\ngamma==1.0\n")
    assert reason(layout) == ""


def test_a_wheel_that_is_cut_off_or_gone_is_noticed(index: Path, layout: Layout) -> None:
    fill(layout)
    wheel = layout.wheelhouse / INFERENCE.folder / "beta-1.5-py3-none-any.whl"
    content = wheel.read_bytes()
    wheel.write_bytes(content[:-1])
    assert reason(layout) == "beta-1.5-py3-none-any.whl is missing or cut off"
    wheel.write_bytes(content)
    assert reason(layout) == ""
    wheel.unlink()
    assert reason(layout) == "beta-1.5-py3-none-any.whl is missing or cut off"


def test_what_somebody_put_there_stays(index: Path, layout: Layout) -> None:
    fill(layout)
    write_wheel(layout.wheelhouse / INFERENCE.folder, "own", "3.0")
    require(layout, "gamma==1.0\n")
    fill(layout)
    assert names(layout) == ["gamma==1.0", "own==3.0"]


def test_wheels_by_hand_are_taken_if_they_meet_all_that_is_asked_for(layout: Layout) -> None:
    place = layout.wheelhouse / INFERENCE.folder
    write_wheel(place, "alpha")
    assert reason(layout) == ""
    require(layout, "alpha==1.0\ngamma>=2\n")
    assert reason(layout) == "none is for gamma>=2"
    write_wheel(place, "gamma", "2.0")
    assert reason(layout) == ""


def test_whole_or_not_at_all(index: Path, layout: Layout) -> None:
    fill(layout)
    require(layout, "gamma==1.0\nnowhere==1.0\n")
    with pytest.raises(UnavailableError, match="Python 3.12 on aarch64") as caught:
        fill(layout)
    assert caught.value.exit_code == 4
    assert any("No matching distribution found for nowhere==1.0" in line for line in caught.value.details)
    assert names(layout) == ["alpha==1.0", "beta==1.5"]
    assert [path.name for path in layout.wheelhouse.iterdir()] == [INFERENCE.folder]
    assert reason(layout) == "the requirements have changed"


def test_what_a_killed_one_left_is_no_wheelhouse(index: Path, layout: Layout) -> None:
    part = layout.wheelhouse / f".{INFERENCE.folder}.part"
    write_wheel(part, "half")
    assert reason(layout) == "there are none"
    fill(layout)
    assert names(layout) == ["alpha==1.0", "beta==1.5"]
    assert not part.exists()


@pytest.mark.parametrize("stamp", ["", "[]", "{}", '{"requirements": 1}', '{"requirements": [], "sizes": 1}'])
def test_a_stamp_that_cannot_be_read_is_none(index: Path, layout: Layout, stamp: str) -> None:
    fill(layout)
    (layout.wheelhouse / INFERENCE.folder / STAMP_NAME).write_text(stamp)
    assert reason(layout) == ""
    assert target_of(layout.wheelhouse, INFERENCE) == Target("3.11", "x86_64")


def test_the_stamp_says_what_the_wheels_are_for(index: Path, layout: Layout) -> None:
    fill(layout)
    stamp = json.loads((layout.wheelhouse / INFERENCE.folder / STAMP_NAME).read_text())
    assert stamp["requirements"] == ["alpha==1.0"]
    assert (stamp["python_version"], stamp["machine"]) == ("3.12", "aarch64")
    assert stamp["sizes"].keys() == {"alpha-1.0-py3-none-any.whl", "beta-1.5-py3-none-any.whl"}


def test_plain_processes_need_no_wheels(index: Path, layout: Layout) -> None:
    give_wheels(LocalEngine(), (INFERENCE,), BUNDLE, layout, say_nothing, for_submissions=True)
    assert not layout.wheelhouse.exists()


def test_platforms_go_back_to_the_oldest_manylinux() -> None:
    found = platforms("aarch64")
    assert found[0] == "manylinux_2_36_aarch64"
    assert found[-3:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]
    assert len(found) == 22
