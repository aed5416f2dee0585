"""model.json: what inference needs to know of the exported model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from challenge_bundle.errors import DataError
from challenge_bundle.formats.bounded_json import no_key_twice

RETRAIN = "take the file that training wrote"

MAX_SIDE = 1 << 16
"""Largest height or width of the images that inference makes, pixels."""

MAX_NUMBER = 1e30
"""Largest mean or standard deviation."""

FEWEST_NAMES = {"classification": 2, "ordinal": 2, "multilabel": 1, "regression": 0}
"""Of each task that the programs know, how many class names it has at least; a regression has none."""

KNOWN: dict[str, dict[str, tuple[str, ...]]] = {
    "classification": {"activation": ("softmax",), "decision": ("most_probable", "expected_rank")},
    "ordinal": {"activation": ("softmax",), "decision": ("expected_rank", "most_probable")},
    "multilabel": {"activation": ("sigmoid",), "decision": ("probabilities",)},
    "regression": {"activation": ("identity",), "decision": ("value",)},
}
"""Of each task what inference can make of the network's output."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The fields of model.json that other programs than training use.

    Args:
        class_names: In label order: logit k is class_names[k]; none of a regression.
        task: One of FEWEST_NAMES; a card without one is of a classification.
        document: All of it, for showing.
    """

    class_names: tuple[str, ...]
    task: str
    document: dict[str, Any]


def parse_model_json(text: str, path: Path | str, error: type[DataError] = DataError) -> ModelCard:
    """Parse a model.json.

    Args:
        text: Its content.
        path: Its place, for messages.
        error: The type to raise; SubmissionError for a participant's file.

    Raises:
        DataError: Not JSON, or a key is missing or of another type.
    """
    try:
        document = json.loads(text, object_pairs_hook=no_key_twice)
    except (ValueError, RecursionError) as fault:
        raise error(f"not JSON ({fault})", path, code="model-json", hint=RETRAIN) from None
    if not isinstance(document, dict):
        raise error("expected a JSON object", path, code="model-json", hint=RETRAIN)
    task = _parse_task(document, path, error)
    class_names = _parse_class_names(document, task, path, error)
    _check_input(document, path, error)
    if task == "regression":
        _check_target(document.get("target"), path, error)
    return ModelCard(class_names, task, document)


def _parse_task(document: dict[str, Any], path: Path | str, error: type[DataError]) -> str:
    task = document.get("task", "classification")
    if not isinstance(task, str) or task not in FEWEST_NAMES:
        raise error(
            f"expected one of {', '.join(FEWEST_NAMES)} as 'task', but got {task!r:.40}",
            path,
            code="model-task",
            hint=RETRAIN,
        )
    for key, known in KNOWN[task].items():
        if key in document and document[key] not in known:
            raise error(
                f"expected {' or '.join(known)} as '{key}' of a {task}, but got {document[key]!r:.40}",
                path,
                code="model-task",
                hint=RETRAIN,
            )
    return task


def _parse_class_names(
    document: dict[str, Any], task: str, path: Path | str, error: type[DataError]
) -> tuple[str, ...]:
    class_names = document.get("class_names", [] if task == "regression" else None)
    fewest = FEWEST_NAMES[task]
    wanted = {0: "no class names", 1: "one or more different labels", 2: "two or more different class names"}
    if (
        not _are_texts(class_names)
        or len(set(class_names)) != len(class_names)
        or len(class_names) < fewest
        or (not fewest and class_names)
    ):
        raise error(
            f"expected {wanted[fewest]} in 'class_names'",
            path,
            code="model-class-names",
            hint="list them in label order",
        )
    return tuple(class_names)


def _check_target(target: object, path: Path | str, error: type[DataError]) -> None:
    parts = target if isinstance(target, dict) else {}
    deviation = parts.get("standard_deviation")
    if not (_is_number(parts.get("mean")) and _is_number(deviation) and deviation > 0):
        raise error(
            "expected 'mean' and a 'standard_deviation' above 0 in 'target'",
            path,
            code="model-target",
            hint=RETRAIN,
        )


def _check_input(document: dict[str, Any], path: Path | str, error: type[DataError]) -> None:
    size = document.get("input")
    if not isinstance(size, dict):
        raise error(
            "expected height, width, channels, mean and standard_deviation in 'input'",
            path,
            code="model-input",
            hint=RETRAIN,
        )
    for key in ("height", "width", "channels"):
        if type(size.get(key)) is not int or not 1 <= size[key] <= MAX_SIDE:
            raise error(
                f"expected a whole number from 1 to {MAX_SIDE:,} for 'input.{key}',"
                f" but got {size.get(key)!r:.40}",
                path,
                code="model-input",
                hint=RETRAIN,
            )
    if size["channels"] not in (1, 3):
        raise error(
            f"expected 1 (gray) or 3 (RGB) for 'input.channels', but got {size['channels']}",
            path,
            code="model-input",
            hint=RETRAIN,
        )
    for key in ("mean", "standard_deviation"):
        values = size.get(key)
        if not isinstance(values, list) or len(values) != size["channels"]:
            raise error(
                f"expected one number per channel ({size['channels']}) in 'input.{key}'",
                path,
                code="model-input",
                hint=RETRAIN,
            )
        if not all(map(_is_number, values)):
            raise error(f"expected finite numbers in 'input.{key}'", path, code="model-input", hint=RETRAIN)
    if not all(value > 0 for value in size["standard_deviation"]):
        raise error(
            "expected numbers above 0 in 'input.standard_deviation'", path, code="model-input", hint=RETRAIN
        )


def is_of_other_kind(text: str) -> bool:
    """Whether a model.json is a participant's own file, that does not follow this contract."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and not {"class_names", "input"} & document.keys()


def read_model_json(path: Path) -> ModelCard:
    """Read a model.json.

    Raises:
        DataError: As parse_model_json, or the file is not there.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError(
            "there is no trained model yet", path, code="model-missing", hint="run `train` first"
        ) from None
    return parse_model_json(text, path)


def _are_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(item, str) and item for item in value)


def _is_number(value: Any) -> TypeGuard[float]:
    # Compared, not converted: a whole number in JSON may have thousands of digits. NaN is in no range.
    return type(value) in (int, float) and abs(value) <= MAX_NUMBER
