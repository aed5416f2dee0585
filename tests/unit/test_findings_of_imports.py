"""The tables of an import's checks: complete, and each check finds nothing in data without faults."""

import inspect
from types import ModuleType

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset import image_checks, label_checks, listing_checks
from challenge_bundle.dataset.checks import ASSIGNED, LISTED, NAMES, READ, Check, run_checks
from challenge_bundle.dataset.import_state import refuse, with_each
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.errors import DataError
from challenge_bundle.findings import ERROR, WARNING, Finding
from challenge_bundle.sources.base import SourceImage
from tests.importing import codes, state_of

SPLITS = ("training", "validation", "testing")


def staged(number: int) -> StagedImage:
    class_name, split = "ab"[number % 2], SPLITS[number // 2 % 3]
    source = SourceImage(f"/d/{split}/{class_name}/{number}.png", class_name, split, lambda: b"")
    return StagedImage(
        source, f"{number}.png", f"bytes {number}", f"pixels {number}", (8, 8), "PNG", False, split=split
    )


@pytest.mark.parametrize("module", [listing_checks, label_checks, image_checks])
def test_every_check_is_in_a_table(module: ModuleType) -> None:
    public = {
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public <= {*NAMES, *LISTED, *READ, *ASSIGNED}
    for function in public:
        assert list(inspect.signature(function).parameters) == ["state", "request"]


@pytest.mark.parametrize("check", [*LISTED, *READ, *ASSIGNED], ids=lambda check: check.__name__)
@pytest.mark.parametrize("is_empty", [False, True])
def test_a_check_finds_nothing_in_data_without_faults(check: Check, is_empty: bool) -> None:
    """Nor does one fail where no image could be read."""
    images = [staged(number) for number in range(12)]
    state = state_of([image.source for image in images], staged=[] if is_empty else images)
    assert check(state, ImportRequest()) == []


def test_checks_run_in_their_order() -> None:
    def one(*_: object) -> list[Finding]:
        return [Finding("one", WARNING, "", "first"), Finding("one", WARNING, "", "second")]

    def two(*_: object) -> list[Finding]:
        return [Finding("two", WARNING, "", "third")]

    assert codes(run_checks((two, one), state_of([]), ImportRequest())) == ["two", "one", "one"]


def test_errors_are_raised_as_one_and_warnings_are_not() -> None:
    warning = Finding("odd", WARNING, "", "look")
    refuse([warning])
    size = Finding("size", ERROR, "a.png", "9x8 pixels", "fix it", 3)
    with pytest.raises(DataError) as fault:
        refuse([warning, *with_each(size, ["b.png: 9x8 pixels"]), Finding("leak", ERROR, "", "c.png")])
    assert fault.value.finding == size
    assert fault.value.details == ("b.png: 9x8 pixels", "c.png")
