"""model.json: every value that others rely on is looked at, to the edge of its range."""

import json
from pathlib import Path
from typing import Any

import pytest

from challenge_bundle.errors import DataError, SubmissionError
from challenge_bundle.formats.model_json import FEWEST_NAMES, KNOWN, parse_model_json, read_model_json

GRAY = {"channels": 1, "height": 8, "width": 8, "mean": [0.5], "standard_deviation": [0.2]}
RGB = {"channels": 3, "height": 8, "width": 8, "mean": [0, 0.5, 1], "standard_deviation": [1, 1e-9, 2]}


def card(classes: Any = ("A", "B"), **changes: Any) -> str:
    return json.dumps({"class_names": classes, "input": GRAY | changes, "more": {"kept": [1]}})


def test_what_is_taken() -> None:
    taken = parse_model_json(card(("B", "A")), "model.json")
    assert taken.class_names == ("B", "A")
    assert taken.document["more"] == {"kept": [1]}
    assert parse_model_json(card(**RGB), "model.json").document["input"] == RGB


TARGET = {"mean": -3.5, "standard_deviation": 1e-300}


def task_card(task: Any, **keys: Any) -> str:
    return json.dumps({"task": task, "class_names": ["B", "A"], "input": GRAY} | keys)


@pytest.mark.parametrize(
    ("text", "task", "class_names"),
    [
        (card(), "classification", ("A", "B")),
        (task_card("ordinal", decision="expected_rank", activation="softmax"), "ordinal", ("B", "A")),
        (task_card("ordinal", decision="most_probable"), "ordinal", ("B", "A")),
        (task_card("multilabel", class_names=["A"], activation="sigmoid"), "multilabel", ("A",)),
        (task_card("regression", class_names=[], target=TARGET), "regression", ()),
        (json.dumps({"task": "regression", "input": GRAY, "target": TARGET}), "regression", ()),
    ],
)
def test_tasks(text: str, task: str, class_names: tuple[str, ...]) -> None:
    taken = parse_model_json(text, "model.json")
    assert (taken.task, taken.class_names) == (task, class_names)


def test_inference_knows_the_same_tasks(program_module) -> None:
    answers = program_module("bundle_inference", "answers")
    labels = program_module("bundle_training", "labels")
    assert set(labels.TASKS) == set(KNOWN) == set(FEWEST_NAMES)
    assert {task: known["activation"] for task, known in KNOWN.items()} == answers.ACTIVATIONS
    assert {task: known["decision"] for task, known in KNOWN.items()} == answers.DECISIONS


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 1, "width": 65_536},
        {"height": 65_536, "width": 1},
        {"mean": [-1e30], "standard_deviation": [1e30]},
        {"mean": [0], "standard_deviation": [1e-300]},
    ],
)
def test_values_at_the_edge(changes: dict[str, Any]) -> None:
    assert parse_model_json(card(**changes), "x").document["input"] == GRAY | changes


FIELDS = "height, width, channels, mean and standard_deviation in 'input'"
ABOVE_ZERO = "numbers above 0 in 'input.standard_deviation'"
FAULTS: list[tuple[str, str, str]] = [
    *(
        (card(classes), "model-class-names", "two or more different class names in 'class_names'")
        for classes in (None, "AB", [], ["A"], ["A", "A"], ["A", ""], ["A", 1], {"A": 1, "B": 2})
    ),
    *(
        (task_card(task), "model-task", "multilabel, regression as 'task', but got")
        for task in ("detection", "", None, 1, ["ordinal"], {})
    ),
    (task_card("ordinal", activation="sigmoid"), "model-task", "softmax as 'activation' of a ordinal"),
    (task_card("multilabel", decision="most_probable"), "model-task", "probabilities as 'decision'"),
    (task_card("ordinal", decision=["expected_rank"]), "model-task", "but got ['expected_rank']"),
    (task_card("ordinal", class_names=["A"]), "model-class-names", "two or more different class names"),
    (task_card("multilabel", class_names=[]), "model-class-names", "one or more different labels"),
    (task_card("multilabel", class_names=["A", "A"]), "model-class-names", "one or more different labels"),
    (task_card("regression", target=TARGET), "model-class-names", "no class names"),
    *(
        (task_card("regression", class_names=[], target=target), "model-target", "above 0 in 'target'")
        for target in (
            None,
            [],
            {},
            TARGET | {"mean": "1"},
            TARGET | {"mean": float("nan")},
            TARGET | {"mean": 1.1e30},
            TARGET | {"standard_deviation": 0},
            TARGET | {"standard_deviation": -1.0},
            TARGET | {"standard_deviation": True},
        )
    ),
    ('{"class_names": ["A", "B"]}', "model-input", FIELDS),
    ('{"class_names": ["A", "B"], "input": [1]}', "model-input", FIELDS),
    ("[]", "model-json", "expected a JSON object"),
    ("null", "model-json", "expected a JSON object"),
    *(
        (card(**{key: value}), "model-input", f"a whole number from 1 to 65,536 for 'input.{key}'")
        for key in ("height", "width", "channels")
        for value in (0, -1, 65_537, 8.0, "8", True, None, [8], 10**400)
    ),
    (
        card(channels=2, mean=[0, 0], standard_deviation=[1, 1]),
        "model-input",
        "1 (gray) or 3 (RGB) for 'input.channels', but got 2",
    ),
    (
        card(channels=4, mean=[0] * 4, standard_deviation=[1] * 4),
        "model-input",
        "'input.channels', but got 4",
    ),
    *(
        (card(**{key: value}), "model-input", f"one number per channel (1) in 'input.{key}'")
        for key in ("mean", "standard_deviation")
        for value in (None, 0.5, "x", [], [0.5, 0.5], {"0": 1})
    ),
    *(
        (card(**{key: [value]}), "model-input", f"finite numbers in 'input.{key}'")
        for key in ("mean", "standard_deviation")
        for value in (
            None,
            "1",
            True,
            float("nan"),
            float("inf"),
            float("-inf"),
            1.1e30,
            -1.1e30,
            10**400,
            [1],
        )
    ),
    (card(standard_deviation=[0]), "model-input", ABOVE_ZERO),
    (card(standard_deviation=[-0.1]), "model-input", ABOVE_ZERO),
    (card(**RGB | {"standard_deviation": [1, 0, 1]}), "model-input", ABOVE_ZERO),
    ("", "model-json", "not JSON ("),
    ("[" * 100_000, "model-json", "not JSON ("),
    ('{"a": ' + "9" * 5000 + "}", "model-json", "not JSON ("),
    ('{"a": 1, "b": {"a": 1, "a": 1}}', "model-json", "not JSON (the key 'a' appears twice in one object)"),
]


@pytest.mark.parametrize(("text", "code", "word"), FAULTS, ids=range(len(FAULTS)))
def test_what_is_refused(text: str, code: str, word: str) -> None:
    with pytest.raises(SubmissionError) as fault:
        parse_model_json(text, "model.json", SubmissionError)
    assert (fault.value.code, fault.value.path) == (code, "model.json")
    assert word in fault.value.finding.message


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    with pytest.raises(DataError) as fault:
        read_model_json(path)
    assert (fault.value.code, fault.value.path) == ("model-missing", path)
    path.write_text(card(("A", "é")), encoding="utf-8")
    assert read_model_json(path).class_names == ("A", "é")
    path.write_text("{}")
    with pytest.raises(DataError) as fault:
        read_model_json(path)
    assert str(fault.value) == (
        f"{path}: expected two or more different class names in 'class_names'; list them in label order"
    )
