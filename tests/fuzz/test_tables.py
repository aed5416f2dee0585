"""Results csvs: every reader takes the same, and what is taken is what a strict reading of our own gives."""

import math
import random
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from challenge_bundle.layout import RESULTS_NAME
from tests.csv_faults import FAULTS, REFERENCE, TOLERATED
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


def strict_rows(content: bytes) -> list[list[str]] | None:
    """The rows by RFC 4180 with one row per line, read by character; None if they are invalid."""
    rows: list[list[str]] = []
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
    return rows


def strict(content: bytes) -> dict[str, str] | None:
    """The class of each image; None if the csv is invalid."""
    rows = strict_rows(content)
    if rows is None:
        return None
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


def read(
    modules: tuple[ModuleType, ...], path: Path, names: list[str]
) -> dict[str, str] | tuple[str, int | None]:
    """The class of each image, or the first finding's code and row."""
    predictions, cases, findings = modules
    task = cases.Task("classification", tuple(CLASS_NAMES))
    try:
        found = predictions.read_predictions(path, task, names)
    except findings.InputError as fault:
        texts = [str(finding) for finding in fault.findings if finding.hint]
        if (
            not 1 <= len(texts) == len(fault.findings) <= findings.MOST_FINDINGS
            or not "".join(texts).isprintable()
        ):
            raise AssertionError(texts) from fault
        return fault.findings[0].code, fault.findings[0].row
    if found.probabilities is not None:
        assert found.probabilities.shape == (len(names), len(CLASS_NAMES))
        assert np.abs(found.probabilities.sum(axis=1) - 1.0).max() < 1e-9
    return {name: CLASS_NAMES[label] for name, label in zip(names, found.values, strict=True)}


def test_both_ways_of_reading_take_the_same_csvs(
    rounds: Rounds, tmp_path: Path, program_module, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = tuple(program_module("scoring_program", name) for name in ("predictions", "cases", "findings"))
    path, names = tmp_path / RESULTS_NAME, sorted(REFERENCE)
    quick = modules[0].read_columns
    taken = 0
    for rng in rounds():
        content = make(rng)
        path.write_bytes(content)
        expected = strict(content)
        monkeypatch.setattr(modules[0], "read_columns", quick)
        by_columns = read(modules, path, names)
        monkeypatch.setattr(modules[0], "read_columns", lambda *_: None)
        by_rows = read(modules, path, names)

        assert by_columns == by_rows, content
        if expected is None:
            assert isinstance(by_rows, tuple), content
        else:
            taken += 1
            assert by_rows == expected, content
    assert taken


def values_of(content: bytes) -> dict[str, float] | None:
    """The value of each image, read by character as `strict` reads classes; None if it is invalid."""
    text = content.replace(b"file,value", b"file,class", 1)
    if text == content:
        return None
    rows = strict_rows(text)
    if rows is None or any(len(row) != 2 for row in rows):
        return None
    number = re.compile(r"[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*", re.ASCII)
    if not all(number.fullmatch(row[1]) for row in rows[1:]):
        return None
    found = {row[0].split("/")[-1]: float(row[1]) for row in rows[1:]}
    return found if all(math.isfinite(value) for value in found.values()) else None


def test_values_are_read_alike(rounds: Rounds, tmp_path: Path, program_module, monkeypatch) -> None:
    """A csv of values: both ways of reading give the same numbers or refuse it alike."""
    predictions, cases, findings = (
        program_module("scoring_program", name) for name in ("predictions", "cases", "findings")
    )
    path, names = tmp_path / RESULTS_NAME, sorted(REFERENCE)
    good = "file,value\n" + "".join(f"{name},{number}.25\n" for number, name in enumerate(REFERENCE))
    tokens = (
        *TOKENS,
        b"1e5",
        b"+.5",
        b"-",
        b"1.",
        b"0x1",
        b"inf",
        b"1_0",
        b" 7",
        b"\xd9\xa1",
        b"1e-400",
        b"00",
    )
    quick = predictions.read_columns
    taken = 0
    for rng in rounds():
        content = mutate(good.encode(), rng, tokens, rng.choice((1, 2, 4)))
        path.write_bytes(content)
        found = []
        for reader in (quick, lambda *_: None):
            monkeypatch.setattr(predictions, "read_columns", reader)
            try:
                found.append(
                    predictions.read_predictions(path, cases.Task("regression"), names).values.tolist()
                )
            except findings.InputError as fault:
                found.append((fault.findings[0].code, fault.findings[0].row))
        assert found[0] == found[1], content
        expected = values_of(content)
        if isinstance(found[0], list):
            taken += 1
            assert expected is not None, content
            assert [expected[name] for name in names] == found[0], content
    assert taken
