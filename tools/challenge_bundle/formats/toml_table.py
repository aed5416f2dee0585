"""A TOML document while it is read: every error names its key and line; and writing a value as TOML."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from challenge_bundle.errors import ManifestError


class TomlTable:
    """One table of a document, which remembers what was asked of it and finds the line of each key.

    Args:
        values: What is in it.
        names: Keys that lead to it from the document's root.
        text: The whole document.
        path: Its file, for messages.
        index: Which of several tables with these names it is, from 0.
    """

    def __init__(
        self, values: dict[str, Any], names: tuple[str, ...], text: str, path: Path, index: int = 0
    ) -> None:
        self.values, self.names, self.text, self.path, self.index = values, names, text, path, index
        self.asked: set[str] = set()

    def key(self, name: str) -> str:
        """A key with the names of its tables: `data.seed`."""
        return ".".join((*self.names, name))

    def place(self, name: str) -> tuple[Path, int | None]:
        """The file and the line of a key, or of this table where the key itself is not written."""
        return self.path, _line_of(self.text, self.names, name, self.index)

    def get(self, name: str) -> Any:
        """The value as written, or None; the key is known from here on."""
        self.asked.add(name)
        return self.values.get(name)

    def unknown(self) -> list[str]:
        """The keys that nothing asked for."""
        return [name for name in self.values if name not in self.asked]

    def table(self, name: str) -> "TomlTable":
        """A table below this one; empty if it is not there."""
        value = self.get(name)
        if value is not None and not isinstance(value, dict):
            raise ManifestError(
                f"'{self.key(name)}': expected a table but got {value!r}",
                *self.place(name),
                code="setting-type",
                hint=f"write it as [{self.key(name)}], with its keys below",
            )
        return TomlTable(value or {}, (*self.names, name), self.text, self.path)

    def tables(self, name: str) -> list["TomlTable"]:
        """A list of tables below this one, written as [[name]]; empty if there is none."""
        value = self.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(v, dict) for v in value)):
            raise ManifestError(
                f"'{self.key(name)}': expected a list of tables but got {value!r}",
                *self.place(name),
                code="setting-type",
                hint=f"write each as [[{self.key(name)}]], with its keys below",
            )
        return [
            TomlTable(item, (*self.names, name), self.text, self.path, index)
            for index, item in enumerate(value or ())
        ]


def refuse_unknown(*tables: TomlTable) -> None:
    """Refuse keys that nothing asked for.

    Raises:
        ManifestError: There is one; it names the first.
    """
    from difflib import get_close_matches

    for table in tables:
        for name in table.unknown():
            known = sorted(table.asked)
            close = get_close_matches(name, known, 1)
            elsewhere = [other.names for other in tables if name in other.asked]
            hint = f"expected one of {', '.join(known)}"
            if close:
                hint = f"write {close[0]}"
            elif elsewhere:
                hint = f"move it to [{'.'.join(elsewhere[0])}]" if elsewhere[0] else f"begin a table [{name}]"
            raise ManifestError(
                f"'{table.key(name)}' is not a setting", *table.place(name), code="setting-unknown", hint=hint
            )


def to_toml(value: Any) -> str:
    """A value in TOML; a JSON text is one of TOML's basic strings."""
    import json

    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(to_toml, value))}]"
    return json.dumps(value)


def _line_of(text: str, names: tuple[str, ...], key: str, index: int) -> int | None:
    """Find where a key, or else its table (the index-th of its names), is written: tomllib keeps no lines."""
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
                table_line = number if seen == index + 1 else table_line
        elif (
            current == names
            and seen in (0, index + 1)
            and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line)
        ):
            return number
    return table_line
