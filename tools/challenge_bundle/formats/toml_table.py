"""A TOML document while it is read: every fault names its key and line."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from challenge_bundle.errors import ManifestError


class TomlTable:
    """One table of the document while it is read: knows which keys were asked for and where each stands."""

    def __init__(
        self, values: dict[str, Any], names: tuple[str, ...], text: str, path: Path, place: int = 0
    ) -> None:
        self.values, self.names, self.source, self.path = values, names, text, path
        self.place = place
        self.asked: set[str] = set()

    def fault(self, key: str, message: str) -> ManifestError:
        """Make an error that names the key and its line."""
        name = ".".join((*self.names, key))
        line = _line_of(self.source, self.names, key, self.place)
        return ManifestError(
            f"{self.path}:{line}: '{name}' {message}" if line else f"{self.path}: '{name}' {message}"
        )

    def get(self, key: str) -> Any:
        """The raw value, or None; the key counts as known from here on."""
        self.asked.add(key)
        return self.values.get(key)

    def refuse_unknown(self) -> None:
        """Raise on the first key that nothing asked for."""
        for key in self.values.keys() - self.asked:
            raise self.fault(key, f"is not known here; expected {', '.join(sorted(self.asked))}")

    def table(self, key: str) -> "TomlTable":
        """A table below this one; empty if it is not there."""
        value = self.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.fault(key, f"must be a table; write it as [{key}]")
        return TomlTable(value or {}, (*self.names, key), self.source, self.path)

    def text(self, key: str, default: str | None = None, pattern: str = r"(?s).+") -> str:
        """A text that matches `pattern`."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.fault(key, "is missing; every bundle needs it")
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise self.fault(key, f"is {value!r}; expected a text that matches {pattern}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """One of `choices`; the first by default."""
        value = self.get(key)
        if value is None:
            return choices[0]
        if value not in choices:
            raise self.fault(key, f"is {value!r}; expected {' or '.join(choices)}")
        return str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of different, non-empty texts; empty by default."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.fault(key, f"is {value!r}; expected a list of texts")
        if key == "class_names" and len(set(value)) != len(value):
            raise self.fault(key, "names a class twice")
        return tuple(value)

    def tables(self, key: str) -> list["TomlTable"]:
        """A list of tables below this one, written as [[key]]; empty if there is none."""
        value = self.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(v, dict) for v in value)):
            raise self.fault(key, f"must be a list of tables; write each as [[{key}]]")
        return [
            TomlTable(item, (*self.names, key), self.source, self.path, place)
            for place, item in enumerate(value or ())
        ]

    def flag(self, key: str) -> bool:
        """True or false; false by default."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fault(key, f"is {value!r}; expected true or false")
        return bool(value)

    def moment(self, key: str) -> datetime | None:
        """A date with time, in UTC unless it says otherwise; None by default."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, datetime):
            raise self.fault(key, f"is {value!r}; expected a date with time, such as 2026-12-31T23:59:59Z")
        return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)

    def number(self, key: str, default: float, low: float, high: float, whole: bool = True) -> float:
        """A number from `low` to `high`."""
        value = self.get(key)
        if value is None:
            return default
        kinds = (int,) if whole else (int, float)
        if type(value) not in kinds or not low <= value <= high:
            kind = "whole number" if whole else "number"
            raise self.fault(key, f"is {value!r}; expected a {kind} from {low} to {high}")
        return float(value) if not whole else int(value)

    def image_size(self, key: str) -> tuple[int, int] | None:
        """[width, height], or None."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != 2 or not all(type(n) is int and n > 0 for n in value):
            raise self.fault(key, f"is {value!r}; expected [width, height] in pixels")
        return value[0], value[1]

    def split(self, key: str, default: tuple[float, float, float]) -> tuple[float, float, float]:
        """Three positive shares that make one whole."""
        value = self.get(key)
        if value is None:
            return default
        good = (
            isinstance(value, list)
            and len(value) == 3
            and all(type(n) in (int, float) and n > 0 for n in value)
        )
        if not good or abs(sum(value) - 1) > 1e-6:
            raise self.fault(
                key, f"is {value!r}; expected three positive shares with sum 1, such as [0.6, 0.2, 0.2]"
            )
        return value[0], value[1], value[2]


def _line_of(text: str, names: tuple[str, ...], key: str, place: int) -> int | None:
    """Find where a key, or else its table the place-th of its name, is written; tomllib keeps no lines."""
    current: tuple[str, ...] = ()
    table_line = None
    seen = 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?([^\[\]]+)\]", line)
        if header:
            current = tuple(part.strip().strip("'\"") for part in header[1].split("."))
            if current == (*names, key):
                return number
            if current == names:
                seen += 1
                table_line = number if seen == place + 1 else table_line
        elif (
            current == names
            and seen in (0, place + 1)
            and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line)
        ):
            return number
    return table_line
