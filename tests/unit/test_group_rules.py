"""The rules that tell groups: a pattern on names, or a table."""

from pathlib import Path

import pytest

from challenge_bundle.errors import DataError
from challenge_bundle.formats.group_rules import parse_group_rule, resolve_group

IMAGES = [("/data/cat/1/a.png", "cat"), ("/data/dog/1/a.png", "dog"), ("/data/dog/b.png", "dog")]


def table(folder: Path, text: str) -> str:
    (folder / "t.csv").write_text(text)
    return "csv:t.csv"


def test_a_pattern_is_searched_for_below_the_class_folder() -> None:
    assert parse_group_rule(r"^(\d)/|(b)", Path()).groups_of(IMAGES) == ["1", "1", "b"]
    assert parse_group_rule(r"(\d)", Path()).groups_of(IMAGES) == ["1", "1", None]


def test_a_table_names_images_by_as_much_of_the_path_as_it_takes(tmp_path: Path) -> None:
    text = table(tmp_path, "file,group\ncat/1/a.png,P1\n./dog\\1\\a.png,P2\nb.png,P1\nelse.png,P9\n")
    assert parse_group_rule(text, tmp_path).groups_of(IMAGES) == ["P1", "P2", "P1"]
    assert parse_group_rule(text, tmp_path).groups_of([("c.png", "")]) == [None]


def test_a_table_may_leave_suffixes_out_and_be_separated_otherwise(tmp_path: Path) -> None:
    text = table(tmp_path, "file;group\nb;P3\ncat/1/a;P,1\n")
    assert parse_group_rule(text, tmp_path).groups_of(IMAGES) == ["P,1", None, "P3"]


def test_a_table_may_have_columns_of_other_names(tmp_path: Path) -> None:
    table(tmp_path, '\ufeffPatient ID,Image Index,x\n7,b.png,"1,2"\n')
    rule = resolve_group("csv:t.csv?file=Image Index&group=Patient ID", tmp_path)
    assert parse_group_rule(rule, Path("/elsewhere")).groups_of(IMAGES) == [None, None, "7"]


def test_a_name_that_several_images_have_is_refused(tmp_path: Path) -> None:
    rule = parse_group_rule(table(tmp_path, "file,group\na.png,P1\n"), tmp_path)
    with pytest.raises(DataError) as fault:
        rule.groups_of(IMAGES)
    assert (fault.value.code, fault.value.path) == ("group-table-ambiguous", tmp_path / "t.csv")
    assert "'a.png'" in fault.value.finding.message
    assert "2 images" in fault.value.finding.message
    assert "such as CLASS/a.png" in fault.value.finding.hint


@pytest.mark.parametrize(
    ("text", "code", "row", "word"),
    [
        ("(", "group-rule", None, "regular expression"),
        (r"\d+", "group-rule", None, "capture group"),
        ("csv:", "source-options", None, "csv:"),
        ("csv:t.csv?grup=x", "source-options", None, "'grup'"),
        ("csv:none.csv", "csv-not-found", None, "none.csv"),
        ("csv:t.csv?group=patient", "csv-column-missing", 1, "'patient', but got 'file', 'group'"),
        ("csv:empty.csv", "csv-empty-cell", 3, "'group'"),
        ("csv:two.csv", "group-table-conflict", 4, "'P1'"),
        ("csv:latin.csv", "csv-encoding", None, "UTF-8"),
    ],
)
def test_what_is_no_rule(text: str, code: str, row: int | None, word: str, tmp_path: Path) -> None:
    table(tmp_path, "file,group\na.png,P1\n")
    (tmp_path / "empty.csv").write_text("file,group\na.png,P1\nb.png\n")
    (tmp_path / "two.csv").write_text("file,group\na.png,P1\na.png,P1\na.png,P2\n")
    (tmp_path / "latin.csv").write_bytes("file,group\n\u00e4.png,P1\n".encode("latin-1"))
    with pytest.raises(DataError) as fault:
        parse_group_rule(text, tmp_path)
    assert (fault.value.code, fault.value.row) == (code, row)
    assert word in str(fault.value)
