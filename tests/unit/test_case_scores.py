"""cases.csv: what a scoring program says of each case is read, anything else is one error with its code."""

from pathlib import Path

import numpy as np
import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats import case_scores
from challenge_bundle.formats.case_scores import read_case_table


def write(folder: Path, text: str) -> Path:
    path = folder / "cases.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_read_in_the_order_of_the_names(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "case,group,answer,wrong,accuracy,brier,meta_site\n"
        "b.png,g2,cat,1,0,0.5,north\n"
        "a.png,g1,dog,0,1,,south\n"
        "c.png,g1,cat,0,1,0.25,\n",
    )
    table = read_case_table(path)
    assert table is not None
    assert table.names == ("a.png", "b.png", "c.png")
    assert table.groups.tolist() == [0, 1, 0]
    assert (table.has_groups, table.group_count) == (True, 2)
    assert table.answers is not None
    assert table.answers[1] == table.answers[2] != table.answers[0]
    assert table.wrong is not None
    assert table.wrong.tolist() == [False, True, False]
    assert list(table.values) == ["accuracy", "brier"]
    np.testing.assert_array_equal(table.values["brier"], [np.nan, 0.5, 0.25])
    assert table.attributes == {"site": ("south", "north", "")}
    some = read_case_table(path, metrics=("brier",))
    assert some is not None
    assert list(some.values) == ["brier"]


@pytest.mark.parametrize("text", ["case,mae\nb,1\na,2\n", "case,group,mae\nb,,1\na,,2\n"])
def test_without_groups_each_case_is_one(tmp_path: Path, text: str) -> None:
    table = read_case_table(write(tmp_path, text))
    assert table is not None
    assert table.groups.tolist() == [0, 1]
    assert not table.has_groups
    assert table.answers is None
    assert table.wrong is None
    assert table.values["mae"].tolist() == [2.0, 1.0]


def test_a_case_without_a_group_among_others_is_one_by_itself(tmp_path: Path) -> None:
    table = read_case_table(write(tmp_path, "case,group\na,\nb,p1\nc,\nd,p1\n"))
    assert table is not None
    assert len(set(table.groups.tolist())) == 3
    assert table.groups[1] == table.groups[3]


def test_wrong_that_some_cases_lack_is_unknown(tmp_path: Path) -> None:
    table = read_case_table(write(tmp_path, "case,wrong\na,1\nb,\n"))
    assert table is not None
    assert table.wrong is None


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_case_table(tmp_path / "cases.csv") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "case\n",
        "file,mae\na,1\n",
        "case,mae,mae\na,1,2\n",
        "case,mae\na,1\na,2\n",
        "case,mae\na\n",
        "case,mae\na,1,2\n",
        "case,mae\na,nan\n",
        "case,mae\na,inf\n",
        "case,mae\na,1e999\n",
        "case,mae\na,much\n",
        "case,wrong\na,yes\n",
        'case,mae\n"a,1\n',
        'case,mae\n"a"b,1\n',
        "case," + ",".join(f"m{n}" for n in range(1000)) + "\n",
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError) as fault:
        read_case_table(write(tmp_path, text))
    assert fault.value.code == "cases-invalid"
    assert fault.value.path == tmp_path / "cases.csv"


def test_bytes_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes(b"case,mae\n\xff,1\n")
    with pytest.raises(DataError) as fault:
        read_case_table(path)
    assert fault.value.code == "cases-invalid"
    write(tmp_path, "case,mae\na,1\nb,2\n")
    for limit in ("MAX_CASES", "MAX_BYTES", "MAX_COLUMNS"):
        with monkeypatch.context() as patched:
            patched.setattr(case_scores, limit, 1)
            with pytest.raises(DataError) as fault:
                read_case_table(path)
        assert fault.value.code == "cases-invalid"
