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
    "nul": (GOOD.replace("000002.jpg", "0000\x0002.jpg").encode(), "is not among the test images", 3),
    "long_line": (GOOD.replace("000002.jpg", "0" * 70_000).encode(), "longer than 65,536 bytes", 3),
    "open_quote": (GOOD.replace("000004.jpg", '"000004.jpg').encode(), "not a valid csv line", None),
    "html": (b"<!doctype html><html></html>\n", "header", 1),
}

TOLERATED: dict[str, bytes] = {
    "plain": GOOD.encode(),
    "byte_order_mark": GOOD.encode("utf-8-sig"),
    "crlf": GOOD.replace("\n", "\r\n").encode(),
    "quoted": GOOD.replace("000001.jpg,Hand", '"000001.jpg","Hand"').encode(),
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
