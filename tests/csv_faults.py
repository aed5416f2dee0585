"""Bad results csvs, each with a word of its message: score.py and `check` must refuse the same."""

from pathlib import Path

REFERENCE = {"000001.jpg": "Hand", "000002.jpg": "CXR", "000003.jpg": "Hand", "000004.jpg": "CXR"}
GOOD = "file,class\n000001.jpg,Hand\n000002.jpg,CXR\n000003.jpg,CXR\n000004.jpg,CXR\n"

FAULTS: dict[str, tuple[bytes, str, int | None]] = {
    # name: (content, word of the message, row named or None)
    "empty": (b"", "empty", None),
    "only_header": (b"file,class\n", "no row after the header", None),
    "wrong_header": (GOOD.replace("file,class", "filename,class").encode(), "header", 1),
    "header_case": (GOOD.replace("file,class", "File,class").encode(), "header", 1),
    "header_blank": (GOOD.replace("file,class", "file, class").encode(), "header", 1),
    "swapped_header": (GOOD.replace("file,class", "class,file").encode(), "header", 1),
    "foreign_column": (b"file,class,note\n000001.jpg,Hand,x\n", "header", 1),
    "twice_probability": (b"file,class,probability_CXR,probability_CXR\n1,CXR,1,1\n", "twice", 1),
    "unknown_class": (GOOD.replace("000002.jpg,CXR", "000002.jpg,Foot").encode(), "unknown class 'Foot'", 3),
    "class_case": (GOOD.replace("000002.jpg,CXR", "000002.jpg,cxr").encode(), "unknown class 'cxr'", 3),
    "class_blank": (GOOD.replace("000002.jpg,CXR", "000002.jpg, CXR").encode(), "unknown class ' CXR'", 3),
    "duplicate": ((GOOD + "testing-data/000002.jpg,CXR\n").encode(), "'000002.jpg' appears twice", 6),
    "missing": (GOOD.replace("000003.jpg,CXR\n", "").encode(), "no row for '000003.jpg'", None),
    "extra": ((GOOD + "000009.jpg,CXR\n").encode(), "'000009.jpg' is not among the test images", 6),
    "short_row": (
        GOOD.replace("000002.jpg,CXR", "000002.jpg").encode(),
        "1 columns where the header has 2",
        3,
    ),
    "long_row": (GOOD.replace("000002.jpg,CXR", "000002.jpg,CXR,1").encode(), "3 columns", 3),
    "empty_class": (GOOD.replace("000002.jpg,CXR", "000002.jpg,").encode(), "empty", 3),
    "not_utf8": (GOOD.replace("000002.jpg,CXR", "000002.jpg,C\xe9").encode("latin-1"), "not UTF-8", 3),
    "utf16": (GOOD.encode("utf-16"), "not UTF-8", 1),
    "nul": (GOOD.replace("000002.jpg", "0000\x0002.jpg").encode(), "not a valid csv line: a NUL", 3),
    "long_line": (GOOD.replace("000002.jpg", "0" * 70_000).encode(), "longer than 65,536 bytes", 3),
    "open_quote": (GOOD.replace("000004.jpg", '"000004.jpg').encode(), "not a valid csv line", 5),
    "html": (b"<!doctype html><html></html>\n", "header", 1),
}


def _second(cell: str) -> bytes:
    """The good csv with another file in its second row."""
    return GOOD.replace("000002.jpg", cell).encode()


_CLASSLESS = [f"x{number}.jpg,CXR\n" for number in range(21)]

