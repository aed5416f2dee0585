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


@dataclass(frozen=True, slots=True)
class ModelCard:
    """The fields of model.json that other programs than training use.

    Args:
        class_names: In label order: logit k is class_names[k].
        document: All of it, for showing.
    """

    class_names: tuple[str, ...]
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
    class_names = document.get("class_names")
    if not _are_texts(class_names) or len(set(class_names)) != len(class_names) or len(class_names) < 2:
        raise error(
            "expected two or more different class names in 'class_names'",
            path,
            code="model-class-names",
            hint="list them in label order",
        )
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
        # Compared, not converted: a whole number in JSON may have thousands of digits. NaN is in no range.
        if not all(type(value) in (int, float) and abs(value) <= MAX_NUMBER for value in values):
            raise error(f"expected finite numbers in 'input.{key}'", path, code="model-input", hint=RETRAIN)
    if not all(value > 0 for value in size["standard_deviation"]):
        raise error(
            "expected numbers above 0 in 'input.standard_deviation'", path, code="model-input", hint=RETRAIN
        )
    return ModelCard(tuple(class_names), document)


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
