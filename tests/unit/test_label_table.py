"""The tool's reader of results csvs refuses what the scoring program refuses."""

import math
from pathlib import Path

import pytest

from challenge_bundle.errors import DataError, SubmissionError
from challenge_bundle.formats.label_table import (
    check_predictions,
    check_probabilities,
    count_predictions,
    cut_rows,
    most_rows,
    read_label_table,
    read_probabilities,
)
from tests.csv_faults import FAULTS, REFERENCE, TOLERATED

CLASS_NAMES = sorted(set(REFERENCE.values()))

CODES = {
    "no row after": "csv-empty",
    "more than 24 rows": "csv-too-many-rows",
    "longer than": "csv-line-too-long",
    "UTF-8": "csv-encoding",
    "NUL": "csv-invalid-line",
    "return": "csv-invalid-line",
    "quot": "csv-invalid-line",
    "valid csv line": "csv-invalid-line",
    "not among": "csv-unknown-image",
    "unknown class": "csv-unknown-class",
    "no row for": "csv-missing-image",
    "appears twice": "csv-duplicate-row",
    "twice": "csv-column-twice",
    "columns": "csv-cells",
    "header": "csv-header",
    "empty": "csv-empty",
}
"""Codes by what the messages of csv_faults.py contain, the first that fits."""


@pytest.mark.parametrize("name", FAULTS)
def test_refuses(name: str, tmp_path: Path) -> None:
    content, word, row = FAULTS[name]
    path = tmp_path / "classification_results.csv"
    path.write_bytes(content)

    with pytest.raises(SubmissionError) as fault:
        check_predictions(path, set(REFERENCE), CLASS_NAMES)

    assert word in str(fault.value)
    expected = (
        "csv-empty-cell" if row and word == "empty" else next(CODES[part] for part in CODES if part in word)
    )
    assert fault.value.code == expected
    assert fault.value.path == path
    if row is not None:
        assert fault.value.row == row


@pytest.mark.parametrize("name", TOLERATED)
def test_takes(name: str, tmp_path: Path) -> None:
    path = tmp_path / "classification_results.csv"
    path.write_bytes(TOLERATED[name])

    assert set(check_predictions(path, set(REFERENCE), CLASS_NAMES).class_of) == set(REFERENCE)


def says(path: Path, cells: str, header: str = "probability_CXR,probability_Hand") -> str:
    path.write_text(f"file,class,{header}\n000001.jpg,Hand,0.5,0.5\n\n000002.jpg,CXR,{cells}\n")
    return check_probabilities(path, read_label_table(path), CLASS_NAMES)


@pytest.mark.parametrize("cells", ["0,1", "1,0", "0.5,0.5009", "0.5,0.4991", " 0.5 ,5e-1", "-0,1"])
def test_probabilities_that_are_used(cells: str, tmp_path: Path) -> None:
    assert says(tmp_path / "r.csv", cells) == ""


@pytest.mark.parametrize(
    "cells", ["0.5,0.5011", "0.5,0.4989", "-0.1,1.1", "1.1,-0.1", "nan,1", "x,1", ",1", "inf,0"]
)
def test_probabilities_that_are_not_used(cells: str, tmp_path: Path) -> None:
    assert says(tmp_path / "r.csv", cells).startswith(
        "line 4 has probabilities that are not from 0 to 1 with"
    )


def test_probability_columns_of_other_classes_are_not_used(tmp_path: Path) -> None:
    assert says(tmp_path / "r.csv", "x,y", "probability_CXR,probability_Foot") == (
        "the probability columns are not those of the classes, so they will not be used"
    )
    assert says(tmp_path / "r.csv", "0.25,0.75", "probability_Hand,probability_CXR") == ""


def test_probabilities_by_image(tmp_path: Path) -> None:
    says(tmp_path / "r.csv", "0.25,x")
    read = read_probabilities(tmp_path / "r.csv")
    assert read["000001.jpg"] == [0.5, 0.5]
    assert read["000002.jpg"][0] == 0.25
    assert math.isnan(read["000002.jpg"][1])


def test_what_is_read_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes('\ufefffile,class,probability_A\r\n\r\na/b.png,A,1\r\n"c,d.png","B ""x""",2'.encode())
    table = read_label_table(path)
    assert table.class_of == {"b.png": "A", "c,d.png": 'B "x"'}
    assert table.file_of == {"b.png": "a/b.png", "c,d.png": "c,d.png"}
    assert table.row_of == {"b.png": 3, "c,d.png": 4}
    assert table.probability_classes == ("A",)
    assert list(cut_rows(path, {"c,d.png"})) == ["file,class,probability_A\n", '"c,d.png","B ""x""",2\n']
    assert list(count_predictions(str(path), ["b.png", "c,d.png"], ["A", 'B "x"']))[1][0] == 2


def test_any_number_of_rows_where_there_is_no_limit(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("file,class\n" + "".join(f"{number}.png,A\n" for number in range(3)))
    assert len(read_label_table(path).class_of) == len(read_label_table(path, most=3).class_of) == 3
    with pytest.raises(DataError) as fault:
        read_label_table(path, most=2)
    assert (fault.value.code, fault.value.row) == ("csv-too-many-rows", 4)
    assert "more than 2 rows" in fault.value.finding.message
    assert [most_rows(images) for images in (0, 1, 100)] == [16, 18, 216]
