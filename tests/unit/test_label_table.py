"""The tool's reader of results csvs refuses what the scoring program refuses."""

from pathlib import Path

import pytest

from tests.csv_faults import FAULTS, REFERENCE, TOLERATED
from tools.errors import SubmissionError
from tools.formats.label_table import check_predictions

CLASS_NAMES = sorted(set(REFERENCE.values()))


@pytest.mark.parametrize("name", FAULTS)
def test_refuses(name: str, tmp_path: Path) -> None:
    content, word, row = FAULTS[name]
    path = tmp_path / "classification_results.csv"
    path.write_bytes(content)

    with pytest.raises(SubmissionError) as fault:
        check_predictions(path, set(REFERENCE), CLASS_NAMES)

    assert word in str(fault.value)
    if row is not None:
        assert str(fault.value).startswith(f"{path}:{row}: ")


@pytest.mark.parametrize("name", TOLERATED)
def test_takes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "classification_results.csv"
    path.write_bytes(TOLERATED[name])

    assert set(check_predictions(path, set(REFERENCE), CLASS_NAMES).class_of) == set(REFERENCE)