FAULTS |= {
    "nul_in_folder": (_second("a\0/000002.jpg"), "a NUL", 3),
    "nul_in_quotes": (_second('"\0"'), "a NUL", 3),
    # Each of these has base names that are sound, so that only a strict reader sees them.
    "return_in_quotes": (_second('"a\rb/000002.jpg"'), "a carriage return", 3),
    "return_without_quotes": (_second("a\rb/000002.jpg"), "a carriage return", 3),
    "return_twice": (GOOD.replace("CXR\n", "CXR\r\r\n", 1).encode(), "a carriage return", 3),
    "returns_alone": (GOOD.replace("\n", "\r").encode(), "a carriage return", 1),
    "newline_in_quotes": (_second('"a\nb/000002.jpg"'), "a quotation mark", 3),
    "both_in_quotes": (_second('"a\r\nb/000002.jpg"'), "a quotation mark", 3),
    "newline_in_class": (GOOD.replace("jpg,CXR\n", 'jpg,"CXR\n"\n', 1).encode(), "a quotation mark", 3),
    "quote_in_a_cell": (_second('a"b/000002.jpg'), "a quotation mark", 3),
    "quote_at_the_end": (GOOD.replace("000002.jpg,CXR", '000002.jpg,CXR"').encode(), "a quotation mark", 3),
    "quotes_and_more": (_second('"a"b/000002.jpg'), "a quotation mark", 3),
    "one_quote_too_many": (_second('"a"""b"/000002.jpg'), "a quotation mark", 3),
    "quote_after_blank": (_second(' "000002.jpg"'), "a quotation mark", 3),
    "quotes_over_rows": (GOOD.replace("CXR\n", '"CXR\n', 2).encode(), "a quotation mark", 3),
    "quote_in_header": (GOOD.replace("class", 'cla"ss').encode(), "a quotation mark", 1),
    "return_in_header": (GOOD.replace("file", '"fi\rle"').encode(), "a carriage return", 1),
    "line_over_the_limit": (_second("a" * (65_536 - 15) + "/000002.jpg"), "longer than 65,536 bytes", 3),
    "quoted_row_over_the_limit": (_second('"' + '""' * 40_000 + '/000002.jpg"'), "longer than 65,536", 3),
    "field_without_end": (GOOD.encode() + b"x" * (4 << 20), "longer than 65,536 bytes", 6),
    "million_columns": (b"file,class" + b",probability_" * 10**6 + b"\n", "longer than 65,536 bytes", 1),
    "many_columns": (
        ("file,class," + ",".join(f"probability_{n}" for n in range(3000)) + GOOD[10:]).encode(),
        "2 columns where the header has 3002",
        2,
    ),
    "mark_in_the_middle": (_second("\ufeff000002.jpg"), "'\\ufeff000002.jpg' is not among", 3),
    "two_marks": (GOOD.encode("utf-8-sig").replace(b"file", b"\xef\xbb\xbffile"), "header", 1),
    "mark_in_class": (GOOD.replace("CXR", "\ufeffCXR", 1).encode(), "unknown class", 3),
    "blank_first_line": (b"\n" + GOOD.encode(), "header", 1),
    "blank_lines_alone": (b"\n\r\n\n", "empty", None),
    "line_separator": (_second("a\u2028000002.jpg"), "is not among", 3),
    "cut_character": (GOOD.encode() + b"\xc3", "not UTF-8", 6),
    "surrogate": (GOOD.encode() + b"\xed\xa0\x80.jpg,CXR\n", "not UTF-8", 6),
    # 2 x 4 images + 16 rows are read.
    "rows_up_to_the_limit": ((GOOD + "".join(_CLASSLESS[:20])).encode(), "'x0.jpg' is not among", 6),
    "rows_over_the_limit": ((GOOD + "".join(_CLASSLESS)).encode(), "more than 24 rows", 26),
    "short_row_beyond_them": ((GOOD + "".join(_CLASSLESS[:20]) + "x\n").encode(), "1 columns", 26),
}

