"""Results csvs: every reader takes the same, and what is taken is what a strict reading of our own gives."""

import random
from pathlib import Path

import pytest

from challenge_bundle.errors import SubmissionError
from challenge_bundle.evaluation.results import check_results, find_fault, write_rows
from challenge_bundle.evaluation.verdicts import Refusal
from challenge_bundle.formats.label_table import check_predictions, check_probabilities, read_probabilities
from challenge_bundle.layout import RESULTS_NAME
from tests.csv_faults import FAULTS, REFERENCE, TOLERATED, write_scoring_input
from tests.fuzz.conftest import Rounds
from tests.fuzz.mutating import mutate

CLASS_NAMES = sorted(set(REFERENCE.values()))
SEEDS = [content for content in TOLERATED.values() if len(content) < 5000]
SEEDS += [content for content, _, _ in FAULTS.values() if len(content) < 5000]
TOKENS = (
    *(
        b'"',
        b'""',
        b",",
        b"\n",
        b"\r",
        b"\r\n",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\x85",
        b"\x1c",
        b"'",
    ),
    *(
        b"file,class",
        b"000001.jpg",
        b"/",
        b"./",
        b"..",
        b"Hand",
        b"CXR",
        b",probability_CXR",
        b",probability_Hand",
    ),
    *(b"nan", b"1e400", b"-0", b"0.5", b"1_0", b" ", b"\t", b";", b"000002.jpg,CXR\n", b"x" * 40_000),
)


def strict(content: bytes) -> dict[str, str] | None:
    """The class of each image by RFC 4180 with a row a line, read by character; None if it is not sound."""
    rows = []
    for number, line in enumerate(content.split(b"\n")):
        is_last = number == content.count(b"\n")
        if len(line) + (not is_last) > 65_536:
            return None
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            return None
        text = text[1:] if number == 0 and text[:1] == "\ufeff" else text
        text = text[:-1] if text[-1:] == "\r" else text
        cells = split(text)
        if cells is None:
            return None
        if text or number == 0:
            rows.append(cells)
    extra = rows[0][2:]
    if rows[0][:2] != ["file", "class"] or len(set(extra)) < len(extra):
        return None
    if not all(name[:12] == "probability_" for name in extra):
        return None
    found: dict[str, str] = {}
    for cells in rows[1:]:
        parts = [part for part in cells[0].split("/") if part not in ("", ".")]
        if len(cells) != len(rows[0]) or not parts or parts[-1] in found or cells[1] not in CLASS_NAMES:
            return None
        found[parts[-1]] = cells[1]
    return found if found.keys() == REFERENCE.keys() else None


def split(text: str) -> list[str] | None:
    """The cells of a line."""
    cells, cell, state = [], "", "start"
    for character in text:
        if character in "\0\r":
            return None
        if state == "quoted":
            cell, state = (cell, "closed") if character == '"' else (cell + character, state)
        elif character == ",":
            cells, cell, state = [*cells, cell], "", "start"
        elif character == '"' and state == "start":
            state = "quoted"
        elif character == '"' and state == "closed":
            cell, state = cell + character, "quoted"
        elif character == '"' or state == "closed":
            return None
        else:
            cell, state = cell + character, "plain"
    return None if state == "quoted" else [*cells, cell]


def make(rng: random.Random) -> bytes:
    """A csv: a damaged one of the tests, or one put together of tokens."""
    if rng.random() < 0.7:
        return mutate(rng.choice(SEEDS), rng, TOKENS, rng.choice((1, 2, 6)))
    rows = [rng.choice((b"", b"a/", b'"a,b/')) + name.encode() for name in REFERENCE]
    rows = [row + (b'"' if row[:1] == b'"' else b"") + b"," + rng.choice((b"CXR", b'"Hand"')) for row in rows]
    rng.shuffle(rows)
    rows.insert(rng.randrange(5), rng.choice(TOKENS) + rng.choice(TOKENS)) if rng.random() < 0.5 else None
    return b"file,class\n" + rng.choice((b"\n", b"\r\n")).join(rows)


@pytest.fixture
def tables_module(program_module):
    return program_module("scoring_program", "tables")


def score_says(tables, scoring: Path) -> tuple[int | None, dict[str, str] | str]:
    try:
        cases = tables.match(scoring / "ref" / "testing_solution.csv", scoring / "res" / RESULTS_NAME)
    except tables.InputError as fault:
        place = str(fault).partition(RESULTS_NAME + ":")[2].partition(": ")[0]
        return int(place) if place.isdecimal() else None, str(fault)
    names = [str(name) for name in cases.names]
    return None, {
        name: cases.class_names[label] for name, label in zip(names, cases.predictions, strict=True)
    }


def test_every_reader_takes_the_same_csvs(rounds: Rounds, tmp_path: Path, tables_module) -> None:
    scoring = write_scoring_input(tmp_path / "input", b"")
    path = scoring / "res" / RESULTS_NAME
    taken = 0
    for number, rng in enumerate(rounds()):
        content = make(rng)
        path.write_bytes(content)
        expected = strict(content)
        faults = list(find_fault(str(path), list(REFERENCE), CLASS_NAMES))
        row, scored = score_says(tables_module, scoring)
        table, checked_row = None, None
        try:
            table = check_predictions(path, set(REFERENCE), CLASS_NAMES)
        except SubmissionError as fault:
            checked_row = fault.row
        if table is None:
            assert expected is None, content
            assert isinstance(scored, str), content
            assert row == checked_row, (scored, content)
            assert len(faults) == 1
            assert faults[0][0] == "csv-missing" or faults[0][1] == (checked_row or 1), (faults, content)
        else:
            taken += 1
            assert table.class_of == expected == scored, content
            assert faults == []
            check_probabilities(path, table, CLASS_NAMES)
            read_probabilities(path)
            # Cut into a part, it is taken for that part.
            list(write_rows(str(path), list(REFERENCE), str(tmp_path / "part.csv")))
            assert strict((tmp_path / "part.csv").read_bytes()) == expected
        if number % 200 == 0:
            refusals: list[Refusal] = []
            try:
                check_results(path, frozenset(REFERENCE), CLASS_NAMES)
            except Refusal as refusal:
                refusals.append(refusal)
            in_process = [
                Refusal(code, **{"missing" if code == "csv-missing" else "line": number_of}).verdict
                for code, number_of in faults
            ]
            assert [refusal.verdict for refusal in refusals] == in_process
    assert taken
