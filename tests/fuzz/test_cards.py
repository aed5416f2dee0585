"""submission.toml and model.json: refused in order or taken, and what is taken is what inference can use."""

import json
import math
import random
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from challenge_bundle.errors import DataError, SubmissionError
from challenge_bundle.formats.model_json import parse_model_json
from challenge_bundle.formats.submission_toml import parse_card
from challenge_bundle.guarded import ReadLimits, find_guarded
from tests.fuzz.conftest import Rounds
from tests.fuzz.mutating import mutate

CARD = b'team = "Team A"\nmethod = \'net\'\n[more]\n"a.b".c = [1, 2.5, 2026-01-01, { x = true }]\n'
TOML_TOKENS = (
    *(
        b".",
        b"a.",
        b"[",
        b"]",
        b"[[",
        b"{",
        b"}",
        b"=",
        b'"',
        b"'",
        b'"""',
        b"'''",
        b"#",
        b"\n",
        b"\r",
        b"\0",
        b"\\u",
    ),
    *(
        b"\\UFFFFFFFF",
        b"\xff",
        b"\xef\xbb\xbf",
        b"team",
        b"method",
        b"team.",
        b"inf",
        b"-nan",
        b"0x",
        b"1e9999",
    ),
    *(
        b"9" * 400,
        b"9" * 5000,
        b"24:00:60",
        b"2026-13-41",
        b",",
        b"_",
        b"\\",
        b"x = ",
        b"a = {a = ",
        b"[a.b]\n",
    ),
)
MODEL = {
    "class_names": ["CXR", "Hand"],
    "input": {"channels": 1, "height": 8, "width": 8, "mean": [0.5], "standard_deviation": [0.2]},
    "more": [None, True, {"x": "\u00e9"}],
}
JSON_TOKENS = (
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'{"a":',
        b",",
        b":",
        b'"',
        b"\\",
        b"\\ud800",
        b"\0",
        b"\n",
        b"\xff",
        b"\xef\xbb\xbf",
    ),
    *(
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"1e-400",
        b"9" * 400,
        b"9" * 5000,
        b"-",
        b"0.1",
        b"null",
        b"true",
        b"8.0",
    ),
    *(b'"height":', b'"class_names":', b'"mean":', b"[]", b"{}", b'""', b'"CXR"', b"65537", b"0"),
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    3,
    8.0,
    65536,
    65537,
    10**400,
    1e30,
    1.1e30,
    -1e30,
    math.nan,
    math.inf,
)
VALUES += ("", "8", [], [0.5], [0.5, 1, 2], [True], ["a", "b"], ["a", "a"], ["a", ""], {}, {"a": 1})


def test_submission_toml(rounds: Rounds) -> None:
    taken = 0
    for rng in rounds():
        content = mutate(CARD, rng, TOML_TOKENS, rng.choice((1, 3, 12)))
        try:
            card = parse_card(content)
        except SubmissionError as fault:
            words = str(fault)
            assert re.match(r"submission\.toml(:\d+)?: \S", words), words
            continue
        taken += 1
        document = tomllib.loads(content.decode("utf-8"))
        assert card == {key: document[key] for key in ("team", "method") if key in document}
        assert all(type(value) is str for value in card.values())
    assert taken


def change(document: Any, rng: random.Random) -> Any:
    """A document with one value exchanged, somewhere."""
    if isinstance(document, dict) and document and rng.random() < 0.8:
        key = rng.choice(list(document))
        return {**document, key: change(document[key], rng)}
    if isinstance(document, list) and document and rng.random() < 0.5:
        place = rng.randrange(len(document))
        return [*document[:place], change(document[place], rng), *document[place + 1 :]]
    return rng.choice(VALUES)


def test_model_json(rounds: Rounds, program_module, tmp_path) -> None:
    infer = program_module("bundle_inference", "infer")
    (tmp_path / "best_metric_model.onnx").write_bytes(b"no graph")
    taken = 0
    for rng in rounds():
        document = MODEL
        for _ in range(rng.randrange(3)):
            document = change(document, rng)
        content = json.dumps(document).encode()
        if rng.random() < 0.5:
            content = mutate(content, rng, JSON_TOKENS, rng.choice((1, 3)))
        (tmp_path / "model.json").write_bytes(content)
        try:
            card = parse_model_json(content.decode("utf-8"), "model.json", SubmissionError)
        except UnicodeDecodeError:
            card = None  # a finding of its own, before any parsing
        except DataError as fault:
            words, card = str(fault), None
            assert words.startswith("model.json: "), words
        with pytest.raises(infer.InputError) as refused:
            infer.load_model(tmp_path)
        if card is None:
            continue
        taken += 1
        size = card.document["input"]
        assert len(set(card.class_names)) == len(card.class_names) >= 2
        assert all(type(size[key]) is int and 1 <= size[key] <= 65536 for key in ("height", "width"))
        assert len(size["mean"]) == len(size["standard_deviation"]) == size["channels"]
        assert all(abs(value) <= 1e30 for value in size["mean"])
        assert all(0 < value <= 1e30 for value in size["standard_deviation"])
        # What is taken, inference takes, too: it comes to the graph.
        assert "best_metric_model.onnx: cannot be run" in str(refused.value), content
    assert taken


def deep(rng: random.Random) -> str:
    """A text of a few kilobytes that may take parsers minutes, gigabytes or their stack."""
    count = rng.choice((100, 3000, 30_000))
    opening, middle, closing = rng.choice(
        (
            ("[", "", "]"),
            ('{"a":', "1", "}"),
            ("{a=", "1", "}"),
            ("a.", "a = 1", ""),
            ('"=".', "a = 1", ""),
            ("(", "", ")"),
            ("-", "1", ""),
            ("not ", "1", ""),
            ("1+", "1", ""),
            ("x=", "1", ""),
            ("a if ", "b", " else c"),
            ("{1}", "", ""),
            ("lambda:", "1", ""),
            ("f(", "", ")"),
            ("[a.b", "", "]"),
            ("x[", "0", "]"),
            ("await ", "x", ""),
            ("if 1:\n ", "x", ""),
            ("case ", "x", ""),
        )
    )
    start, end = rng.choice(
        (("", ""), ("x = ", ""), ("x = f'", "'"), ("x = {", "}"), ("[", "]"), ("f'{", "}'"))
    )
    return f"{start}{opening * count}{middle}{closing * rng.choice((count, 0, 1))}{end}"


def test_deep_and_long_texts_end_within_their_limits(rounds: Rounds, tmp_path: Path) -> None:
    """Whatever is in the files, there are findings of `check`, and those of the other files among them."""
    limits = ReadLimits(cpu_s=2, wall_s=60.0, memory_mb=256)
    (tmp_path / "Dockerfile").write_text("FROM a:1\nUSER 1\nCOPY . /\nCMD x\n")
    (tmp_path / "model_output").mkdir()
    (tmp_path / "weights.onnx").write_text("no graph")
    arguments = {"folder": str(tmp_path), "class_names": []}
    for rng in rounds():
        for name in ("infer.py", "submission.toml", "model_output/model.json"):
            (tmp_path / name).write_text(deep(rng))
        found = find_guarded("challenge_bundle.submission.check:find_in_files", arguments, "the zip", limits)
        places = {finding.location for finding in found}
        assert "weights.onnx" in places or any(
            finding.code in ("read-time", "read-memory") for finding in found
        )
        assert {"model_output/model.json", "submission.toml"} & places, found
        for finding in found:
            assert finding.severity in ("error", "warning")
            assert finding.code not in ("read-crash", "read-answer", "read-fault"), finding