CODES: dict[str, str] = {
    # name: code of its first finding
    "empty": "csv-empty",
    "only_header": "csv-empty",
    "wrong_header": "csv-header",
    "header_case": "csv-header",
    "header_blank": "csv-header",
    "swapped_header": "csv-header",
    "foreign_column": "csv-header",
    "twice_probability": "csv-column-twice",
    "unknown_class": "csv-unknown-class",
    "class_case": "csv-unknown-class",
    "class_blank": "csv-unknown-class",
    "duplicate": "csv-duplicate-row",
    "missing": "csv-missing-image",
    "extra": "csv-unknown-image",
    "short_row": "csv-cells",
    "long_row": "csv-cells",
    "empty_class": "csv-empty-cell",
    "not_utf8": "csv-encoding",
    "utf16": "csv-encoding",
    "nul": "csv-invalid-line",
    "long_line": "csv-line-too-long",
    "open_quote": "csv-invalid-line",
    "html": "csv-header",
    "nul_in_folder": "csv-invalid-line",
    "nul_in_quotes": "csv-invalid-line",
    "return_in_quotes": "csv-invalid-line",
    "return_without_quotes": "csv-invalid-line",
    "return_twice": "csv-invalid-line",
    "returns_alone": "csv-invalid-line",
    "newline_in_quotes": "csv-invalid-line",
    "both_in_quotes": "csv-invalid-line",
    "newline_in_class": "csv-invalid-line",
    "quote_in_a_cell": "csv-invalid-line",
    "quote_at_the_end": "csv-invalid-line",
    "quotes_and_more": "csv-invalid-line",
    "one_quote_too_many": "csv-invalid-line",
    "quote_after_blank": "csv-invalid-line",
    "quotes_over_rows": "csv-invalid-line",
    "quote_in_header": "csv-invalid-line",
    "return_in_header": "csv-invalid-line",
    "line_over_the_limit": "csv-line-too-long",
    "quoted_row_over_the_limit": "csv-line-too-long",
    "field_without_end": "csv-line-too-long",
    "million_columns": "csv-line-too-long",
    "many_columns": "csv-cells",
    "mark_in_the_middle": "csv-unknown-image",
    "two_marks": "csv-header",
    "mark_in_class": "csv-unknown-class",
    "blank_first_line": "csv-header",
    "blank_lines_alone": "csv-empty",
    "line_separator": "csv-unknown-image",
    "cut_character": "csv-encoding",
    "surrogate": "csv-encoding",
    "rows_up_to_the_limit": "csv-unknown-image",
    "rows_over_the_limit": "csv-too-many-rows",
    "short_row_beyond_them": "csv-cells",
}

TOLERATED: dict[str, bytes] = {
    "plain": GOOD.encode(),
    "byte_order_mark": GOOD.encode("utf-8-sig"),
    "crlf": GOOD.replace("\n", "\r\n").encode(),
    "quoted": GOOD.replace("000001.jpg,Hand", '"000001.jpg","Hand"').encode(),
    "quoted_marks": _second('"a ""b"", c/000002.jpg"'),
    # What a csv writer makes of these would be longer than a line may be.
    "quoted_long_folder": _second('"' + '""' * 32_700 + '/000002.jpg"'),
    "line_at_the_limit": _second("a" * (65_536 - 15 - 1) + "/000002.jpg"),
    "blank_lines": GOOD.replace("\n", "\n\r\n\n").encode(),
    "no_last_newline": GOOD.rstrip("\n").encode(),
    "blank_line": (GOOD + "\n").encode(),
    "with_folder": GOOD.replace("000001.jpg", "testing-data/000001.jpg").encode(),
    "other_order": ("file,class\n" + "\n".join(reversed(GOOD.splitlines()[1:])) + "\n").encode(),
    "probabilities": (
        b"file,class,probability_CXR,probability_Hand\n000001.jpg,Hand,0.2,0.8\n000002.jpg,CXR,0.9,0.1\n"
        b"000003.jpg,CXR,0.6,0.4\n000004.jpg,CXR,0.7,0.3\n"
    ),
}


def write_scoring_input(folder: Path, predictions: bytes | None) -> Path:
    """Lay out `ref/` and `res/` as the scoring program reads them."""
    (folder / "ref").mkdir(parents=True)
    (folder / "res").mkdir()
    rows = "".join(f"testing-data/{name},{class_name}\n" for name, class_name in REFERENCE.items())
    (folder / "ref" / "testing_solution.csv").write_text("file,class\n" + rows)
    if predictions is not None:
        (folder / "res" / "classification_results.csv").write_bytes(predictions)
    return folder
